"""The store set that a cluster serves: which member owns an id, and what each member must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lateint.cluster.messages import OwnerReport
from lateint.cluster.replicas import Shard
from lateint.errors import InputError
from lateint.indexing.chunks import Chunks, chunk_id
from lateint.ranking.ladder import Cost
from lateint_store.arguments import as_path
from lateint_store.format.content_digest import joined_digest
from lateint_store.format.ids import encode_all
from lateint_store.format.set_manifest import SetManifest, read_set


@dataclass(frozen=True, slots=True)
class ServedSet:
    """A sealed set that is split by id. Only its manifest is read here; the members may lie on other machines."""

    path: Path
    about: SetManifest

    @classmethod
    def read(cls, path: str) -> ServedSet:
        """Read the manifest of a set. Raises: StoreNotFound; InputError for a store whose owners cannot be computed."""
        folder = as_path(path, "store")
        about = read_set(folder)
        if about is None:
            raise InputError(
                f"{folder} is a single store, which cannot be spread over owners; expected a set that is split by id: "
                f"lateint store split {folder} --by-id N --output NEW-SET"
            )
        if about.split is None:
            raise InputError(
                f"{folder} is a set that is not split by id, so that the owner of an id cannot be computed; merge it and split "
                "that: lateint store merge, then lateint store split --by-id N"
            )
        if open_members := [member.path for member in about.members if member.content_digest is None]:
            raise InputError(
                f"{folder} is not sealed ({open_members[0]} may change), so that machines could hold different versions; "
                f"seal it: lateint store seal {folder}"
            )
        return cls(folder, about)

    def owners(self, ids: Sequence[str], chunks: Chunks | None) -> list[int]:
        """Return the number of the member that owns each document. `chunks`: how the members cut documents."""
        first = ids if chunks is None else [chunk_id(doc_id, 0) for doc_id in ids]
        return self.about.owners(encode_all(first))

    def contents(self) -> list[str]:
        """Return the content digest that each member was sealed with."""
        return [member.content_digest or "" for member in self.about.members]

    def difference(self, report: OwnerReport) -> str | None:
        """Return why an owner's member is not the one that was published; None if it is."""
        wanted = self.about.members[report.member]
        if report.uuid != wanted.uuid:
            return f"member {report.member} [{report.uuid:.12}] is another store than the set's [{wanted.uuid:.12}]"
        if report.content != wanted.content_digest:
            there = f"member {report.member} holds other contents [{report.content:.12}]"
            return f"{there} than the set's [{wanted.content_digest:.12}]"
        return None


def set_digest(reports: Sequence[OwnerReport]) -> str:
    """Return the content digest of the set, equal to that of `open_store(set).content_digest()`; one report a member."""
    return joined_digest(content for report in reports for content in report.contents)


def set_costs(reports: Sequence[OwnerReport], hop_ms: float) -> dict[str, Cost]:
    """Return what each head costs over the whole set: owners work side by side, each on its share of the candidates.

    `hop_ms`: what a call takes beside the work. Empty if a member is too small to be measured.
    """
    total = sum(report.documents for report in reports)
    largest = max((report.documents for report in reports), default=0) / max(total, 1)
    measured: list[Mapping[str, Cost]] = [report.costs for report in reports if report.documents]
    if not measured or not all(measured):
        return {}
    return {
        name: Cost(
            hop_ms + max(costs[name].call_ms for costs in measured),
            largest * max(costs[name].candidate_ms for costs in measured),
        )
        for name in measured[0]
    }


@dataclass(frozen=True, slots=True)
class ShardHealth:
    """A member of the served set, and its owners. `member`: its path in the set; `lost`: owners given up so far.

    problem: why fewer are ready than wanted, as last seen.
    """

    shard: int
    member: str
    documents: int
    wanted: int
    ready: int
    lost: int
    problem: str | None

    @classmethod
    def of(cls, shard: Shard, about: SetManifest, documents: int) -> ShardHealth:
        """Describe a shard."""
        problem = shard.problem if shard.ready < shard.wanted else None
        path = about.members[shard.number].path
        return cls(shard.number, path, documents, shard.wanted, shard.ready, shard.lost, problem)
