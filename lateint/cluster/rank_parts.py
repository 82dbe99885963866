"""Parts of a ranking: candidates by the store that owns them, spooled to disk, and scores joined by query.

A part is a block of queries for one member of a set. The folder of a ranking has `inputs` (the digest of what is ranked, by
what), `part-N.json` (queries and ids) and `scores-N.npy` (float64, NaN for a document that the member lacks).
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lateint.errors import ClusterError
from lateint.indexing.store import Store
from lateint_store.disk.files import disk_errors, make_folder, read_regular, replace_file
from lateint_store.format.ids import encode_all
from lateint_store.format.set_manifest import read_set

BLOCK = 64  # queries of a part


class Task(NamedTuple):
    """A query and candidates of it: a part has one for each query of its block, perhaps with no candidates."""

    query_id: str
    query: str
    ids: list[str]


class Owners:
    """Which member of a store holds a document. A single store is its own only member."""

    def __init__(self, store: Store) -> None:
        self._store, self._about = store, read_set(store.path)
        self.members = [store.path] if self._about is None else [store.path / member.path for member in self._about.members]

    def split(self, ids: Sequence[str], held: Sequence[set[str]] | None = None) -> list[list[str]]:
        """Return the ids of each member, in the given order; an id that no member holds goes to some member.

        Cost: none but a hash for a set that is split by id, else a look-up in each member; `held` are those that were made.
        """
        if self._about is None:
            return [list(ids)]
        if self._about.split is not None:
            owners = self._about.owners(encode_all([self._store.first_id(doc_id) for doc_id in ids]))
        else:
            assert held is not None
            owners = [next((place for place, own in enumerate(held) if doc_id in own), 0) for doc_id in ids]
        parts: list[list[str]] = [[] for _ in self.members]
        for doc_id, owner in zip(ids, owners, strict=True):
            parts[owner].append(doc_id)
        return parts

    @property
    def computed(self) -> bool:
        """True if the owner of an id is computed, and no member has to be asked."""
        return self._about is None or self._about.split is not None


class RankFolder:
    """The parts of a ranking on disk. `members`: number of stores that candidates are divided among."""

    def __init__(self, folder: Path, members: int) -> None:
        self.folder, self.members = folder, members

    def spool(self, parts: Iterable[tuple[Task, list[list[str]]]], about: dict[str, object]) -> int:
        """Write all parts. Scores of a former call stay if it had the same inputs. Returns: the number of parts."""
        digest, number, stream = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16), 0, iter(parts)
        with disk_errors(self.folder, "create"):
            make_folder(self.folder)
        while block := list(islice(stream, BLOCK)):
            for member in range(self.members):
                tasks = [Task(task.query_id, task.query, divided[member]) for task, divided in block]
                data = json.dumps(tasks).encode()
                digest.update(hashlib.blake2b(data).digest())
                self._part(number).write_bytes(data)
                number += 1
        self._forget_other(digest.hexdigest())
        return number

    def _forget_other(self, digest: str) -> None:
        """Remove the scores of a former call with other inputs."""
        kept = self.folder / "inputs"
        if not kept.exists() or read_regular(kept) != digest.encode():
            for scores in self.folder.glob("scores-*"):
                scores.unlink()
            replace_file(kept, digest.encode())

    def missing(self, parts: int) -> list[int]:
        """Return the parts without scores, member by member, so that a worker opens few stores."""
        return sorted((part for part in range(parts) if not self._scores(part).exists()), key=lambda part: part % self.members)

    def tasks(self, part: int) -> list[Task]:
        """Return the queries of a part and their candidates."""
        return [Task(*task) for task in json.loads(self._part(part).read_bytes())]

    def keep(self, part: int, scores: NDArray[np.float64]) -> None:
        """Keep the scores of a part: all candidates of its first query, then those of the next."""
        data = io.BytesIO()
        np.save(data, scores)
        replace_file(self._scores(part), data.getvalue())

    def join(self, parts: int, top_k: int | None) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        """Yield each query with its documents and scores, best first, in the order in which they were spooled."""
        for first in range(0, parts, self.members):
            own = [self._scored(part) for part in range(first, first + self.members)]
            for scored in zip(*own, strict=True):
                by_id = sorted(pair for _, pairs in scored for pair in pairs)  # equal scores stay in this order
                yield scored[0][0], sorted(by_id, key=itemgetter(1), reverse=True)[:top_k]

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _scored(self, part: int) -> list[tuple[str, list[tuple[str, float]]]]:
        """Return each query of a part with the candidates that were scored. Raises: ClusterError for scores of another size."""
        tasks, scores = self.tasks(part), np.load(io.BytesIO(self._scores(part).read_bytes()))
        if len(scores) != sum(len(task.ids) for task in tasks):
            raise ClusterError(
                f"{self._scores(part)} has {len(scores)} scores, not one for each candidate; remove {self.folder}"
            )
        found, begin = [], 0
        for task in tasks:
            own = scores[begin : begin + len(task.ids)].tolist()
            begin += len(task.ids)
            found.append((task.query_id, [pair for pair in zip(task.ids, own, strict=True) if pair[1] == pair[1]]))
        return found

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.json"

    def _scores(self, number: int) -> Path:
        return self.folder / f"scores-{number:06d}.npy"
