"""Teacher scores on disk: each pair is scored once, and one file serves every student.

The key of a score is a digest of both texts, so ids, splits and sources do not matter. A file records its teacher and
holds the scores of that teacher alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import lmdb

from lateint.errors import InputError, StoreMismatch
from lateint.indexing.fingerprint import fingerprint, head_digest
from lateint.model.digests import digest_json
from lateint.model.model import Model

_TEACHER_KEY = b"teacher"  # shorter than the digests that are the other keys
_GROWTH = 1 << 28  # bytes added to the LMDB map at a time


def identity(teacher: Model) -> dict[str, str]:
    """The identity of a teacher: its name, for messages, and a digest of all that its scores depend on.

    The digest covers stored arrays, layout, head and query side.
    """
    method = teacher.method.to_json()
    method.pop("stages")  # their result is in the weights
    facts = {"arrays": fingerprint(teacher), "head": head_digest(teacher), "method": method}
    return {"name": teacher.name, "digest": digest_json(facts)}


class Scores:
    """A file of float32 scores by (query, document text), in LMDB: a kill at any point loses no `put` that has returned.

    Raises: StoreMismatch if the file holds scores of another teacher; InputError if it is not a file of scores.
    Cost: about 60 bytes a pair on disk.
    """

    def __init__(self, path: str | os.PathLike[str], teacher: dict[str, str]) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(str(self.path), subdir=False, map_size=_GROWTH, max_dbs=0, readahead=False)
        except (lmdb.Error, OSError) as error:
            raise InputError(f"{self.path} is no file of teacher scores: {error}; name another file") from error
        try:
            self._claim(teacher)
        except BaseException:
            self._env.close()
            raise

    def _claim(self, teacher: dict[str, str]) -> None:
        """Record the teacher in a new file; check it in an existing one."""
        with self._env.begin(write=True) as txn:
            held = txn.get(_TEACHER_KEY)
            if held is None:
                txn.put(_TEACHER_KEY, json.dumps(teacher).encode())
                return
        found = json.loads(held)
        if found["digest"] != teacher["digest"]:
            raise StoreMismatch(
                f"{self.path} holds scores of {found['name']} [{found['digest'][:12]}], the teacher is {teacher['name']} "
                f"[{teacher['digest'][:12]}]; name another file"
            )

    def get(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The score of each pair; None for a pair that has no score yet."""
        with self._env.begin(buffers=True) as txn:
            found = [txn.get(_key(*pair)) for pair in pairs]
            return [None if value is None else struct.unpack("<f", value)[0] for value in found]

    def put(self, pairs: Sequence[tuple[str, str]], scores: Sequence[float]) -> None:
        """Write scores. Raises: InputError for a score that is not finite."""
        values = [struct.pack("<f", score) for score in scores]
        if odd := [pair for pair, score in zip(pairs, scores, strict=True) if score - score != 0]:
            raise InputError(f"the teacher gives {odd[0][0][:60]!r} with {odd[0][1][:60]!r} a score that is not finite")
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    for pair, value in zip(pairs, values, strict=True):
                        txn.put(_key(*pair), value)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] + _GROWTH)

    def __len__(self) -> int:
        return int(self._env.stat()["entries"]) - 1

    def close(self) -> None:
        """Close the file."""
        self._env.close()

    def __enter__(self) -> Scores:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _key(query: str, text: str) -> bytes:
    first = query.encode(errors="surrogatepass")
    both = len(first).to_bytes(8, "little") + first + text.encode(errors="surrogatepass")
    return hashlib.blake2b(both, digest_size=16).digest()
