"""Checks for compressors whose codes are stored."""

import pytest
import torch

from lateint.errors import StoreMismatch
from lateint.ranking.ranker import Ranker
from tests.support import engine


def check_scores(made, store, texts, weights):
    """Check that scores are equal from codes, decoded, and without a store, and differ after `weights` are negated."""
    ids = [str(i) for i in range(len(texts))]
    ranker = Ranker(made, store)
    stored = engine.scores(ranker.rank(engine.QUERY, ids))
    assert ranker._ladder.own.codecs
    assert engine.scores(Ranker(made).rank(engine.QUERY, documents=texts)) == pytest.approx(stored, abs=1e-3)
    ranker._ladder.own.codecs = {}
    assert engine.scores(ranker.rank(engine.QUERY, ids)) == pytest.approx(stored, abs=1e-4)
    weights.data.mul_(-1)  # `data`: the ranker does not notice
    assert engine.scores(ranker.rank(engine.QUERY, ids)) != pytest.approx(stored, abs=0.1)


def check_mismatch(made, store, weights):
    """Check that a store is rejected after a change of one of the `weights` that its codes depend on."""
    with torch.no_grad():
        weights.view(-1)[0] += 1e-3
    with pytest.raises(StoreMismatch, match=r"states\.weights"):
        Ranker(made, store)
