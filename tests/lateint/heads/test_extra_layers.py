"""Positions and segments added again, more layers, two CLS rows; what families lack is not added."""

import copy
from dataclasses import replace

import pytest
import torch

from lateint.backbone.layer import TokenStates
from lateint.backbone.split import join
from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.testing import tiny
from tests.support import engine

DOCUMENTS = engine.DOCUMENTS[:6]
QUERY = engine.QUERY


def load(family="bert", **settings):
    model = engine.fresh_model(replace(preset("dc_bert"), head=part("extra_layers", **({"layers": 2} | settings))), family)
    with torch.no_grad():
        model.head.readout.weight.mul_(20)  # so that scores spread
    return model


def candidates(model, documents=DOCUMENTS):
    states, mask = model.encode_batch(model.document_tokens(documents))["states"]
    return Candidates(states=states, mask=mask)


def score(model, docs=None):
    with torch.inference_mode():
        return model.score(model.query(QUERY), candidates(model) if docs is None else docs)


def reference(model, document):
    """One pair by the family's own embedding tables and layers, every row of every layer."""
    backbone, query = model.backbone, model.query(QUERY).rows
    states = candidates(model, [document]).states
    q, m = query.states.shape[1], states.shape[1]
    places = torch.arange(q + m)
    joint = torch.cat([query.states, states], dim=1)
    family, base = backbone.config.model_type, backbone.bare.embeddings
    if family != "modernbert":
        first = 1 if "roberta" in family else 0
        added = base.position_embeddings.weight[places + first]
        if family in ("bert", "electra"):
            added = added + base.token_type_embeddings.weight[torch.tensor([0] * q + [1] * m)]
        joint = joint + (added @ backbone.bare.embeddings_project.weight.T if family == "electra" else added)
    top = backbone.run(TokenStates(joint, places[None]), 2, 4)
    states = backbone.final(top.states)
    return model.head.readout(torch.cat([states[:, 0], states[:, q]], dim=-1))[0, 0]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_fresh_head_is_the_last_layers_over_embedded_states_and_reads_both_cls(family):
    model = load(family)
    with torch.inference_mode():
        got = score(model)
        wanted = torch.stack([reference(model, document) for document in DOCUMENTS])
    limit = 1e-5 * max(1.0, float(wanted.max() - wanted.min()))
    assert (got - wanted).abs().max() <= limit
    assert (wanted - wanted.roll(1)).abs().min() > 10 * limit


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_order_of_document_rows_matters_because_positions_are_added_again(family):
    model = load(family)
    docs = candidates(model, DOCUMENTS[:1])
    turned = Candidates(states=docs.states.flip(1))
    kept = torch.cat([docs.states[:, :1], docs.states[:, 1:].flip(1)], dim=1)  # the CLS row stays in its place
    assert (score(model, turned) - score(model, docs)).abs().max() > 1e-3
    assert (score(model, Candidates(states=kept)) - score(model, docs)).abs().max() > 1e-3


def test_without_positions_only_the_place_of_the_document_cls_would_matter():
    model = load()
    torch.nn.init.zeros_(model.head.positions)
    docs = candidates(model, DOCUMENTS[:1])
    kept = torch.cat([docs.states[:, :1], docs.states[:, 1:].flip(1)], dim=1)
    assert (score(model, Candidates(states=kept)) - score(model, docs)).abs().max() < 1e-4


def test_positions_are_those_of_the_joint_text_and_segments_tell_the_sides_apart():
    plain, changed = score(load()), []
    for name, rows in (("positions", slice(60, None)), ("positions", slice(20, 24)), ("segments", slice(1, 2))):
        model = load()
        with torch.no_grad():
            getattr(model.head, name)[rows] += 1.0 + torch.arange(32.0)
        changed.append((score(model) - plain).abs().max() > 1e-4)
    assert changed == [False, True, True]  # no text here is 60 tokens long


@pytest.mark.parametrize(
    ("family", "positions", "segments"),
    [("bert", 96, 2), ("roberta", 97, None), ("electra", 96, 2), ("distilbert", 96, None), ("modernbert", None, None)],
)
def test_what_a_family_does_not_have_is_not_added(family, positions, segments):
    head = load(family).head
    for table, rows in ((head.positions, positions), (head.segments, segments)):
        assert (table is None) if rows is None else (table.shape == (rows, 32))


def test_tables_and_layers_are_copies_that_training_moves_alone():
    model = load()
    assert torch.equal(model.head.positions, model.backbone.bare.embeddings.position_embeddings.weight)
    before = copy.deepcopy(model.backbone.state_dict())
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.1)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())


@pytest.mark.parametrize("row", ["query", "document"])
def test_each_cls_moves_the_score(row):
    model = load()
    half = slice(0, 32) if row == "query" else slice(32, 64)
    before = score(model)
    with torch.no_grad():
        model.head.readout.weight[:, half] = 0
    assert (score(model) - before).abs().max() > 1e-4


def test_padding_and_company_do_not_move_a_score():
    model = load()
    with torch.inference_mode():
        together = score(model)
        alone = torch.cat([score(model, candidates(model, [document])) for document in DOCUMENTS])
    assert candidates(model).mask is not None
    assert (together - alone).abs().max() <= 1e-5 * max(1.0, float(alone.max() - alone.min()))


def test_both_towers_have_weights_of_their_own():
    model = load()
    assert model.query_backbone is not None
    rows = model.query(QUERY).rows
    assert join(rows, rows).states.shape[1] == 2 * rows.states.shape[1]
    before = score(model)
    with torch.no_grad():
        model.query_backbone.layers[0].feed_forward.down.weight.mul_(1.5)
    assert (score(model) - before).abs().max() > 1e-4


@pytest.mark.parametrize("layers", [0, 5, True, 1.5])
def test_more_layers_than_there_are_to_copy_are_refused(layers):
    with pytest.raises(InputError, match=f"layers={layers!r}; expected 1..4"):
        load(layers=layers)


def test_texts_that_reach_beyond_the_positions_together_are_refused():
    with pytest.raises(InputError, match="reaches position 100, but this encoder has 96"):
        engine.fresh_model("dc_bert", query_max_length=40, doc_max_length=60)
    assert engine.fresh_model("dc_bert", "modernbert", query_max_length=40, doc_max_length=60)


def test_unknown_settings_projections_and_missing_states_are_refused():
    with pytest.raises(InputError, match="no setting 'blocks'"):
        load(blocks=1)
    with pytest.raises(InputError, match="readout='cls'; expected one of both_cls, matches"):
        load(readout="cls")
    with pytest.raises(InputError, match="cannot map codes back"):
        engine.fresh_model(replace(preset("dc_bert"), compressor=part("projection", width=8)))
    with pytest.raises(InputError, match="reads 'states'"):
        score(load(), Candidates())
