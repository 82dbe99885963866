"""Writer of runs that all evaluation tools score alike.

trec_eval sorts by 32-bit scores and breaks ties by document id, ms_marco_eval reads only ranks, other tools sort by 64-bit
scores. Therefore scores are written as strictly decreasing 32-bit floats with nine digits (which restore them exactly), and
ranks count from 1 in the same order.
"""

from __future__ import annotations

import math
import struct
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, cast

from lateint_eval.formats.output import replacing
from lateint_store.errors import InputError

ScoredIds = Iterable[tuple[str, float]]
_SMALLEST_NORMAL = 2.0**-126  # tools that flush denormals to zero would see ties below it
MSMARCO_DEPTH = 1000  # ms_marco_eval rejects a file with a deeper rank


def write_run(
    path: str | Path,
    rankings: Mapping[str, ScoredIds] | Iterable[tuple[str, ScoredIds]],
    format: Literal["trec", "msmarco"] = "trec",
    tag: str = "lateint",
) -> int:
    """Write rankings, each a list of (document id, score) with the best first, and return the number of lines.

    Equal scores are written as neighbouring 32-bit floats in descending order, so the given order is kept.
    Raises: InputError for a repeated query or document, a score that is not finite in 32 bits or is larger than the previous
    one, an id or tag with blanks, or more than 1000 documents of a query in an MS MARCO run. Then no file is written.
    """
    if format not in ("trec", "msmarco"):
        raise InputError(f"run format {format!r}; expected 'trec' or 'msmarco'")
    check_name(tag, "tag")
    written, seen = 0, set[str]()
    with replacing(path) as write:
        pairs = cast(Iterable[tuple[str, ScoredIds]], rankings.items() if isinstance(rankings, Mapping) else rankings)
        for query_id, ranking in pairs:
            check_name(query_id, "query id")
            if query_id in seen:
                raise InputError(f"query {query_id!r} has two rankings; expected one")
            seen.add(query_id)
            written += _write_ranking(write, query_id, ranking, tag if format == "trec" else None)
    return written


def _write_ranking(write: Callable[[str], object], query_id: str, given: ScoredIds, tag: str | None) -> int:
    ranking = list(given)
    if tag is None and len(ranking) > MSMARCO_DEPTH:
        raise InputError(f"query {query_id!r} has {len(ranking)} documents; an MS MARCO run holds {MSMARCO_DEPTH}")
    scores = strictly_decreasing([score for _, score in ranking], query_id)
    seen: set[str] = set()
    for rank, ((doc_id, _), score) in enumerate(zip(ranking, scores, strict=True), start=1):
        check_name(doc_id, "document id")
        if doc_id in seen:
            raise InputError(f"document {doc_id!r} occurs twice in the ranking of query {query_id!r}")
        seen.add(doc_id)
        trec = f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n"
        write(f"{query_id}\t{doc_id}\t{rank}\n" if tag is None else trec)
    return len(ranking)


def strictly_decreasing(scores: Iterable[float], query_id: str = "") -> list[float]:
    """Round scores to 32-bit floats, and lower each to the next float below its predecessor unless it is already lower.

    >>> [f"{score:.9g}" for score in strictly_decreasing([2.0, 2.0, 1.0])]
    ['2', '1.99999988', '1']
    """
    out: list[float] = []
    given = math.inf
    for position, score in enumerate(scores, start=1):
        rounded = _float32(score)
        if not math.isfinite(rounded):
            raise InputError(f"score {score} at rank {position} of query {query_id!r} is not finite in 32 bits")
        if score > given:
            raise InputError(
                f"score {score} at rank {position} of query {query_id!r} is above {given}; expected the best document first"
            )
        given = score
        out.append(min(rounded, _next_below(out[-1])) if out else rounded)
        if not math.isfinite(out[-1]):
            raise InputError(f"no finite 32-bit score is left below rank {position - 1} of query {query_id!r}")
    return out


def _float32(value: float) -> float:
    try:
        rounded = float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.inf
    return rounded if abs(rounded) >= _SMALLEST_NORMAL or math.isnan(rounded) else 0.0


def _next_below(value: float) -> float:
    """Return the next lower 32-bit float that is not denormal."""
    if -_SMALLEST_NORMAL < value <= 0.0:
        return -_SMALLEST_NORMAL
    if value == _SMALLEST_NORMAL:
        return 0.0
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    return float(struct.unpack("<f", struct.pack("<i", bits + (-1 if value > 0 else 1)))[0])


def check_name(value: str, what: str) -> None:
    """Refuse an id or tag that a run file cannot hold. Raises: InputError."""
    if value.isascii() and value.isprintable() and value and " " not in value:
        return
    control = any(unicodedata.category(char) in ("Cc", "Cs") for char in value)
    if value.split() != [value] or control:
        raise InputError(f"{what} {value!r} cannot be written to a run file; expected no blanks or control characters")
