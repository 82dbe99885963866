"""Stores whose arrays the model would not write, with sound checksums: ranked to finite scores, or refused; no crash."""

import os

import numpy as np
import pytest

from lateint.errors import LateintError
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from lateint.testing import tiny
from tests.support import mutants
from tests.support.engine import LENGTHS, QUERY

MUTANTS = int(os.environ.get("LATEINT_MUTANTS", "8"))  # of each method
METHODS = {"words": mutants.WORDS, "mice": "mice", "cross_encoder": "cross_encoder", "colbert": "colbert", "cosine": "cosine"}


def outcome(model, store):
    """ "ranked" or the name of the error."""
    try:
        ranker = Ranker(model, store)
        for ids in (mutants.IDS, mutants.IDS[:1]):
            assert all(np.isfinite(hit.score) for hit in ranker.rank(QUERY, ids))
        if "vector" in model.arrays:
            Retriever(model, store).retrieve(QUERY, 3)
    except LateintError as error:
        return type(error).__name__
    return "ranked"


@pytest.mark.parametrize("name", METHODS)
def test_a_mutant_is_ranked_to_finite_scores_or_refused(tmp_path, name):
    model = load_model(tiny.checkpoint("bert"), METHODS[name], **LENGTHS)
    rng = np.random.default_rng(len(name))
    found = set()
    for number in range(MUTANTS):
        store = mutants.mutant(tmp_path / str(number), model, rng)
        if store is not None:
            with store:
                found.add(outcome(model, store))
    assert "StoreMismatch" in found
