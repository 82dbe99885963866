"""What codes that a compressor makes have to show once a store holds them."""

import pytest
import torch

from lateint.errors import StoreMismatch
from lateint.ranking.ranker import Ranker
from tests.support import engine


def check_scores(made, store, texts, weights):
    """Scores are the same read as stored, decoded, and without a store; with `weights` turned round they are others."""
    ids = [str(i) for i in range(len(texts))]
    ranker = Ranker(made, store)
    stored = engine.scores(ranker.rank(engine.QUERY, ids))
    assert ranker._ladder.own.codecs
    assert engine.scores(Ranker(made).rank(engine.QUERY, documents=texts)) == pytest.approx(stored, abs=1e-3)
    ranker._ladder.own.codecs = {}
    assert engine.scores(ranker.rank(engine.QUERY, ids)) == pytest.approx(stored, abs=1e-4)
    with torch.no_grad():
        weights.mul_(-1)
    assert engine.scores(ranker.rank(engine.QUERY, ids)) != pytest.approx(stored, abs=0.1)


def check_mismatch(made, store, weights):
    """A store is refused once one of the `weights` that codes stand on has changed."""
    with torch.no_grad():
        weights.view(-1)[0] += 1e-3
    with pytest.raises(StoreMismatch, match=r"states\.weights"):
        Ranker(made, store)
