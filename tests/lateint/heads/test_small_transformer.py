"""Truncated outputs, both sides cacheable, and the reduction to remaining layers over both sides."""

import copy
from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Layout
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support import engine

N_QUERY, N_DOCUMENT = 4, 6
DOCUMENTS = [document for document in engine.DOCUMENTS if len(document.text.split()) > 8][:6]
QUERY = engine.QUERY
SMALL = {"query_tokens": N_QUERY, "document_tokens": N_DOCUMENT, "layers": 2, "heads": 4}


def method(pool=N_DOCUMENT, **settings):
    chosen = replace(preset("dipair"), pool=part("first", tokens=pool), compressor=part("linear", width=16))
    return replace(chosen, head=part("small_transformer", **(SMALL | settings)))


def load(pool=N_DOCUMENT, family="bert", **settings):
    return engine.fresh_model(method(pool, **settings), family)


def candidates(model, documents=DOCUMENTS):
    states, mask = model.encode_batch(model.document_tokens(documents))["states"]
    return Candidates(states=states, mask=mask)


def score(model, docs, query=None):
    with torch.inference_mode():
        return model.score(model.query(QUERY) if query is None else query, docs)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_rows_beyond_the_first_are_never_read_though_they_shaped_those_that_stay(family):
    long, short = load(48, family), load(N_DOCUMENT, family)
    every, first = candidates(long), candidates(short)
    assert every.states.shape[1] > N_DOCUMENT == first.states.shape[1]
    assert torch.allclose(score(long, every), score(short, first), atol=1e-5)
    words = DOCUMENTS[0].text.split()
    changed = Document("changed", " ".join([*words[:-1], "engine" if words[-1] != "engine" else "wheel"]))
    pair = candidates(short, [DOCUMENTS[0], changed])
    assert (pair.states[0] - pair.states[1]).abs().max() > 1e-4  # the text is read in full
    scores = score(short, pair)
    assert (scores[0] - scores[1]).abs() > 1e-5


def test_rows_within_the_first_are_read():
    model = load()
    docs = candidates(model)
    before = score(model, docs)
    for place in range(N_DOCUMENT):
        moved = docs.states.clone()
        moved[:, place] += 1.0
        assert (score(model, Candidates(states=moved, mask=docs.mask)) - before).abs().min() > 1e-6


def test_a_query_is_a_cache_and_its_first_rows_are_enough():
    model = load()
    docs, kept = candidates(model), model.query(QUERY)
    ran = []
    for layer in model.backbone.layers:
        layer.register_forward_hook(lambda *_: ran.append(1))
    assert torch.equal(score(model, docs, kept), score(model, docs, kept))
    assert not ran  # with both sides cached no layer of a tower runs
    rows = kept.rows
    first = Query(
        replace(rows, states=rows.states[:, :N_QUERY], positions=rows.positions[:, :N_QUERY]), kept.text_mask[:N_QUERY]
    )
    fewer = Query(
        replace(rows, states=rows.states[:, : N_QUERY - 1], positions=rows.positions[:, : N_QUERY - 1]), kept.text_mask
    )
    assert torch.equal(score(model, docs, first), score(model, docs, kept))
    assert (score(model, docs, fewer) - score(model, docs, kept)).abs().max() > 1e-5


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_in_full_length_with_the_remaining_layers_as_head_it_is_deformer(family):
    """At L < T: full-length N, no map, the backbone's own layers L..T, and nothing added for positions and segments."""
    chosen = replace(preset("deformer"), offline_layers=2, query_layers=2)
    deformer = engine.fresh_model(chosen, family)
    head = part("small_transformer", query_tokens=24, document_tokens=48, layers=2, heads=4)
    model = engine.fresh_model(replace(chosen, head=head, pool=part("first", tokens=48)), family)
    model.head.layers = torch.nn.ModuleList(copy.deepcopy(layer) for layer in model.backbone.layers[2:])
    torch.nn.init.zeros_(model.head.positions)
    torch.nn.init.zeros_(model.head.segments)
    with torch.inference_mode():
        docs, wanted = candidates(model), score(deformer, candidates(deformer))

        def logits():
            return deformer.backbone.classify(model.head.interact(model.query(QUERY), docs)[:, None], None)[:, 0]

        limit = 1e-5 * max(1.0, float(wanted.max() - wanted.min()))
        assert (logits() - wanted).abs().max() <= limit
        model.head.segments[1] += torch.arange(32.0)  # what the head adds of its own ends the identity
        assert (logits() - wanted).abs().max() > 10 * limit


def test_the_order_of_document_rows_matters_and_would_not_without_positions():
    model = load()
    torch.nn.init.normal_(model.head.positions, generator=torch.Generator().manual_seed(1))  # as training may leave them
    docs = candidates(model)
    turned = Candidates(states=docs.states.flip(1))
    assert docs.mask is None or bool(docs.mask.all())
    assert (score(model, turned) - score(model, docs)).abs().max() > 1e-3
    torch.nn.init.zeros_(model.head.positions)
    assert (score(model, turned) - score(model, docs)).abs().max() < 1e-5


def test_segments_tell_the_sides_apart():
    model = load()
    before = score(model, candidates(model))
    with torch.no_grad():
        model.head.segments.copy_(model.head.segments.flip(0))
    assert (score(model, candidates(model)) - before).abs().max() > 1e-4


def test_short_texts_have_fewer_rows_and_company_does_not_move_a_score():
    model, documents = load(), [Document("one", "bread"), Document("none", ""), *DOCUMENTS[:2]]
    together = score(model, candidates(model, documents))
    alone = torch.cat([score(model, candidates(model, [document])) for document in documents])
    assert candidates(model, documents).mask is not None
    assert torch.allclose(together, alone, atol=1e-5) and len(set(alone.tolist())) == 4


def test_both_sides_pass_the_one_map():
    model = load()
    before = score(model, candidates(model))
    docs = candidates(model)
    with torch.no_grad():
        model.compressor.down.mul_(1.5)
    assert (score(model, docs) - before).abs().max() > 1e-4  # the documents are as they were: the query moved
    assert (score(model, candidates(model)) - score(model, docs)).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"query_tokens": 25}, r"query_tokens=25; expected 1\.\.24"),
        ({"document_tokens": 49}, r"document_tokens=49; expected 1\.\.48"),
        ({"pool": 49}, r"keeps the first 49 tokens; expected 1\.\.48"),
        ({"pool": 0}, r"keeps the first 0 tokens; expected 1\.\.48"),
        ({"heads": 3}, "width 16 is not divisible by heads=3"),
        ({"heads": 0}, "heads=0; expected"),
        ({"layers": 0}, "layers=0; expected"),
        ({"layers": 10**7}, "10000000 layers; expected 1 to 100"),
        ({"layers": True}, "layers=True; expected"),
        ({"query_tokens": 0}, "query_tokens=0; expected"),
        ({"depth": 2}, "no setting 'depth'"),
        ({"readout": "mean"}, "readout='mean'; expected one of first, matches"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        load(**settings)


def test_candidates_without_states_are_refused():
    with pytest.raises(InputError, match="reads 'states'"):
        score(load(), Candidates())


def test_the_lengths_of_the_preset_are_those_of_the_towers():
    assert preset("dipair").query == Layout(max_length=32) and preset("dipair").document == Layout(max_length=128)
