"""A head that absorbs its compressor scores as one that expands and projects every code: same weights, store, gradients."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, students

DOCUMENTS, IDS, QUERY = engine.DOCUMENTS, engine.IDS, engine.QUERY
POST_NORM = [family for family in tiny.FAMILIES if family != "modernbert"]
ORDERS = ["cross_then_self", "self_then_cross"]
SLOTS = [{}, {"slots": "cls", "own": False}, {"slots": "mean", "readout": "mean", "own": False}, {"own": False}]
RESIDUALS = [{"residual": "cosine"}, {"residual": "evidence"}, {"readout": "matches", "gate": 0.3}]


def method_of(attend, width=8, **settings):
    compressor = None if width is None else part("linear", width=width)
    vector = part("mean") if settings.get("residual") else None
    head = part("cross_blocks", blocks=2, first=2, attend=attend, **settings)
    return replace(preset("mores"), compressor=compressor, vector=vector, head=head)


def shake(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator) * (10 if name.startswith("readout") else 1))


def both(family="bert", width=8, **settings):
    """A head of each kind with the same weights, none of them fresh."""
    kinds = ("materialised", "absorbed")
    long, short = (engine.fresh_model(method_of(kind, width, **settings), family) for kind in kinds)
    shake(long)
    short.load_state_dict(long.state_dict())
    return long, short


def candidates(model, documents=DOCUMENTS[:8]):
    arrays = model.encode_batch(model.document_tokens(documents))
    states, mask = arrays["states"]
    return Candidates(states=states, mask=mask, vector=arrays["vector"][0] if "vector" in arrays else None)


def score(model):
    with torch.inference_mode():
        return model.score(model.query(QUERY), candidates(model))


def equal(found, wanted):
    return float((found - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.max() - wanted.min()))


@pytest.mark.parametrize("family", POST_NORM)
@pytest.mark.parametrize("width", [None, 8])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("settings", SLOTS, ids=str)
def test_absorbed_scores_are_the_materialised_ones(family, width, order, settings):
    long, short = both(family, width, order=order, **settings)
    wanted = score(long)
    assert equal(score(short), wanted) and (wanted - wanted.roll(1)).abs().min() > 1e-4
    with torch.no_grad():
        short.head.blocks[0].cross.key.weight.mul_(1.5)
    assert not equal(score(short), wanted)


@pytest.mark.parametrize("settings", RESIDUALS, ids=str)
def test_residuals_and_matches_are_the_same_beside_both(settings):
    long, short = both(**settings)
    wanted = score(long)
    assert equal(score(short), wanted) and not equal(wanted.roll(1), wanted)


def test_absorbing_blocks_expand_and_project_no_code(monkeypatch):
    seen = []
    for kind, model in zip(("materialised", "absorbed"), both(), strict=True):
        for block in model.head.blocks:
            for linear in (block.cross.key, block.cross.value):
                linear.register_forward_hook(lambda *_, kind=kind: seen.append(kind))
        monkeypatch.setattr(model.compressor, "expand", lambda *_: pytest.fail("a code was expanded"))
        score(model)
    assert seen == ["materialised"] * 4


def test_one_query_meets_all_documents_in_the_first_block():
    shapes = {}
    for kind, model in zip(("materialised", "absorbed"), both(), strict=True):
        shapes[kind] = []
        for block in model.head.blocks:
            block.register_forward_hook(lambda _module, inputs, _out, kind=kind: shapes[kind].append(len(inputs[0].states)))
        score(model)
    assert shapes == {"materialised": [8, 8], "absorbed": [1, 8]}


@pytest.mark.parametrize("settings", SLOTS, ids=str)
def test_gradients_are_the_same_so_training_may_take_either(settings):
    found = []
    for model in both(**settings):
        docs = candidates(model)
        weights = torch.linspace(-1, 1, len(DOCUMENTS[:8]))
        (model.score(model.query_from_tokens(model.query_tokens(QUERY)), docs) * weights).sum().backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    long, short = found
    there = {name for name, grad in long.items() if grad is not None}
    assert "compressor.down" in there and "head.blocks.0.cross.key.weight" in there
    # A bias of keys cancels in the softmax: the long way finds 0 but for rounding, the short way never meets it.
    assert there - {n for n, grad in short.items() if grad is not None} == {f"head.blocks.{i}.cross.key.bias" for i in (0, 1)}
    for name in there:
        limit = 1e-4 * max(1.0, float(long[name].abs().max()))
        assert (torch.zeros(1) if short[name] is None else short[name]).sub(long[name]).abs().max() <= limit, name
    key, value = (long[f"head.blocks.0.cross.{name}.weight"] for name in ("key", "value"))
    assert (key - value).abs().max() > 1e-2


def test_a_student_learns_through_absorbed_attention(tmp_path):
    head = part("cross_blocks", blocks=1, first=3, readout="mean", slots="mean", own=False, attend="absorbed")
    model = students.student("mice", compressor=part("linear", width=8), head=head)
    before = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    students.run(model, tmp_path)
    moved = [name for name, tensor in model.head.state_dict().items() if not torch.equal(tensor, before[name])]
    assert {"blocks.0.cross.key.weight", "blocks.0.cross.value.weight"} <= set(moved)


def test_both_read_one_store_and_score_as_without_it(tmp_path):
    long, short = both(slots="cls", own=False)
    with build_store(long, DOCUMENTS, tmp_path / "store") as store:
        wanted = engine.scores(Ranker(long, store).rank(QUERY, IDS))
        assert engine.close(engine.scores(Ranker(short, store).rank(QUERY, IDS)), wanted)
        assert engine.close(engine.scores(Ranker(short).rank(QUERY, documents=DOCUMENTS)), wanted)
        assert engine.close(wanted | {i: Ranker(short, store).rank(QUERY, [i])[0].score for i in IDS[:9]}, wanted)
        with build_store(short, DOCUMENTS, tmp_path / "other") as other:
            assert other.info()["fingerprint"] == store.info()["fingerprint"]
            assert other.info()["content_digest"] == store.info()["content_digest"]
        with torch.no_grad():
            short.head.blocks[1].cross.query.weight.mul_(1.5)
        assert not engine.close(engine.scores(Ranker(short, store).rank(QUERY, IDS)), wanted)


def test_a_checkpoint_of_before_serves_either_way(tmp_path):
    old = engine.fresh_model(replace(method_of("materialised"), head=part("cross_blocks", blocks=2, first=2)))
    shake(old)
    old.save_pretrained(tmp_path / "old")
    assert "attend" not in (tmp_path / "old" / "lateint.json").read_text()
    again = load_model(tmp_path / "old")
    served = load_model(tmp_path / "old", engine.lossless(method_of("absorbed")), **engine.LENGTHS)
    assert torch.equal(score(again), score(old)) and served.head.absorbs and equal(score(served), score(old))
    served.save_pretrained(tmp_path / "new")
    assert load_model(tmp_path / "new").head.absorbs and torch.equal(score(load_model(tmp_path / "new")), score(served))


@pytest.mark.parametrize(
    ("family", "compressor", "settings", "message"),
    [
        ("bert", None, {"attend": "both"}, "attend='both'; expected one of materialised, absorbed"),
        ("bert", None, {"attend": "absorbed", "cache": "keys_values"}, "stored keys and values are projected already"),
        ("modernbert", None, {"attend": "absorbed"}, "a pre-norm family normalises states"),
        ("bert", part("bottleneck", width=8), {"attend": "absorbed"}, "these codes need more than a linear map"),
    ],
)
def test_what_cannot_be_absorbed_is_refused(family, compressor, settings, message):
    method = replace(method_of("materialised"), compressor=compressor)
    assert engine.fresh_model(method, family)
    with pytest.raises(InputError, match=message):
        engine.fresh_model(replace(method, head=part("cross_blocks", first=2, **settings)), family)
