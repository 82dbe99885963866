"""Max similarity of query rows with quantised document rows: one table look-up per stored byte, without decoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lateint.errors import ModelError
from lateint_store import Ragged
from lateint_store.codecs.rotated import Rotated
from lateint_store.kernels.compiled import compiled, compiles

CODE_BITS = (1, 2, 4, 8)  # code widths that divide a byte: no code crosses a byte boundary
_NO_FACTORS = np.empty(0, np.float32)
_Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]
_COLUMN_MULTIPLE = 8  # tables are padded to this many columns, so that an addition uses whole vector registers


def max_cosines(coded: Ragged, codec: Rotated, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest cosine of each query row with the decoded rows of each document.

    Args: `coded`, n documents of uint8 rows encoded by `codec` with 1, 2, 4 or 8 bits; `queries` [q, w], of any norm.
    Returns: float32 [n, q]; -1 for a document without rows. Equal to decoding first, up to float32 rounding. A scale stored
    after the codes is ignored: a cosine does not depend on it.
    Cost: 256·q·w multiply-adds for the tables, then q additions per byte.
    """
    norms = np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-12))
    byte_tables = lookup_tables(codec, codec.turn((queries / norms).astype(np.float32)))
    best = np.full((len(coded), len(queries)), -1, np.float32)
    _look_up(_rows(coded, len(byte_tables)), coded.offsets, byte_tables, best)
    return best


