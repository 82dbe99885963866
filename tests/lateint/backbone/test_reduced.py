"""Layers in bfloat16 and int8 against float64 arithmetic on the same rounded numbers, and against the layers in float32."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lateint.backbone.base import adapt
from lateint.backbone.reduced import PRECISIONS, Bfloat16Linear, Int8Linear, fastest, has_units, reduced
from lateint.backbone.split import states_after
from lateint.backbone.tokenizer import TokenBatch
from lateint.testing import tiny

LOWER = [precision for precision in PRECISIONS if precision != "float32"]
BOUND = {"bfloat16": 0.05, "int8": 0.1}  # of a row's states after four layers, relative to its length


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def backbone(request):
    from transformers import AutoModelForSequenceClassification

    return adapt(AutoModelForSequenceClassification.from_pretrained(tiny.checkpoint(request.param)))


def batch(seed=0, n=3, length=11):
    ids = torch.randint(5, 80, (n, length), generator=torch.Generator().manual_seed(seed))
    return TokenBatch(ids, torch.zeros_like(ids), torch.arange(length).expand(n, -1), None)


@torch.inference_mode()
def last(backbone, rows):
    depth = len(backbone.layers)
    return states_after(backbone, rows, {depth})[depth].states


@pytest.mark.parametrize("precision", LOWER)
def test_states_are_those_of_float32_but_for_rounding(backbone, precision):
    exact, found = last(backbone, batch()), last(reduced(backbone, precision, 4), batch())
    error = (found - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert found.dtype == torch.float32 and 0 < error.max() < BOUND[precision]
    other = last(backbone, batch(seed=1))
    assert ((other - exact).norm(dim=-1) / exact.norm(dim=-1)).mean() > BOUND[precision]  # the bound tells texts apart


@pytest.mark.parametrize("precision", LOWER)
def test_only_the_layers_up_to_a_depth_change(backbone, precision):
    made = reduced(backbone, precision, 2)
    assert made.layers[2:] == backbone.layers[2:] and made.bare is backbone.bare
    assert not set(made.layers[:2]) & set(backbone.layers)
    assert reduced(backbone, "float32", 2) is backbone


@pytest.mark.parametrize("precision", LOWER)
def test_a_text_has_the_same_states_alone_and_in_a_batch(backbone, precision):
    made, rows = reduced(backbone, precision, 4), batch(n=5)
    alone = [last(made, TokenBatch(*(x[i : i + 1] for x in (rows.ids, rows.segments, rows.positions)), None)) for i in range(5)]
    together = last(made, rows)
    error = (torch.cat(alone) - together).norm(dim=-1) / together.norm(dim=-1)
    assert error.max() < BOUND[precision] / 4  # sums of other orders may round to the neighbour


def test_a_layer_that_does_more_than_linear_maps_stays_as_it_is(backbone):
    hooked = copy.deepcopy(backbone)
    hooked.layers[1].feed_forward.down.register_forward_hook(lambda module, inputs, output: output * 0)
    made = reduced(hooked, "bfloat16", 4)
    assert made.layers[1] is hooked.layers[1] and made.layers[0] is not hooked.layers[0]


def test_bfloat16_is_the_product_of_rounded_numbers():
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 24), torch.randn(7, 48)
    found = Bfloat16Linear(linear.weight.detach(), linear.bias.detach())(x)
    rounded = [tensor.detach().bfloat16().double() for tensor in (x, linear.weight, linear.bias)]
    expected = rounded[0] @ rounded[1].T + rounded[2]
    assert found.dtype == torch.bfloat16
    assert ((found.double() - expected).abs() <= 2**-8 * expected.abs() + 2**-8 * 0.1).all()


def test_int8_is_the_product_of_codes_and_steps():
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 24), torch.randn(2, 7, 48) * torch.logspace(-3, 3, 7)[:, None]
    found = Int8Linear(linear.weight.detach(), linear.bias.detach())(x).detach().numpy()
    rows, weights = x.numpy().reshape(-1, 48), linear.weight.detach().numpy()
    steps = [np.abs(side).max(axis=1, keepdims=True) / np.float32(127) for side in (rows, weights)]
    codes = [np.rint(side / step).astype(np.int64) for side, step in zip((rows, weights), steps, strict=True)]
    expected = (codes[0] @ codes[1].T) * steps[0] * steps[1].T + linear.bias.detach().numpy()
    assert found.reshape(-1, 24) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    exact = linear(x).detach().numpy().reshape(-1, 24)
    assert found.reshape(-1, 24) != pytest.approx(exact, rel=1e-5, abs=1e-6)


def test_rows_of_zeros_and_rows_that_are_not_finite():
    linear = Int8Linear(torch.randn(4, 8), torch.arange(4.0))
    x = torch.zeros(3, 8)
    x[1, 2], x[2, 2] = float("nan"), float("inf")
    found = linear(x)
    assert torch.equal(found[0], torch.arange(4.0)) and not found[1:].isfinite().any()


def test_auto_is_bfloat16_where_the_processor_has_units_and_maps_are_wide(monkeypatch):
    chosen = {}
    for units in (True, False):
        monkeypatch.setattr("lateint.backbone.reduced.has_units", lambda precision, units=units: units)
        chosen[units] = [fastest(width) for width in (32, 384)]
    assert chosen == {True: ["float32", "bfloat16"], False: ["float32", "float32"]}


def test_an_older_torch_says_nothing_about_the_processor(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    has_units.cache_clear()
    assert not any(has_units(precision) for precision in PRECISIONS)
    has_units.cache_clear()
