"""Cross-attention over frozen documents: copied initialisation, frozen documents, order, residual."""

import pytest
import torch

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
from lateint.heads.cross_blocks import CrossBlocks
from lateint.heads.inputs import Candidates
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
DOCUMENTS = [Document(str(i), text) for i, text in enumerate(tiny.texts(6, seed=4))]
ABSOLUTE = ["bert", "roberta", "electra", "distilbert"]


def load(family="bert", method="mores", **settings):
    from dataclasses import replace

    chosen = preset(method)
    head = part(chosen.head.name, **(dict(chosen.head.settings) | settings))
    if settings.get("residual", "none") != "none":
        chosen = replace(chosen, vector=part("mean"))
    return load_model(tiny.checkpoint(family), method=replace(chosen, head=head), **LENGTHS)


def candidates(model, documents=DOCUMENTS):
    arrays = model.encode_batch(model.document_tokens(documents))
    states, mask = arrays["states"]
    return Candidates(states=states, mask=mask, vector=arrays["vector"][0] if "vector" in arrays else None)


@pytest.mark.parametrize("family", ABSOLUTE)
def test_a_fresh_cross_attention_over_the_query_itself_is_the_layers_self_attention(family):
    model = load(family)
    with torch.inference_mode():
        rows = model.query("how is bread in the oven").rows
        layer, block = model.backbone.layers[2], model.head.blocks[0]
        assert torch.equal(block.cross(rows, rows), layer.attention(rows, rows))


def test_under_rotary_positions_a_fresh_cross_attention_differs_because_it_has_none():
    model = load("modernbert")
    with torch.inference_mode():
        rows = model.query("how is bread in the oven").rows
        layer, block = model.backbone.layers[2], model.head.blocks[0]
        assert (block.cross(rows, rows) - layer.attention(rows, rows)).abs().max() > 1e-3


def test_copies_are_copies_and_not_the_backbone_itself():
    model = load()
    assert model.head.blocks[0].cross.query.weight is not model.backbone.layers[2].attention.query.weight
    assert torch.equal(model.head.blocks[0].cross.query.weight, model.backbone.layers[2].attention.query.weight)


@pytest.mark.parametrize("order", ["cross_then_self", "self_then_cross"])
def test_every_block_attends_to_the_same_untouched_document_states(order):
    model = load(order=order)
    docs, seen = candidates(model), []
    for block in model.head.blocks:
        block.cross.register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[1].states))
    before = docs.states.clone()
    with torch.no_grad():
        model.score(model.query("bread in the oven"), docs)
    assert len(seen) == 2 and seen[0] is seen[1]
    assert torch.equal(docs.states, before)


def test_document_gradient_flows_through_keys_and_values_only():
    model = load(blocks=1, first=3)
    docs = candidates(model)
    states = docs.states.detach().requires_grad_()
    block = model.head.blocks[0]
    rows = model.query_from_tokens(model.query_tokens("bread in the oven")).rows.expand(len(DOCUMENTS))
    document = TokenStates(states, torch.zeros(states.shape[:2], dtype=torch.int64), docs.mask)
    (flowing,) = torch.autograd.grad(block(rows, document).states.sum(), states)
    assert flowing.abs().max() > 0
    for linear in (block.cross.key, block.cross.value):
        torch.nn.init.zeros_(linear.weight)
    (blocked,) = torch.autograd.grad(block(rows, document).states.sum(), states)
    assert blocked.abs().max() == 0


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("method", ["mores", "mice"])
def test_scores_do_not_depend_on_padding_or_on_the_order_of_document_rows(family, method):
    model = load(family, method, **({"first": 1} if method == "mice" else {}))
    with torch.inference_mode():
        query = model.query("how is bread in the oven")
        together = model.score(query, candidates(model))
        limit = 1e-5 * max(1.0, float(together.max() - together.min()))
        apart = torch.cat([model.score(query, candidates(model, [document])) for document in DOCUMENTS])
        assert (together - apart).abs().max() <= limit
        docs = candidates(model, DOCUMENTS[:1])
        order = torch.randperm(docs.states.shape[1], generator=torch.Generator().manual_seed(1))
        turned = model.score(query, Candidates(states=docs.states[:, order]))
        assert (turned - together[:1]).abs().max() <= limit
        assert (together - together.roll(1)).abs().min() > 10 * limit


def test_the_order_of_attention_matters():
    query, scores = "how is bread in the oven", []
    for order in ("cross_then_self", "self_then_cross"):
        model = load(order=order)
        with torch.inference_mode():
            scores.append(model.score(model.query(query), candidates(model)))
    assert (scores[0] - scores[1]).abs().max() > 1e-3


def test_a_fresh_residual_head_ranks_exactly_as_the_cosine():
    model, base = load(residual="cosine"), load_model(tiny.checkpoint("bert"), method="cosine", **LENGTHS)
    with torch.inference_mode():
        residual = model.score(model.query("bread in the oven"), candidates(model))
        vectors = base.encode_batch(base.document_tokens(DOCUMENTS))["vector"][0]
        cosine = base.score(base.query("bread in the oven"), Candidates(vector=vectors))
    assert torch.allclose(residual, 20 * cosine, atol=1e-4)


def test_fresh_parameters_are_the_same_in_every_load():
    assert torch.equal(load().head.readout.weight, load().head.readout.weight)


@pytest.mark.parametrize(
    "settings",
    [{"blocks": 0}, {"blocks": 5}, {"first": "T-9"}, {"order": "both"}, {"readout": "max"}, {"residual": "x"}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        load(**settings)


def test_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match="no setting 'depth'"):
        load(depth=3)


def test_candidates_without_states_are_refused():
    model = load()
    with pytest.raises(InputError, match="reads 'states'"):
        CrossBlocks.score(model.head, model.query("bread"), Candidates())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_shut_gate_leaves_what_is_read_out_without_blocks_and_an_open_one_is_no_gate(family):
    found = {}
    with torch.inference_mode():
        for gate in (None, 0.0, 0.5, 1.0):
            model = load(family, readout="matches", gate=gate)
            query, docs = model.query("bread and salt"), candidates(model)
            found[gate] = model.score(query, docs)
            rows = model.backbone.final(query.rows.states).expand(len(DOCUMENTS), -1, -1)
            without = model.head.matches(rows, query.text_mask, docs.states, docs.mask)
    limit = 1e-5 * float(without.abs().max())
    assert (found[0.0] - without).abs().max() <= limit
    assert (found[1.0] - found[None]).abs().max() <= limit
    assert (found[0.5] - found[0.0]).abs().max() > 10 * limit < (found[0.5] - found[1.0]).abs().max()