def columns(q: int) -> int:
    """Return the number of table columns for q queries: at least q + 1, rounded up to a multiple of 8."""
    return -(-(q + 1) // _COLUMN_MULTIPLE) * _COLUMN_MULTIPLE


def max_sums(
    coded: Ragged,
    q: int,
    byte_tables: NDArray[np.float32],
    token_table: NDArray[np.float32] | None = None,
    factors: NDArray[np.float32] | None = None,
    context: _Arrays | None = None,
) -> NDArray[np.float32]:
    """Return, for each document and query, the largest sum of table entries over the rows of the document.

    Args: `coded`, n documents of uint8 rows [k], [2 + k] with a `token_table`, or [3 + k] with factors; `byte_tables`
    [k, 256, columns(q)], the entry for each byte position and byte value, modified in place; `token_table`
    [v, columns(q)], the start of a sum for each token id, which the first two bytes of a row hold in little-endian order;
    `factors` [256], beside a `token_table`: the factor of a sum for each value of the byte behind those of the byte tables.
    `context`, beside `factors`: a share for each token id, [v], and what all tokens of a document share, [n, columns(q)];
    before the factor, a sum also gets its token's share of that.
    Returns: float32 [n, q]; -1 for a document without rows.
    Raises: ModelError for a token id of v or more. Cost: q additions per byte.
    """
    best = np.full((len(coded), q), -1, np.float32)
    rows = _rows(coded, len(byte_tables) + (0 if token_table is None else 2) + (factors is not None))
    if token_table is None:
        # `look_up` divides by the norm, the root of column q. Here sums stay as they are: the squared norm is always 1.
        byte_tables[:, :, q], byte_tables[0, :, q] = 0, 1
        _look_up(rows, coded.offsets, byte_tables, best)
        return best
    if context is not None and factors is not None:
        kernel = compiled(look_up_with_context) if compiles() else look_up_with_context_in_numpy
        unknown = kernel(rows, coded.offsets, (token_table, byte_tables), factors, context, best)
    else:
        kernel = compiled(look_up_with_tokens) if compiles() else look_up_with_tokens_in_numpy
        unknown = kernel(rows, coded.offsets, token_table, byte_tables, _NO_FACTORS if factors is None else factors, best)
    if unknown >= 0:
        raise ModelError(f"a stored token is word piece {unknown}, and the model's compressor has {len(token_table)}")
    return best


def _rows(coded: Ragged, width: int) -> NDArray[np.uint8]:
    """Return all rows, [r, bytes]. Kernels do not check their indices, so rows of fewer bytes are refused.

    Raises: ModelError.
    """
    rows: NDArray[np.uint8] = coded.values.reshape(-1, coded.values.shape[-1])
    if rows.dtype != np.uint8 or rows.shape[1] < width:
        raise ModelError(f"stored rows are {rows.dtype} [{rows.shape[1]}]; the model's codes are uint8 [{width}]: index again")
    return rows


def _look_up(
    rows: NDArray[np.uint8], offsets: NDArray[np.int64], byte_tables: NDArray[np.float32], best: NDArray[np.float32]
) -> None:
    (compiled(look_up) if compiles() else look_up_in_numpy)(rows, offsets, byte_tables, best)


def lookup_tables(codec: Rotated, rotated: NDArray[np.float32]) -> NDArray[np.float32]:
    """Build the table of a codec for rotated queries [q, w]: float32 [byte positions, 256, columns(q)].

    Columns: what a byte value at this position adds to the inner product with each of the q queries, then what it adds to
    the squared norm of the row, then zeros.
    """
    codes, q = 8 // codec.bits, len(rotated)
    values = np.arange(256)[:, None] >> (codec.bits * np.arange(codes)) & ((1 << codec.bits) - 1)
    levels = codec.levels[values].astype(np.float32)  # [256, codes per byte]
    positions = rotated.shape[1] // codes
    table = np.zeros((positions, 256, columns(q)), np.float32)
    table[:, :, :q] = levels @ rotated.reshape(q, positions, codes).transpose(1, 2, 0)
    table[:, :, q] = (levels**2).sum(axis=1)
    return table


def look_up(
    rows: NDArray[np.uint8], offsets: NDArray[np.int64], byte_tables: NDArray[np.float32], best: NDArray[np.float32]
) -> None:
    """Raise `best` [n, q] to the largest sum over the norm of the row. A row starts with one code byte per byte table."""
    q = best.shape[1]
    sums = np.zeros(byte_tables.shape[2], np.float32)
    for document in range(len(best)):
        for token in range(offsets[document], offsets[document + 1]):
            sums[:] = np.float32(0)
            for position in range(byte_tables.shape[0]):
                entry = byte_tables[position, rows[token, position]]
                for column in range(len(sums)):
                    sums[column] += entry[column]
            inverse_norm = np.float32(1) / np.sqrt(sums[q])
            for column in range(q):
                best[document, column] = max(best[document, column], sums[column] * inverse_norm)


def look_up_with_tokens(
    rows: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    token_table: NDArray[np.float32],
    byte_tables: NDArray[np.float32],
    factors: NDArray[np.float32],
    best: NDArray[np.float32],
) -> np.int64:
    """Raise `best` [n, q] to the largest sum; a sum starts from the `token_table` row of the id in the first two bytes.

    Sums are not divided by a norm, but multiplied by the factor of the byte after them if there are `factors`.
    Returns: -1, or the first id that is not in `token_table`, where the kernel stops.
    """
    q = best.shape[1]
    sums = np.zeros(byte_tables.shape[2], np.float32)
    for document in range(len(best)):
        for token in range(offsets[document], offsets[document + 1]):
            token_id = np.int64(rows[token, 0]) | np.int64(rows[token, 1]) << 8
            if token_id >= len(token_table):
                return token_id
            start = token_table[token_id]
            for column in range(len(sums)):
                sums[column] = start[column]
            for position in range(byte_tables.shape[0]):
                entry = byte_tables[position, rows[token, 2 + position]]
                for column in range(len(sums)):
                    sums[column] += entry[column]
            factor = np.float32(1)
            if len(factors):
                factor = factors[rows[token, 2 + byte_tables.shape[0]]]
            for column in range(q):
                best[document, column] = max(best[document, column], sums[column] * factor)
    return np.int64(-1)


def look_up_with_context(
    rows: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    tables: _Arrays,
    factors: NDArray[np.float32],
    context: _Arrays,
    best: NDArray[np.float32],
) -> np.int64:
    """Do what `look_up_with_tokens` does, where a sum gets its token's share of what its document's tokens share.

    `tables`: those of ids and of bytes; `context`: shares by id, and rows by document. A kernel of its own, because
    another branch in that one slows codes without context by 7 to 27 %.
    """
    (token_table, byte_tables), (shares, shared), q = tables, context, best.shape[1]
    sums = np.zeros(byte_tables.shape[2], np.float32)
    for document in range(len(best)):
        for token in range(offsets[document], offsets[document + 1]):
            token_id = np.int64(rows[token, 0]) | np.int64(rows[token, 1]) << 8
            if token_id >= len(token_table):
                return token_id
            start, share = token_table[token_id], shares[token_id]
            for column in range(len(sums)):
                sums[column] = start[column] + share * shared[document, column]
            for position in range(byte_tables.shape[0]):
                entry = byte_tables[position, rows[token, 2 + position]]
                for column in range(len(sums)):
                    sums[column] += entry[column]
            factor = factors[rows[token, 2 + byte_tables.shape[0]]]
            for column in range(q):
                best[document, column] = max(best[document, column], sums[column] * factor)
    return np.int64(-1)


def look_up_in_numpy(
    rows: NDArray[np.uint8], offsets: NDArray[np.int64], byte_tables: NDArray[np.float32], best: NDArray[np.float32]
) -> None:
    """Do what `look_up` does, with the same bits, where kernels are not compiled."""
    q = best.shape[1]
    sums = _added(np.zeros((len(rows), byte_tables.shape[2]), np.float32), rows, byte_tables)
    inverse_norms = np.divide(np.float32(1), np.sqrt(sums[:, q, None]), dtype=np.float32)
    _raise_to_largest(sums[:, :q] * inverse_norms, offsets, best)


def look_up_with_tokens_in_numpy(
    rows: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    token_table: NDArray[np.float32],
    byte_tables: NDArray[np.float32],
    factors: NDArray[np.float32],
    best: NDArray[np.float32],
) -> np.int64:
    """Do what `look_up_with_tokens` does, with the same bits, where kernels are not compiled."""
    token_ids = _token_ids(rows)
    unknown = token_ids[token_ids >= len(token_table)]
    if len(unknown):
        return np.int64(unknown[0])
    _finish(token_table[token_ids], rows, offsets, byte_tables, factors, best)
    return np.int64(-1)


def look_up_with_context_in_numpy(
    rows: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    tables: _Arrays,
    factors: NDArray[np.float32],
    context: _Arrays,
    best: NDArray[np.float32],
) -> np.int64:
    """Do what `look_up_with_context` does, with the same bits, where kernels are not compiled."""
    (token_table, byte_tables), (shares, shared), token_ids = tables, context, _token_ids(rows)
    unknown = token_ids[token_ids >= len(token_table)]
    if len(unknown):
        return np.int64(unknown[0])
    sums = token_table[token_ids]
    sums += shares[token_ids, None] * np.repeat(shared, np.diff(offsets), axis=0)
    _finish(sums, rows, offsets, byte_tables, factors, best)
    return np.int64(-1)


def _token_ids(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    return rows[:, 0].astype(np.int64) | rows[:, 1].astype(np.int64) << 8


def _finish(
    sums: NDArray[np.float32],
    rows: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    byte_tables: NDArray[np.float32],
    factors: NDArray[np.float32],
    best: NDArray[np.float32],
) -> None:
    """Add the entries of bytes to the sums of rows, apply the factors if there are some, and raise `best`."""
    sums = _added(sums, rows[:, 2:], byte_tables)
    if len(factors):
        sums *= factors[rows[:, 2 + len(byte_tables)], None]
    _raise_to_largest(sums[:, : best.shape[1]], offsets, best)


def _added(sums: NDArray[np.float32], rows: NDArray[np.uint8], byte_tables: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add the table entry of every byte of each row to `sums` [r, columns], in the order of the kernels."""
    for position, table in enumerate(byte_tables):
        sums += table[rows[:, position]]
    return sums


def _raise_to_largest(found: NDArray[np.float32], offsets: NDArray[np.int64], best: NDArray[np.float32]) -> None:
    """Raise `best` [n, q] to the largest of the rows [r, q] of each document."""
    some = np.diff(offsets) > 0
    if some.any():
        best[some] = np.fmax(best[some], np.fmax.reduceat(found, offsets[:-1][some]))
