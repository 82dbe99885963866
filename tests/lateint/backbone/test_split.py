"""The split equals the unsplit model: identity tests 1-6 in every family, with twins that show that they can fail."""

import functools
from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support import reference

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
QUERY = "how is bread and yeast in the oven"
DOCUMENTS = [Document(str(i), text) for i, text in enumerate(tiny.texts(8, seed=3))]
LAYERS = range(4)


@functools.cache
def load(family, depth, method="prettr"):
    rule = "follow" if family == "modernbert" else "offset"
    chosen = preset(method)
    chosen = replace(chosen, document=replace(chosen.document, positions=rule if method == "prettr" else "restart"))
    return load_model(tiny.checkpoint(family), method=chosen, offline_layers=depth, **LENGTHS)


def score(model, documents=DOCUMENTS, query=QUERY):
    """Return scores from separately encoded states, in one padded batch."""
    arrays = model.encode_batch(model.document_tokens(documents))
    name, (values, mask) = next(iter(arrays.items()))
    with torch.inference_mode():
        return model.score(model.query(query), Candidates(mask=mask, **{name: values}))


def expected(model, family, depth, start=None, segments=None, query=QUERY):
    """Return the scores of the unsplit model, at the method's positions unless `start` is given."""
    hf = reference.load(tiny.checkpoint(family))
    query = model.query_tokens(query)
    if start is None:
        start = {"follow": len(query), "offset": 24, "restart": 0}[model.method.document.positions]
    segment = model.method.document.segment if segments is None else segments
    logits = []
    with torch.inference_mode():
        for row in model.document_tokens(DOCUMENTS):
            positions = (list(range(len(query))), list(range(start, start + len(row))))
            sides = ([0] * len(query), [segment] * len(row))
            logits.append(reference.unsplit(hf, query, row, depth, positions, sides)[0])
    return torch.stack(logits)


def tolerance(scores):
    return 1e-5 * max(1.0, float(scores.max() - scores.min()))


