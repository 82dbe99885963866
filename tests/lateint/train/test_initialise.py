"""Samples that parts are fitted on before the first step."""

import numpy as np
import torch

from lateint.train import initialise
from lateint.train.data import TextSet
from tests.support import students

LONG = TextSet("long", ["bread and water and the sun and a star and strings of a violin"] * 4)
SHORT = TextSet("short", ["bread", "water"])


def sampled(*sources):
    return initialise.document_states(students.student("mores"), sources, np.random.default_rng(0))


def test_a_source_of_short_texts_takes_no_tokens_from_the_others(monkeypatch):
    alone = len(sampled(LONG).states)
    both = sampled(LONG, SHORT)
    assert len(both.states) == alone + len(sampled(SHORT).states) == len(both.token_ids)
    monkeypatch.setattr(initialise, "TOKENS", 5)
    assert len(sampled(LONG, SHORT).states) == 10
    assert torch.equal(sampled(LONG).states, sampled(LONG).states)
