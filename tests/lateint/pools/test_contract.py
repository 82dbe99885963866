"""What every pool promises; found by the folder: names("pools")."""

import pytest
import tiny
import torch

from lateint.backbone.layer import Rows
from lateint.parts import build, names, part
from lateint.tokens import TextEncoder

TEXTS = TextEncoder(tiny.tokenizer("bert"))
WORDS = [[2, 9, TEXTS.token_id(","), 11, 3], [2, 12, 3, 0, 0]]
IDS = torch.tensor(WORDS)
STATES = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[True] * 5, [True, True, True, False, False]])
POSITIONS = torch.arange(5).expand(2, 5)


def pooled(name, states=STATES, mask=MASK):
    return build("pools", part(name), TEXTS)(Rows(states, POSITIONS, mask), IDS)


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
