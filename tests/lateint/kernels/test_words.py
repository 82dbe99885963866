"""Which words a document holds, by machine code and by numpy, against a plain loop."""

import numpy as np
import pytest

from lateint.errors import ModelError
from lateint.kernels import words
from lateint.kernels.words import words_held
from lateint_store import ArraySpec, Ragged


def coded(lengths, width=5, seed=0):
    rows = np.random.default_rng(seed).integers(0, 256, (sum(lengths), width), dtype=np.uint8)
    rows[:, 1] %= 2  # few different ids, so that some repeat
    return Ragged(rows, np.concatenate([[0], np.cumsum(lengths)]), ArraySpec("uint8", width))


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("lengths", [[3, 0, 40, 1, 0], [0, 0], [7], []])
@pytest.mark.parametrize("asked", [1, 64, 70])
def test_equals_a_loop_over_documents_and_ids(monkeypatch, compiles, lengths, asked):
    monkeypatch.setattr(words, "compiles", lambda: compiles)
    held = coded(lengths)
    ids = np.random.default_rng(1).integers(0, 512, asked)
    ids[-1] = ids[0]  # a word that the query repeats
    ids[asked // 2] += (asked > 1) << 16  # an id that two bytes cannot hold, whose low bytes are those of another
    found = words_held(held, ids)
    assert found.shape == (len(lengths), asked) and found.dtype == bool
    for document in range(len(lengths)):
        rows = held.values[held.offsets[document] : held.offsets[document + 1]].astype(int)
        inside = set((rows[:, 0] + 256 * rows[:, 1]).tolist())
        assert found[document].tolist() == [int(token) in inside for token in ids]


def test_rows_without_an_id_are_refused():
    for values in (np.zeros((2, 1), np.uint8), np.zeros((2, 4), np.float32)):
        with pytest.raises(ModelError, match=r"expected a token id in two bytes"):
            words_held(Ragged(values, np.array([0, 2]), ArraySpec(str(values.dtype), values.shape[1])), np.array([1]))
