"""Which words of a query a document holds, from the token ids in its stored codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lateint.errors import ModelError
from lateint_store import Ragged
from lateint_store.kernels.compiled import compiled, compiles

_BITS = 64  # query tokens of one pass
_VOCABULARY = 1 << 16  # what two bytes can name


def words_held(coded: Ragged, token_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each document holds each token id: bool [n, q].

    Args: `coded`, n documents of uint8 rows that start with a token id, low byte first; `token_ids` [q], of which no document
    holds those of 65,536 or more. Raises: ModelError for rows that hold no id. Cost: one look-up per row for each 64 ids.
    """
    rows = coded.values.reshape(-1, coded.values.shape[-1])
    if rows.dtype != np.uint8 or rows.shape[1] < 2:
        raise ModelError(f"stored rows are {rows.dtype} [{rows.shape[1]}]; expected a token id in two bytes: index again")
    held = np.zeros((len(coded), len(token_ids)), np.bool_)
    for start in range(0, len(token_ids), _BITS):
        ids = token_ids[start : start + _BITS]
        places, known = np.arange(len(ids), dtype=np.uint64), ids < _VOCABULARY
        asked = np.zeros(_VOCABULARY, np.uint64)
        np.bitwise_or.at(asked, ids[known], np.uint64(1) << places[known])
        found = np.zeros(len(coded), np.uint64)
        (compiled(gather) if compiles() else gather_in_numpy)(rows, coded.offsets, asked, found)
        held[:, start : start + _BITS] = found[:, None] >> places & np.uint64(1) != 0
    return held


def gather(rows: NDArray[np.uint8], offsets: NDArray[np.int64], asked: NDArray[np.uint64], found: NDArray[np.uint64]) -> None:
    """Set in `found` [n] the bits of `asked` [65,536] at the ids of each document's rows."""
    for document in range(len(found)):
        bits = np.uint64(0)
        for row in range(offsets[document], offsets[document + 1]):
            bits |= asked[np.int64(rows[row, 0]) | np.int64(rows[row, 1]) << 8]
        found[document] = bits


def gather_in_numpy(
    rows: NDArray[np.uint8], offsets: NDArray[np.int64], asked: NDArray[np.uint64], found: NDArray[np.uint64]
) -> None:
    """Do what `gather` does, without numba."""
    bits = asked[rows[:, 0].astype(np.int64) | rows[:, 1].astype(np.int64) << 8]
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        found[filled] = np.bitwise_or.reduceat(bits, offsets[filled])
