"""What every pool promises; found by the folder: names("pools")."""

import pytest
import torch

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import InputError
from lateint.methods.method import Layout
from lateint.methods.registry import build, names, part
from lateint.testing import tiny

TEXTS = TextEncoder(tiny.tokenizer("bert"))
WORDS = [[2, 9, TEXTS.token_id(","), 11, 3], [2, 12, 3, 0, 0]]
IDS = torch.tensor(WORDS)
STATES = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[True] * 5, [True, True, True, False, False]])
POSITIONS = torch.arange(5).expand(2, 5)


def pooled(name, states=STATES, mask=MASK):
    return build("pools", part(name), TEXTS)(TokenStates(states, POSITIONS, mask), IDS)


@pytest.mark.parametrize("name", names("pools"))
def test_what_stands_in_a_pad_changes_nothing(name):
    noisy = STATES.clone()
    noisy[1, 3:] = 1e6
    before, after = pooled(name), pooled(name, noisy)
    kept = torch.ones(before.states.shape[:2], dtype=torch.bool) if before.mask is None else before.mask
    assert torch.equal(before.states[kept], after.states[kept])
    assert not kept.all() or before.states.shape[1] == 1


def test_all_tokens_keeps_every_real_row():
    rows = pooled("all_tokens")
    assert torch.equal(rows.states, STATES) and torch.equal(rows.mask, MASK)


def test_no_punctuation_drops_the_comma_and_keeps_special_tokens():
    assert pooled("no_punctuation").mask.tolist() == [[True, True, False, True, True], [True, True, True, False, False]]
    assert pooled("no_punctuation", mask=None).mask.tolist()[0] == [True, True, False, True, True]


def test_mean_is_the_normalised_mean_of_real_rows():
    rows = pooled("mean")
    wanted = torch.stack([STATES[0].mean(0), STATES[1, :3].mean(0)])
    assert rows.states.shape == (2, 1, 8)
    assert torch.allclose(rows.states[:, 0], wanted / wanted.norm(dim=-1, keepdim=True), atol=1e-6)


def test_mean_without_normalising_keeps_the_length():
    pool = build("pools", part("mean", normalise=False), TEXTS)
    mean = pool(TokenStates(STATES, POSITIONS, MASK), IDS).states[:, 0]
    assert torch.allclose(mean, torch.stack([STATES[0].mean(0), STATES[1, :3].mean(0)]), atol=1e-6)
    assert (mean.norm(dim=-1) - 1).abs().min() > 1e-2


@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_first_keeps_the_first_rows_with_their_mask(tokens):
    pool = build("pools", part("first", tokens=tokens), TEXTS)
    rows = pool(TokenStates(STATES, POSITIONS, MASK), IDS)
    assert torch.equal(rows.states, STATES[:, :tokens]) and torch.equal(rows.mask, MASK[:, :tokens])
    assert pool(TokenStates(STATES, POSITIONS, None), IDS).mask is None
    unit = build("pools", part("first", tokens=tokens, normalise=True), TEXTS)(TokenStates(STATES, POSITIONS, MASK), IDS).states
    assert torch.allclose(unit * rows.states.norm(dim=-1, keepdim=True), rows.states, atol=1e-6)


def test_top_layers_mean_leaves_out_the_first_row_and_pads():
    rows = pooled("top_layers_mean")
    wanted = torch.stack([STATES[0, 1:].mean(0), STATES[1, 1:3].mean(0)])
    assert torch.allclose(rows.states[:, 0], wanted, atol=1e-6) and rows.states.shape == (2, 1, 8)
    assert (rows.states - pooled("top_layers_mean", mask=None).states)[1].abs().max() > 1e-3
    alone = TokenStates(STATES[:, :1], POSITIONS[:, :1], None)
    assert not build("pools", part("top_layers_mean"), TEXTS)(alone, IDS[:, :1]).states.any()


@pytest.mark.parametrize("name", names("pools"))
def test_the_stated_width_is_that_of_the_rows(name):
    pool = build("pools", part(name), TEXTS)
    wide = torch.cat([STATES] * pool.layers, dim=-1)
    assert pool(TokenStates(wide, POSITIONS, MASK), IDS).states.shape[-1] == pool.width(8)


@pytest.mark.parametrize("name", names("pools"))
def test_a_pool_fits_if_it_reads_no_more_than_there_is(name):
    pool, layout = build("pools", part(name), TEXTS), Layout(max_length=16)
    pool.check(layout, 4)
    for attribute, message in (("layers", "reads the last 5 layers"), ("tokens", "keeps the first 17 tokens")):
        spoilt = build("pools", part(name), TEXTS)
        setattr(spoilt, attribute, 5 if attribute == "layers" else 17)
        with pytest.raises(InputError, match=f"pool '{name}' {message}"):
            spoilt.check(layout, 4)