@pytest.mark.parametrize("depth", LAYERS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_split_equals_the_unsplit_model_under_a_block_mask(family, depth):
    model = load(family, depth)
    got, wanted = score(model), expected(model, family, depth)
    limit = tolerance(wanted)
    assert (got - wanted).abs().max() <= limit
    # Scores of different documents differ, so a mix-up would fail the test.
    assert (wanted - wanted.roll(1)).abs().min() > 10 * limit


@pytest.mark.parametrize("depth", LAYERS)
@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_restarted_positions_equal_the_unsplit_model_and_differ_from_an_offset(family, depth):
    model = load(family, depth, "deformer")
    wanted = expected(model, family, depth)
    assert (score(model) - wanted).abs().max() <= tolerance(wanted)
    assert (wanted - expected(model, family, depth, start=24)).abs().max() > 10 * tolerance(wanted)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_query_length_that_moves_would_break_the_split_except_under_rotary_positions(family):
    model = load(family, 2)
    shifted = expected(model, family, 2, start=17)
    wanted = expected(model, family, 2)
    moved = float((shifted - wanted).abs().max())
    if family == "modernbert":
        # Only distances matter: moving the document changes the joint layers, but not the document's states.
        rows = model.document_tokens(DOCUMENTS)
        states = [model.backbone.run(rows_at(model, rows, start), 0, 2).states for start in (0, 17)]
        assert (states[0] - states[1]).abs().max() < 1e-4
    else:
        assert moved > 10 * tolerance(wanted)


@pytest.mark.parametrize("depth", LAYERS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_positions_that_follow_the_unpadded_query_give_other_scores_than_those_that_are_stored(family, depth):
    """The released code starts document positions after the batch's query: such states cannot be stored in advance."""
    model = load(family, depth)
    length = len(model.query_tokens(QUERY))
    assert length < 24  # the query is shorter than its layout
    dynamic = expected(model, family, depth, start=length)
    if model.method.document.positions == "follow":
        assert (score(model) - dynamic).abs().max() <= tolerance(dynamic)
    else:
        assert (score(model) - dynamic).abs().max() > 10 * tolerance(dynamic)
        # For a query of full length both rules give the same positions.
        long_query = "bread " * 22
        assert len(model.query_tokens(long_query)) == 24
        wanted = expected(model, family, depth, start=24, query=long_query)
        assert (score(model, query=long_query) - wanted).abs().max() <= tolerance(wanted)


def rows_at(model, rows, start):
    from lateint.backbone.layer import TokenStates

    block = model.texts.block(rows, model.method.document, start)
    return TokenStates(model.backbone.embed(block.ids, block.segments, block.positions), block.positions, block.mask)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_document_segment_matters_exactly_where_the_family_has_segments(family):
    model = load(family, 2)
    wanted, other = expected(model, family, 2), expected(model, family, 2, segments=0)
    if family in ("bert", "electra"):
        assert (wanted - other).abs().max() > 10 * tolerance(wanted)
    else:
        assert torch.equal(wanted, other)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_document_states_do_not_see_the_query_and_would_without_the_mask(family):
    model = load(family, 2)
    hf = reference.load(tiny.checkpoint(family))
    query, row = model.query_tokens(QUERY), model.document_tokens(DOCUMENTS[:1])[0]
    positions = torch.tensor([*range(len(query)), *range(24, 24 + len(row))])
    side = torch.tensor([0] * len(query) + [1] * len(row))
    states = reference.embed(hf, torch.tensor(query + row), torch.zeros_like(side), positions).detach().requires_grad_()
    for visible, leaks in ((side[:, None] == side[None, :], False), (torch.ones(len(side), len(side)).bool(), True)):
        out = reference.run(hf, states, positions, visible, range(2))[:, len(query) :]
        (gradient,) = torch.autograd.grad(out.pow(2).sum(), states)
        assert bool(gradient[:, : len(query)].abs().max() > 0) == leaks


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_no_offline_layer_reproduces_the_cross_encoder_of_transformers(family, labels):
    from transformers import AutoTokenizer

    folder = tiny.checkpoint(family, labels)
    model = load_model(folder, method="cross_encoder", **LENGTHS)
    texts = [d.full_text for d in DOCUMENTS]
    batch = AutoTokenizer.from_pretrained(folder)([QUERY] * len(texts), texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = reference.load(folder)(**batch).logits
    wanted = logits[:, 0] if labels == 1 else logits[:, 1] - logits[:, 0]
    assert (score(model) - wanted).abs().max() <= tolerance(wanted)
    assert (wanted - wanted.roll(1)).abs().min() > 10 * tolerance(wanted)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_at_the_last_layer_all_candidates_tie(family):
    scores = score(load(family, 4))
    assert torch.equal(scores, scores[:1].expand_as(scores))


@pytest.mark.parametrize("method", ["deformer", "sdr"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_at_the_last_layer_all_candidates_tie_because_the_query_holds_the_cls_and_below_it_they_do_not(family, method):
    chosen = replace(preset(method), compressor=None)  # without sdr's autoencoder
    for head, depth, tie in (("cls", 4, True), ("cls", 3, False), ("matches", 4, False)):
        model = load_model(
            tiny.checkpoint(family),
            method=replace(chosen, head=part("joint_layers", readout=head), query_layers=depth),
            offline_layers=depth,
            **LENGTHS,
        )
        scores = score(model)
        assert torch.equal(scores, scores[:1].expand_as(scores)) == tie, (head, depth)


@pytest.mark.parametrize("depth", LAYERS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_cls_row_alone_equals_the_cls_row_of_the_full_last_layer(family, depth, monkeypatch):
    model = load(family, depth)
    cls_only = score(model)
    classify = model.backbone.classify
    monkeypatch.setattr(type(model.backbone), "reads_cls_only", False)
    monkeypatch.setattr(model.backbone, "classify", lambda states, mask: classify(states[:, :1], None))
    full = score(model)
    assert (cls_only - full).abs().max() <= tolerance(full)


@pytest.mark.parametrize("depth", LAYERS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_padding_does_not_move_a_score(family, depth):
    model = load(family, depth)
    together = score(model)
    apart = torch.cat([score(model, [document]) for document in DOCUMENTS])
    assert (together - apart).abs().max() <= tolerance(apart)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_document_rows_may_be_permuted_unless_positions_act_in_the_upper_layers(family):
    model = load(family, 2)
    arrays = model.encode_batch(model.document_tokens(DOCUMENTS[:1]))
    states, _ = arrays["states"]
    order = torch.randperm(states.shape[1], generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        query = model.query(QUERY)
        before, after = (model.score(query, Candidates(states=s)) for s in (states, states[:, order]))
    moved = float((before - after).abs())
    assert (moved > 1e-4) == (family == "modernbert")


def test_positions_that_follow_the_query_are_refused_where_states_would_depend_on_them():
    chosen = preset("prettr")
    chosen = replace(chosen, document=replace(chosen.document, positions="follow"))
    with pytest.raises(InputError, match="cannot be stored"):
        load_model(tiny.checkpoint("bert"), method=chosen, offline_layers=2, **LENGTHS)


def test_a_layout_longer_than_the_encoder_is_refused():
    with pytest.raises(InputError, match="reaches position"):
        load_model(tiny.checkpoint("bert"), method="prettr", query_max_length=60, doc_max_length=60)
