"""Best cosines of query rows with the codes of many documents, read as they are stored: a table look-up a byte."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lateint.errors import ModelError
from lateint_store import Ragged
from lateint_store.codecs.rotated import Rotated
from lateint_store.kernels.compiled import compiled

WHOLE = (1, 2, 4, 8)  # bits of which a byte holds whole codes
PADDED = 8  # columns of a table are a multiple of this: additions of whole vector registers


def best_cosines(coded: Ragged, codec: Rotated, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest cosine of each query row with a document's decoded rows: float32 [n, q]; -1 for one without rows.

    Args: `coded`, n documents, rows uint8 as `codec` made them, of 1, 2, 4 or 8 bits; `queries` [q, w], of any length.
    What codes say of a row's length is not read: a cosine does not ask. Equal to decoding but for float32 rounding.
    Cost: 256·q·w multiply-adds for the tables, then q additions a byte.
    """
    lengths = np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-12))
    table = tables(codec, codec.turn((queries / lengths).astype(np.float32)))
    best = np.full((len(coded), len(queries)), -1, np.float32)
    rows: NDArray[np.uint8] = coded.values.reshape(-1, coded.values.shape[-1])
    compiled(look_up)(rows, coded.offsets, table, best)
    return best


def columns(q: int) -> int:
    """Columns of a table for q queries: one more than these, and a multiple of `PADDED`."""
    return -(-(q + 1) // PADDED) * PADDED


def best_sums(
    coded: Ragged, q: int, shares: NDArray[np.float32], words: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The largest sum of what the bytes of a document's row add for each of q queries: float32 [n, q]; -1 without rows.

    Args: `coded`, n documents, rows uint8 [k], or [2 + k] with `words`; `shares` [k, 256, columns(q)], what a byte adds by its
    place and value, changed here; `words` [v, columns(q)], what the number in a row's first two bytes adds, the lower first.
    Raises: ModelError for a number that is not below v. Cost: q additions a byte.
    """
    best = np.full((len(coded), q), -1, np.float32)
    rows: NDArray[np.uint8] = coded.values.reshape(-1, coded.values.shape[-1])
    if words is None:
        shares[:, :, q], shares[0, :, q] = 0, 1  # of every row the square of the length that sums are divided by is 1
        compiled(look_up)(rows, coded.offsets, shares, best)
        return best
    beyond = compiled(look_up_words)(rows, coded.offsets, words, shares, best)
    if beyond >= 0:
        raise ModelError(f"a stored token is word piece {beyond}, and the model's compressor has {len(words)}")
    return best


def tables(codec: Rotated, turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a byte adds, by its place and value: float32 [places, 256, columns].

    Columns: its share of the inner product with each of q turned queries [q, w], then of the squared length, then zeros.
    """
    codes, q = 8 // codec.bits, len(turned)
    values = np.arange(256)[:, None] >> (codec.bits * np.arange(codes)) & ((1 << codec.bits) - 1)
    levels = codec.levels[values].astype(np.float32)  # [256, codes of a byte]
    places = turned.shape[1] // codes
    table = np.zeros((places, 256, columns(q)), np.float32)
    table[:, :, :q] = levels @ turned.reshape(q, places, codes).transpose(1, 2, 0)
    table[:, :, q] = (levels**2).sum(axis=1)
    return table


def look_up(rows: Any, offsets: Any, table: Any, best: Any) -> None:
    """Fill `best` [n, q]; the first bytes of a row are its codes, as many as the table has places."""
    q = best.shape[1]
    sums = np.zeros(table.shape[2], np.float32)
    for document in range(len(best)):
        for token in range(offsets[document], offsets[document + 1]):
            sums[:] = np.float32(0)
            for place in range(table.shape[0]):
                entry = table[place, rows[token, place]]
                for column in range(len(sums)):
                    sums[column] += entry[column]
            shorter = np.float32(1) / np.sqrt(sums[q])
            for column in range(q):
                best[document, column] = max(best[document, column], sums[column] * shorter)


def look_up_words(rows: Any, offsets: Any, words: Any, table: Any, best: Any) -> Any:
    """As `look_up`, of rows whose first two bytes say what a sum starts from; sums stay as they are.

    Returns: -1, or the first number that is not one of `words`, where it stopped.
    """
    q = best.shape[1]
    sums = np.zeros(table.shape[2], np.float32)
    for document in range(len(best)):
        for token in range(offsets[document], offsets[document + 1]):
            word = np.int64(rows[token, 0]) | np.int64(rows[token, 1]) << 8
            if word >= len(words):
                return word
            start = words[word]
            for column in range(len(sums)):
                sums[column] = start[column]
            for place in range(table.shape[0]):
                entry = table[place, rows[token, 2 + place]]
                for column in range(len(sums)):
                    sums[column] += entry[column]
            for column in range(q):
                best[document, column] = max(best[document, column], sums[column])
    return np.int64(-1)
