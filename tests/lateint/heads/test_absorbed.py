"""Attention over codes equals attention over the states that they expand to: every form, its gradients, its refusals."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lateint.backbone.layer import Attention, TokenStates
from lateint.errors import InputError
from lateint.heads import _absorbed
from lateint.heads._absorbed import Codes, Expansion, absorbed

H, C, N, M, T = 24, 8, 5, 9, 3
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-10}
FORMS = ["", "bias", "rotation", "scale", "norm", "bias rotation scale", "bias norm", "bias rotation scale norm"]


class Case:
    """Random weights and documents, of 1 to M tokens; `form` names what stands between codes and states."""

    def __init__(self, form="", heads=4, biased=True, dtype=torch.float64, seed=0):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype
        self.attention = self.random_attention(heads, biased)
        self.rows = self.as_rows(self.random(1, T, H).expand(N, -1, -1))
        self.mask = torch.arange(M) < torch.tensor([1, M, 1, 4, 2])[:, None]
        self.how = Expansion(
            up=self.random(H, C),
            bias=self.random(H) if "bias" in form else None,
            rotation=torch.linalg.qr(self.random(C, C))[0] if "rotation" in form else None,
            norm=self.random_norm() if "norm" in form else None,
        )
        values, scale = self.random(N, M, C), self.random(N, M).exp() if "scale" in form else None
        self.codes = Codes(values, self.mask, scale)
        if self.how.norm is not None:
            spread = self.before_norm(self.codes).var(dim=-1, unbiased=False)
            self.codes = replace(self.codes, inverse_std=(spread + self.how.norm.eps).rsqrt())

    def random(self, *shape):
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def as_rows(self, states, mask=None):
        return TokenStates(states, torch.arange(states.shape[1]).expand(states.shape[:2]), mask)

    def random_norm(self):
        norm = torch.nn.LayerNorm(H, dtype=self.dtype)
        torch.nn.init.ones_(norm.weight).data.add_(self.random(H))
        norm.bias.data.copy_(self.random(H))
        return norm

    def random_attention(self, heads, biased):
        maps = [torch.nn.Linear(H, H, bias=biased, dtype=self.dtype) for _ in range(4)]
        for parameter in (p for linear in maps for p in linear.parameters()):
            parameter.data.copy_(self.random(*parameter.shape) * (0.3 if parameter.dim() == 2 else 1.0))
        attention = Attention(*maps, norm=torch.nn.Identity())
        attention.heads = heads
        return attention

    def before_norm(self, codes):
        scaled = codes.values if codes.scale is None else codes.values * codes.scale[..., None]
        z = scaled if self.how.rotation is None else scaled @ self.how.rotation
        return F.linear(z, self.how.up, self.how.bias)

    def materialised(self, own=None):
        """Expand every code, project every state, attend: what is to be saved."""
        states, mask = self.before_norm(self.codes), self.mask
        states = states if self.how.norm is None else self.how.norm(states)
        if own is not None:
            seen = torch.ones(N, own.states.shape[1], dtype=torch.bool) if own.mask is None else own.mask.expand(N, -1)
            states, mask = torch.cat([states, own.states.expand(N, -1, -1)], dim=1), torch.cat([mask, seen], dim=1)
        return self.attention(self.rows, self.as_rows(states, mask))

    def absorbed(self, own=None, **changed):
        return absorbed(self.attention, self.rows, self.codes, replace(self.how, **changed), own)


def error(found, wanted):
    """The largest difference as a share of the largest number."""
    return float((found - wanted).detach().abs().max() / wanted.detach().abs().max())


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("heads", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_codes_are_attended_to_as_the_states_that_they_expand_to(form, biased, heads, dtype):
    case = Case(form, heads, biased, dtype)
    wanted = case.materialised()
    assert error(case.absorbed(), wanted) <= LIMITS[dtype]
    assert error(wanted.roll(1, dims=0), wanted) > 1e-2  # documents differ
    case.codes = replace(case.codes, mask=None)
    assert error(case.absorbed(), wanted) > 1e-3  # pads would count


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_documents_and_the_querys_own_tokens_share_a_softmax(form, masked, biased, dtype):
    case = Case(form, 3, biased, dtype)
    own = case.as_rows(case.random(1, T + 1, H), torch.tensor([[True, True, False, True]]) if masked else None)
    wanted = case.materialised(own)
    assert error(case.absorbed(own), wanted) <= LIMITS[dtype]
    assert error(case.absorbed(), wanted) > 1e-2


def test_one_query_is_folded_once_for_all_documents():
    case = Case("bias rotation scale norm")
    wanted = case.materialised()
    case.rows = case.as_rows(case.rows.states[:1])
    assert case.absorbed().shape == (N, T, H) and error(case.absorbed(), wanted) <= 1e-10


def test_without_a_compressor_states_are_their_own_codes():
    case = Case()
    states = case.random(N, M, H)
    wanted = case.attention(case.rows, case.as_rows(states, case.mask))
    assert error(absorbed(case.attention, case.rows, Codes(states, case.mask)), wanted) <= 1e-10
    assert error(absorbed(case.attention, case.rows, Codes(states.flip(2), case.mask)), wanted) > 1e-2


@pytest.mark.parametrize("left_out", ["bias", "rotation", "up"])
def test_a_piece_of_the_expansion_left_out_shows(left_out):
    case = Case("bias rotation scale")
    other = {"bias": None, "rotation": None, "up": case.how.up.flip(1)}[left_out]
    assert error(case.absorbed(**{left_out: other}), case.materialised()) > 1e-2


def test_a_scale_left_out_shows():
    case = Case("scale")
    wanted = case.materialised()
    case.codes = replace(case.codes, scale=None)
    assert error(case.absorbed(), wanted) > 1e-2


def test_the_constant_of_a_row_matters_exactly_where_others_share_the_softmax(monkeypatch):
    case = Case("bias norm")
    own = case.as_rows(case.random(1, T, H))
    alone, shared = case.materialised(), case.materialised(own)
    monkeypatch.setattr(_absorbed, "_constant", lambda key, q: torch.zeros(()))
    assert error(case.absorbed(), alone) <= 1e-10
    assert error(case.absorbed(own), shared) > 1e-3


def test_a_norm_without_centring_shows(monkeypatch):
    case = Case("bias norm")
    wanted = case.materialised()
    monkeypatch.setattr(_absorbed, "_centred", lambda weight: weight)
    assert error(case.absorbed(), wanted) > 1e-2


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_long_way(form):
    case = Case(form)
    own = case.as_rows(case.random(1, T, H))
    case.how.up.requires_grad_()
    case.codes.values.requires_grad_()
    reached = [*case.attention.parameters(), case.how.up, case.codes.values]
    if case.how.norm is not None:  # 1/σ is stored, so nothing flows through it
        reached = [*case.attention.parameters(), *case.how.norm.parameters()]
    weights = case.random(N, T, H)
    found = torch.autograd.grad((case.absorbed(own) * weights).sum(), reached)
    wanted = torch.autograd.grad((case.materialised(own) * weights).sum(), reached)
    scale = max(float(w.abs().max()) for w in wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours - theirs).abs().max() <= 1e-10 * scale
    (other,) = torch.autograd.grad((case.absorbed() * weights).sum(), case.attention.value.weight)
    assert (other - wanted[4]).abs().max() > 1e-3 * scale  # without `own` it is another


def test_dropped_attention_drops_its_share_of_the_bias_too(monkeypatch):
    case = Case("bias")
    case.attention.train().dropout = 0.5
    kept = (torch.rand(N, 4, T, M, generator=case.generator) > 0.5) * 2.0
    monkeypatch.setattr(F, "dropout", lambda x, p, training=True: x * kept if x.shape == kept.shape else x)
    found = case.absorbed()
    x = case.before_norm(case.codes)
    shares = case.attention.probabilities(case.rows, case.as_rows(x, case.mask)) * kept
    values = case.attention.value(x).unflatten(-1, (4, -1)).transpose(1, 2)
    wanted = case.attention.output((shares @ values).transpose(1, 2).flatten(2)) + case.rows.states
    assert error(found, wanted) <= 1e-10 and error(case.materialised(), wanted) > 1e-2


def rotary(positions):
    angles = positions[..., None] * torch.ones(H // 4)
    return angles.cos(), angles.sin()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rotary", rotary, "rotary positions turn each key by its place"),
        ("pre_norm", True, "norms its context"),
        ("window", 4, "a window of 4"),
        ("cached", True, "keys and values that are projected already"),
        ("key", torch.nn.Identity(), "are no linear maps"),
    ],
)
def test_what_does_not_fold_is_refused(name, value, message):
    case = Case()
    assert case.absorbed().isfinite().all()
    setattr(case.attention, name, value)
    with pytest.raises(InputError, match=message):
        case.absorbed()


def test_a_bias_between_tokens_of_one_text_is_refused():
    case = Case()
    case.rows = replace(case.rows, bias=torch.zeros(T, T))
    with pytest.raises(InputError, match="a bias"):
        case.absorbed()


def test_rotary_keys_would_give_other_states():
    case = Case()
    ignored = case.absorbed()
    case.attention.rotary = lambda positions: rotary(positions.double())
    assert error(ignored, case.materialised()) > 1e-2


def test_a_norm_may_have_no_bias():
    case = Case("norm", biased=False)
    with_bias = case.materialised()
    case.how.norm.bias = None
    assert error(case.absorbed(), case.materialised()) <= 1e-10 < 1e-2 < error(case.materialised(), with_bias)


def test_a_norm_and_the_spread_before_it_come_together():
    case = Case("norm")
    with pytest.raises(InputError, match="inverse_std"):
        case.absorbed(norm=None)
    case.codes = replace(case.codes, inverse_std=None)
    with pytest.raises(InputError, match="inverse_std"):
        case.absorbed()
