"""Joint layers: watching them, bypassing the compressor, and the readout from best matches against a numpy oracle."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, ModelError
from lateint.heads.inputs import Candidates
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.aggregate import Aggregate
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS, LENGTHS, QUERY

MATCHES = replace(preset("prettr"), name="matches", head=part("joint_layers", readout="matches"))
NARROW = replace(preset("prettr"), compressor=part("bottleneck", width=8))


def load(method="prettr", family="bert", depth=2):
    chosen = preset(method) if isinstance(method, str) else method
    if family == "modernbert":
        chosen = replace(chosen, document=replace(chosen.document, positions="follow"))
    return engine.model(chosen, family, offline_layers=depth)


def candidates(model, documents=DOCUMENTS[:6]):
    arrays = model.encode_batch(model.document_tokens(documents))
    masks = [mask for name, (_, mask) in arrays.items() if name != "vector"]
    return Candidates(mask=masks[0], **{name: values for name, (values, _) in arrays.items()})


@pytest.mark.parametrize("depth", [0, 2, 3, 4])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_watching_moves_no_score_and_sees_every_layer(family, depth):
    model = load(family=family, depth=depth)
    seen = []
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        watched = model.head.score(query, docs, watch=lambda number, rows: seen.append((number, rows)))
        alone = model.score(query, docs)
        again = model.head.trace(query, docs)
        size = query.rows.states.shape[1] + (docs.states if depth else docs.token_ids).shape[1]
        assert [number for number, _ in seen] == list(range(depth, 5))
        for (number, rows), after in zip(seen, [*seen[1:], None], strict=True):
            assert rows.states.shape == (6, size, 32)
            assert after is None or torch.equal(model.backbone.layers[number](rows), after[1].states)
        assert all(torch.equal(rows.states, other.states) for (_, rows), other in zip(seen, again, strict=True))
    assert (watched - alone).abs().max() <= 1e-5 * max(1.0, float(alone.max() - alone.min()))
    assert depth == 4 or (alone - alone.roll(1)).abs().min() > 1e-4


def test_past_the_compressor_the_rows_are_those_of_the_uncompressed_method():
    model, plain = load(NARROW), load()
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        kept, side, _ = model.document_rows(model.document_tokens(DOCUMENTS[:6]))
        past = model.head.trace(query, Candidates(mask=kept.mask, states=kept.states), compressed=False)
        wanted = plain.head.trace(plain.query(QUERY), candidates(plain))
        through = model.head.trace(query, docs)
    assert side is None and len(past) == len(wanted) == 3
    assert all(torch.equal(ours.states, theirs.states) for ours, theirs in zip(past, wanted, strict=True))
    assert not torch.allclose(through[0].states, past[0].states, atol=0.1)


def test_a_model_can_do_without_its_compressor_for_a_while():
    plain = load()
    for method in (NARROW, replace(NARROW, compressor=part("aesi", width=8))):
        model = engine.fresh_model(method, offline_layers=2)
        arrays = model.arrays
        with torch.inference_mode():
            wanted = plain.score(plain.query(QUERY), candidates(plain))
            compressed = model.score(model.query(QUERY), candidates(model))
            with model.uncompressed():
                assert model.arrays == ("states",) and torch.equal(model.score(model.query(QUERY), candidates(model)), wanted)
            assert torch.equal(model.score(model.query(QUERY), candidates(model)), compressed)
        assert model.arrays == arrays and (compressed - wanted).abs().min() > 1e-3
        assert any(name.startswith("compressor.") for name in model.state_dict())
    blocks = engine.fresh_model(replace(preset("mice"), compressor=part("linear", width=8)))
    with pytest.raises(InputError, match="'cross_blocks' is built on codes"), blocks.uncompressed():
        pass


def test_the_depth_and_not_an_array_at_hand_says_what_is_read():
    model = load()
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        ids = torch.zeros(docs.states.shape[:2], dtype=torch.int64)
        assert torch.equal(model.score(query, replace(docs, token_ids=ids)), model.score(query, docs))
        with pytest.raises(InputError, match="reads 'states', which these candidates do not hold"):
            model.score(query, Candidates(mask=docs.mask, token_ids=ids))
    whole = load(depth=0)
    with torch.inference_mode(), pytest.raises(InputError, match="reads 'token_ids'"):
        whole.score(whole.query(QUERY), docs)


def test_token_ids_and_a_vector_can_stand_in_one_entry():
    model = load(replace(preset("cross_encoder"), vector=part("mean")), depth=0)
    entry = model.encode(model.document_tokens(DOCUMENTS[:1]))[0]
    assert set(entry) == {"token_ids", "vector"} and abs(np.linalg.norm(entry["vector"]) - 1) < 1e-5


@pytest.mark.parametrize("head", ["cls", "matches"])
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_residual_adds_ten_cosines_of_the_vectors_at_first(family, depth, head):
    method = replace(preset("prettr"), vector=part("mean"), head=part("joint_layers", readout=head))
    plain = load(method, family, depth)
    whole = load(replace(method, head=part("joint_layers", readout=head, residual="cosine")), family, depth)
    with torch.inference_mode():
        docs, query = candidates(whole), whole.query(QUERY)
        cosine = docs.vector @ query.vector
        wanted = plain.score(plain.query(QUERY), candidates(plain))
        assert torch.allclose(whole.score(query, docs), wanted + 10 * cosine, atol=1e-4)
    assert whole.head.reads == (*plain.head.reads, "vector") and whole.head.log_residual.requires_grad
    assert float((10 * cosine).abs().max()) > 1e-2  # or the sum would show nothing


def oracle(rows, q, words, mask):
    """5·cos of means + 40·the mean of best cosines, one document at a time, in float64."""

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    scores = []
    for i, states in enumerate(rows.double().numpy()):
        ours = states[:q][words.numpy()]
        theirs = states[q:] if mask is None else states[q:][mask[i].numpy()]
        cosine = unit(ours.mean(axis=0)) @ unit(theirs.mean(axis=0))
        scores.append(5 * cosine + 40 * (unit(ours) @ unit(theirs).T).max(axis=1).mean())
    return np.array(scores)


@pytest.mark.parametrize("depth", [0, 2, 4])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_fresh_readout_is_what_numpy_makes_of_the_last_rows(family, depth):
    model = load(MATCHES, family, depth)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        got, last = model.score(query, docs).numpy(), model.head.trace(query, docs)[-1]
        states = last.states if depth == 4 else model.backbone.final(last.states)
    q = query.rows.states.shape[1]
    wanted = oracle(states, q, query.text_mask, docs.mask)
    assert np.abs(got - wanted).max() < 1e-4 < np.ptp(wanted) / 10
    # With special tokens as words, or with pads as rows, it is another number.
    assert np.abs(wanted - oracle(states, q, torch.ones_like(query.text_mask), docs.mask)).max() > 1e-3
    assert np.abs(wanted - oracle(states, q, query.text_mask, None)).max() > 1e-3


def shaken():
    model = engine.fresh_model(MATCHES, offline_layers=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def test_weights_and_the_map_of_words_act_as_stated():
    model = shaken()
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        got, head = model.score(query, docs), model.head.matches
        rows = model.head.trace(query, docs)[-1].states
        q = query.rows.states.shape[1]
        for i, one in enumerate(rows):
            ours, theirs = one[:q][query.text_mask], one[q:] if docs.mask is None else one[q:][docs.mask[i]]
            weight = torch.log1p(torch.exp(ours @ head.weight.weight[0] + head.weight.bias))
            sims = torch.cosine_similarity((ours @ head.query_map.weight.T)[:, None], theirs[None], dim=-1)
            evidence = (weight * sims.max(dim=1).values).sum() / weight.sum()
            cosine = torch.cosine_similarity(ours.mean(dim=0), theirs.mean(dim=0), dim=0)
            assert abs(head.log_tau.exp() * cosine + head.log_eps.exp() * evidence - got[i]) < 1e-3
        fresh = load(MATCHES)
        assert (got - fresh.score(fresh.query(QUERY), docs)).abs().min() > 1e-2


def test_company_and_pads_move_no_score_of_the_readout_and_the_order_of_documents_is_kept():
    model = shaken()
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        together = model.score(query, docs)
        apart = torch.cat([model.score(query, candidates(model, [document])) for document in DOCUMENTS[:6]])
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        turned = model.score(query, Candidates(mask=docs.mask[order], states=docs.states[order]))
        loud = docs.states.clone()
        loud[~docs.mask] = query.rows.states[0, 1]  # pads that would match a query word best
        assert torch.equal(model.score(query, replace(docs, states=loud)), together)
        assert not torch.equal(model.score(query, Candidates(states=loud)), together)
    assert (together - apart).abs().max() < 1e-4 < (together - together.roll(1)).abs().min()
    assert (turned - together[order]).abs().max() < 1e-4


def test_the_order_of_a_documents_rows_does_not_matter_to_the_readout():
    model = shaken()
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model, DOCUMENTS[:1])
        score = model.score(query, docs)
        assert torch.allclose(model.score(query, replace(docs, states=docs.states.flip(1))), score, atol=1e-4)
        assert (model.score(query, replace(docs, states=docs.states[:, :-3])) - score).abs() > 1e-3


def test_the_readout_needs_no_classifier_and_stays_float32(tmp_path):
    from transformers import AutoModel

    folder = tiny.checkpoint("bert")
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    bare = engine.load_model(tmp_path, method=MATCHES, dtype="bfloat16", **LENGTHS)
    assert not bare.backbone.has_classifier and engine.model("prettr").backbone.has_classifier
    with torch.inference_mode():
        assert bare.score(bare.query(QUERY), candidates(bare)).dtype == torch.float32
    with pytest.raises(InputError, match="'mean_cls' averages the CLS rows"):
        Aggregate.parse("mean_cls").check(bare)
    Aggregate.parse("mean_cls").check(engine.model("prettr"))


def test_many_labels_are_refused_by_the_classifier_alone():
    folder = tiny.checkpoint("bert", labels=3)
    with pytest.raises(ModelError, match="3 labels"):
        engine.load_model(folder, method="prettr", **LENGTHS)
    assert engine.load_model(folder, method=MATCHES, **LENGTHS).head.reads == ("states",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"head": part("joint_layers", readout="mean")}, "readout='mean'; expected one of cls, matches"),
        ({"head": part("joint_layers", residual="sum")}, "residual='sum'; expected one of none, cosine"),
        ({"head": part("joint_layers", residual="cosine")}, "reads 'vector', but method 'prettr' has no vectors"),
        ({"offline_layers": 5}, "5 layers of a backbone with T = 4"),
        ({"offline_layers": "T-5"}, "'T-5' layers of a backbone with T = 4"),
        ({"offline_layers": 0, "compressor": part("linear", width=4)}, "token ids at L = 0, which no compressor takes"),
        ({"document": replace(preset("prettr").document, positions="follow")}, "cannot be stored"),
        ({"document": replace(preset("prettr").document, segment=2)}, "segment 2, but this encoder has 2 segment embeddings"),
    ],
)
def test_what_does_not_fit_is_refused(changes, match):
    with pytest.raises(InputError, match=match):
        engine.fresh_model(replace(preset("prettr"), **changes))


def test_a_segment_is_ignored_by_a_family_that_has_none():
    method = replace(preset("prettr"), document=replace(preset("prettr").document, segment=1))
    assert engine.fresh_model(method, "roberta").method.document.segment == 0
    assert engine.fresh_model(method, "bert").method.document.segment == 1
