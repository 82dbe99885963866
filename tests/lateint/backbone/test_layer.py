"""`Attention.probabilities` gives the weights that fused attention uses, in every family."""

import pytest
import torch

from lateint.backbone.layer import TokenStates
from lateint.backbone.split import states_after
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS


def joint(family, dtype=torch.float64):
    """Return a backbone and padded states after its first layer; sequences are longer than the attention window."""
    model = engine.model("prettr", family, dtype="float64")
    block = model.texts.block(model.document_tokens(DOCUMENTS[:5]), model.method.document)
    return model.backbone, states_after(model.backbone, block, {1})[1]


def attended(attention, rows, context, shares):
    """Compute the output of attention from its probabilities."""
    values = context.states if not attention.pre_norm else attention.norm(context.states)
    n, m, _ = values.shape
    values = attention.value(values).view(n, m, attention.heads, -1)
    out = attention.output(torch.einsum("nhtm,nmhd->nthd", shares, values).reshape(rows.states.shape))
    return rows.states + out if attention.pre_norm else attention.norm(out + rows.states)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_probabilities_are_those_of_the_fused_path(family):
    backbone, rows = joint(family)
    assert rows.mask is not None and not rows.mask.all()
    for layer in backbone.layers:
        for ours in (rows, rows.first()):
            with torch.inference_mode():
                shares = layer.attention.probabilities(ours, rows)
                fused = layer.attention(ours, rows)
                assert shares.shape == (5, layer.attention.heads, ours.states.shape[1], rows.states.shape[1])
                assert torch.allclose(attended(layer.attention, ours, rows, shares), fused, atol=1e-9)
                flat = torch.full_like(shares, 1 / shares.shape[-1])
                assert not torch.allclose(attended(layer.attention, ours, rows, flat), fused, atol=1e-2)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_shares_add_up_to_one_and_pads_have_none_until_they_are_unmasked(family):
    backbone, rows = joint(family)
    attention = backbone.layers[0].attention
    first, pads = rows.first(), ~rows.mask
    open_rows = TokenStates(rows.states, rows.positions)
    with torch.inference_mode():
        shares, unmasked = (attention.probabilities(first, context)[:, :, 0] for context in (rows, open_rows))
    pads = pads[:, None].expand_as(shares)
    assert torch.allclose(shares.sum(dim=-1), torch.ones(()).double())
    assert shares[pads].max() == 0 and shares[~pads].min() >= 0 and unmasked[pads].max() > 0


def test_dropout_does_not_reach_probabilities():
    backbone, rows = joint("bert")
    attention = backbone.layers[0].attention
    before, chance = attention.probabilities(rows, rows), attention.dropout
    attention.train()
    attention.dropout = 0.5
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            assert torch.equal(attention.probabilities(rows, rows), before)
            assert not torch.equal(attention(rows, rows), attention(rows, rows))
    finally:
        attention.eval()
        attention.dropout = chance
