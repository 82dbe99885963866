"""What the router and the owners of a set's members tell each other: plain data, and never a state of a document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lateint.ranking.ladder import Cost
from lateint.results import Timing
from lateint_store.format.content_digest import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerSetup:
    """What every owner of a set is started with.

    store: folder of the set, on every machine that holds members. model: None for the one that the member records.
    """

    store: str
    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    precision: str | None = None
    aggregate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerReport:
    """What an owner has opened. A router compares it with what it serves before any request goes there.

    content: digest of the member; contents: those of its LMDB shards, from which the digest of the set is joined. states,
    head: digests of what stored arrays depend on, and of all weights above them. manifest: of the member, JSON-able.
    costs: of each head, cheapest first; empty for a member of fewer than two documents.
    """

    member: int
    uuid: str
    content: str
    contents: tuple[Content, ...]
    documents: int
    manifest: dict[str, object]
    states: str
    head: str
    heads: tuple[str, ...]
    costs: dict[str, Cost]


@dataclass(frozen=True, slots=True)
class ScoreOrder:
    """Score these candidates with a head; without one, only say which of them the member holds."""

    query: str
    ids: list[str]
    head: str | None


@dataclass(frozen=True, slots=True)
class MemberScores:
    """Scores float64 [held], and `places` int32 [held], the indices of the scored ids in the order.

    content: digest of the member in the snapshot that was read. tokens: of the query; query_cut: True if it lost its end.
    """

    places: NDArray[np.int32]
    scores: NDArray[np.float64]
    content: str
    timing: Timing
    tokens: int
    query_cut: bool


@dataclass(frozen=True, slots=True)
class OwnerFault:
    """Why an owner cannot open its member or score an order.

    kind: name of the error's class. everywhere: True if another replica would fail alike, as with an empty query.
    """

    kind: str
    message: str
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A shard of the set that gave no scores for one request: its candidates, and why."""

    shard: int
    ids: tuple[str, ...]
    reason: str
