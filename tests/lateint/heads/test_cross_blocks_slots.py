"""Slots: which rows of a query the blocks update, and whether they look at each other."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.testing import tiny
from tests.support import engine

DOCUMENTS, QUERY = engine.DOCUMENTS[:6], engine.QUERY
KINDS = [("tokens", "cls"), ("tokens", "mean"), ("cls", "cls"), ("cls", "mean"), ("mean", "mean")]


def load(family="bert", **settings):
    head = part("cross_blocks", **({"blocks": 2, "first": 2} | settings))
    vector = part("mean") if settings.get("residual") else None
    model = engine.fresh_model(replace(preset("mores"), vector=vector, head=head), family)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        if model.head.readout is not None and not settings.get("residual"):
            model.head.readout.weight.copy_(torch.randn(1, 32, generator=generator))
    return model


def candidates(model):
    arrays = model.encode_batch(model.document_tokens(DOCUMENTS))
    states, mask = arrays["states"]
    return Candidates(states=states, mask=mask, vector=arrays["vector"][0] if "vector" in arrays else None)


def score(model, query=None):
    with torch.inference_mode():
        return model.score(model.query(QUERY) if query is None else query, candidates(model))


def moved(query, row):
    """The query with one row of its states elsewhere."""
    states = query.rows.states.clone()
    states[:, row] += 1.0
    return replace(query, rows=query.rows.with_states(states))


def equal(found, wanted):
    return float((found - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.max() - wanted.min()))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize(("slots", "readout"), KINDS)
def test_blocks_update_all_rows_or_one(family, slots, readout):
    model, seen = load(family, slots=slots, readout=readout), []
    for block in model.head.blocks:
        block.register_forward_hook(lambda _module, inputs, out: seen.append((inputs[0].states.shape[1], out.states.shape[1])))
    found = score(model)
    rows = len(model.query_tokens(QUERY)) if slots == "tokens" else 1
    assert seen == [(rows, rows)] * 2 and (found - found.roll(1)).abs().min() > 1e-4


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_cls_row_alone_is_that_of_all_rows_exactly_where_rows_do_not_see_each_other(family):
    apart = [score(load(family, slots=slots, own=False)) for slots in ("tokens", "cls")]
    together = [score(load(family, slots=slots)) for slots in ("tokens", "cls")]
    assert equal(apart[1], apart[0]) and not equal(together[1], together[0])


def test_the_mean_is_of_words_alone():
    model = load(slots="mean", readout="mean")
    with torch.inference_mode():
        query = model.query(QUERY)
    assert not query.text_mask[0] and not query.text_mask[-1] and query.text_mask[1]
    before = score(model, query)
    assert torch.equal(score(model, moved(query, 0)), before) and torch.equal(score(model, moved(query, -1)), before)
    assert not equal(score(model, moved(query, 1)), before)
    mean = query.rows.states[:, 1:-1].mean(dim=1, keepdim=True)
    by_hand = load(slots="cls", readout="mean")
    states = torch.cat([mean, query.rows.states[:, 1:]], dim=1)
    assert equal(score(by_hand, replace(query, rows=query.rows.with_states(states))), before)


def test_without_own_attention_rows_do_not_see_each_other_and_with_it_they_do():
    for own in (True, False):
        model = load(own=own)
        with torch.inference_mode():
            query = model.query(QUERY)
        assert equal(score(model, moved(query, 2)), score(model, query)) is not own  # the readout is the CLS row's
        assert any(".own." in name for name in model.head.state_dict()) is own


@pytest.mark.parametrize(("slots", "readout"), KINDS)
def test_a_fresh_head_over_evidence_scores_as_evidence_alone_whatever_its_slots(slots, readout):
    alone = engine.fresh_model(replace(preset("mores"), vector=part("mean"), head=part("evidence")))
    model = load(slots=slots, readout=readout, residual="evidence")
    wanted = score(alone)
    assert torch.allclose(score(model), wanted, atol=1e-5)
    with torch.no_grad():
        model.head.readout.weight.normal_(generator=torch.Generator().manual_seed(1))
        before = score(model)
        assert (model.head.matched is None) is (slots == "cls")  # CLS is no word that could match
        if model.head.matched is not None:
            model.head.matched.fill_(0.5)
            assert not equal(score(model), before)
    assert not equal(before, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slots": "words"}, "slots='words'; expected one of tokens, cls, mean"),
        ({"own": "no"}, "own='no'; expected true or false"),
        ({"own": 1}, "own=1; expected true or false"),
        ({"slots": "cls", "readout": "matches"}, "readout='matches' needs a row per query token"),
        ({"slots": "mean", "readout": "matches"}, "slots='mean' has one row"),
        ({"slots": "mean"}, "readout='cls' reads a row that slots='mean' does not have"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        load(**settings)
