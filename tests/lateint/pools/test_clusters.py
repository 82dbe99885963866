"""Token pooling: the end points, means, pads, gradients, and a store whose documents have fewer rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lateint
from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import InputError
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import build, part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny

TEXTS = TextEncoder(tiny.tokenizer("bert"))
IDS = torch.zeros(2, 9, dtype=torch.int64)
STATES = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(1))
MASK = torch.arange(9) < torch.tensor([[9], [4]])
POSITIONS = torch.arange(9).expand(2, 9)


def pooled(factor, states=STATES, mask=MASK):
    return build("pools", part("clusters", factor=factor), TEXTS)(TokenStates(states, POSITIONS, mask), IDS)


def test_factor_one_is_the_identity():
    rows = pooled(1)
    assert rows.states is STATES and rows.mask is MASK


def test_one_cluster_is_the_mean_of_the_real_rows():
    rows = pooled(9)
    assert torch.allclose(rows.states[:, 0], torch.stack([STATES[0].mean(0), STATES[1, :4].mean(0)]), atol=1e-6)
    assert rows.states.shape == (2, 1, 8) and rows.mask is None


@pytest.mark.parametrize(("factor", "counts"), [(2, [5, 2]), (3, [3, 2]), (4, [3, 1])])
def test_a_factor_leaves_its_share_of_the_rows(factor, counts):
    rows = pooled(factor)
    assert rows.mask.sum(dim=1).tolist() == counts and rows.states.shape[1] == counts[0]
    assert rows.positions[0].tolist() == sorted(rows.positions[0].tolist()) and rows.positions[0, 0] == 0


def test_rows_that_look_the_same_way_meet_whatever_their_length():
    states = torch.eye(4)[[0, 1, 0, 2, 1, 3]][None] * torch.tensor([1.0, 2, 3, 4, 5, 6])[:, None]
    rows = pooled(2, torch.cat([states, torch.eye(4)[[3]][None]], dim=1), None)  # seven rows, four directions
    wanted = torch.tensor([[2.0, 0, 0, 0], [0, 3.5, 0, 0], [0, 0, 4, 0], [0, 0, 0, 3.5]])
    assert torch.equal(rows.states[0], wanted) and rows.positions[0].tolist() == [0, 1, 3, 5]


def test_company_changes_nothing():
    alone = pooled(2, STATES[1:, :4], None)
    assert torch.allclose(pooled(2).states[1, :2], alone.states[0], atol=1e-6)


def test_gradients_reach_every_real_row_and_no_pad():
    states = STATES.clone().requires_grad_()
    pooled(2, states).states.sum().backward()
    assert (states.grad.abs().sum(-1) > 0).equal(MASK)


def test_a_factor_below_one_is_refused():
    with pytest.raises(InputError, match="factor=0"):
        pooled(0)


def test_a_store_holds_half_the_rows_and_scores_as_without_one(tmp_path):
    half, whole = (
        load_model(tiny.checkpoint("bert"), replace(preset("colbert"), pool=pool), query_max_length=24, doc_max_length=48)
        for pool in (part("clusters", factor=2), part("all_tokens"))
    )
    texts, ids = tiny.texts(12, seed=5), [str(i) for i in range(12)]
    with lateint.build_store(half, texts, tmp_path / "half") as store:
        with lateint.build_store(whole, texts, tmp_path / "whole") as longer:
            np.testing.assert_array_equal(store.rows(ids), -(-longer.rows(ids) // 2))
        stored = Ranker(half, store).rank("bread in the oven", ids)
        now = Ranker(half).rank("bread in the oven", documents=texts)
        assert [hit.doc_id for hit in stored] == [hit.doc_id for hit in now]
        np.testing.assert_allclose([hit.score for hit in stored], [hit.score for hit in now], rtol=1e-4)
