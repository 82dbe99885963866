"""Teacher scores on disk: each pair is scored once, and one file serves every student.

The key of a score is a digest of both texts, so ids, splits and sources do not matter. A file records its teacher and
holds the scores of that teacher alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import lmdb

from lateint.errors import InputError, StoreMismatch
from lateint.indexing.fingerprint import ADDED, fingerprint, head_digest
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint_store.disk.lmdb_pages import PageError, check_unsealed

_TEACHER_KEY = b"teacher"  # shorter than the digests that are the other keys
_SCORE = struct.Struct("<f")  # in the file a CRC-32 of key and score follows
_GROWTH = 1 << 28  # bytes added to the LMDB map at a time


def identity(teacher: Model) -> dict[str, str]:
    """The identity of a teacher: its name, for messages, and a digest of all that its scores depend on.

    The digest covers stored arrays, layout, head and query side. `former` is the digest that earlier versions computed, of
    the facts that they knew.
    """
    method = teacher.method.to_json()
    method.pop("stages")  # their result is in the weights
    arrays = fingerprint(teacher)
    rest = {"head": head_digest(teacher), "method": method}
    former = {name: fact for name, fact in arrays.items() if name not in ADDED}
    digests = {"digest": digest_json({"arrays": arrays} | rest), "former": digest_json({"arrays": former} | rest)}
    return {"name": teacher.name, **digests}


class Scores:
    """A file of float32 scores by (query, document text), in LMDB: a kill at any point loses no `put` that has returned.

    Each score has a checksum, and the pages of the file are checked before it is mapped: a damaged file raises an error, and
    never gives another score. Several processes may use a file at once.
    Raises: StoreMismatch if the file holds scores of another teacher; InputError if it is not a file of scores, or damaged.
    Cost: about 60 bytes a pair on disk; opening checks about 90,000 pairs a second.
    """

    def __init__(self, path: str | os.PathLike[str], teacher: dict[str, str]) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._check_files()
            self._env = lmdb.open(str(self.path), subdir=False, map_size=_GROWTH, max_dbs=0, readahead=False)
        except PageError as error:
            raise InputError(
                f"{self.path} is no file of teacher scores, or damaged: {error}; name another file, or delete this one: "
                "its scores are then computed again"
            ) from error
        except (lmdb.Error, OSError) as error:
            raise InputError(f"{self.path} is no file of teacher scores: {error}; name another file") from error
        try:
            self._claim(teacher)
        except BaseException:
            self._env.close()
            raise

    def _check_files(self) -> None:
        """Refuse what LMDB would wait for or write through: a pipe or device, and a link in place of the lock file."""
        lock = self.path.with_name(f"{self.path.name}-lock")
        if lock.is_symlink() or (lock.exists() and not lock.is_file()):
            raise OSError(f"{lock} is a link, pipe, device or folder; remove it")
        if self.path.exists():
            if not self.path.is_file():
                raise OSError("it is a pipe, device or folder")
            if self.path.stat().st_size:
                check_unsealed(self.path)

    def _claim(self, teacher: dict[str, str]) -> None:
        """Record the teacher in a new file; check it in an existing one."""
        with self._transaction(write=True) as txn:
            held = txn.get(_TEACHER_KEY)
            if held is None:
                txn.put(_TEACHER_KEY, json.dumps({key: teacher[key] for key in ("name", "digest")}).encode())
                return
        try:
            found = json.loads(bytes(held))
            name, digest = str(found["name"]), str(found["digest"])
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(f"its record of the teacher cannot be read: {error}") from error
        if digest not in (teacher["digest"], teacher.get("former")):
            raise StoreMismatch(
                f"{self.path} holds scores of {name} [{digest[:12]}], the teacher is {teacher['name']} "
                f"[{teacher['digest'][:12]}]; name another file"
            )

    def get(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The score of each pair; None for a pair that has no score yet. Raises: InputError for a damaged score."""
        with self._transaction() as txn:
            return [self._score(key, txn.get(key)) for key in (_key(*pair) for pair in pairs)]

    def put(self, pairs: Sequence[tuple[str, str]], scores: Sequence[float]) -> None:
        """Write scores. Raises: InputError for a score that is not finite."""
        values = [_SCORE.pack(score) for score in scores]
        if odd := [pair for pair, score in zip(pairs, scores, strict=True) if score - score != 0]:
            raise InputError(f"the teacher gives {odd[0][0][:60]!r} with {odd[0][1][:60]!r} a score that is not finite")
        while True:
            try:
                with self._transaction(write=True) as txn:
                    for pair, value in zip(pairs, values, strict=True):
                        key = _key(*pair)
                        txn.put(key, value + _checksum(key, value))
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] + _GROWTH)

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[lmdb.Transaction]:
        """Begin a transaction; first map what another process has added to the file."""
        try:
            txn = self._env.begin(write=write)
        except lmdb.MapResizedError:
            self._env.set_mapsize(0)  # the size that the file records
            txn = self._env.begin(write=write)
        try:
            with txn:
                yield txn
        except lmdb.MapFullError:
            raise
        except lmdb.Error as error:
            raise self._damaged(f"LMDB says {error}") from error

    def _score(self, key: bytes, held: bytes | memoryview | None) -> float | None:
        """Decode a stored score. Earlier versions wrote no checksum."""
        if held is None:
            return None
        value = bytes(held)
        score, checksum = value[: _SCORE.size], value[_SCORE.size :]
        if len(score) < _SCORE.size or (checksum and checksum != _checksum(key, score)):
            raise self._damaged("the checksum of a score does not match")
        number: float = _SCORE.unpack(score)[0]
        return number

    def _damaged(self, reason: str) -> InputError:
        return InputError(f"{self.path} is damaged: {reason}; delete it: its scores are then computed again")

    def __len__(self) -> int:
        with self._transaction() as txn:
            return int(txn.stat()["entries"]) - 1

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


def _checksum(key: bytes, score: bytes) -> bytes:
    return zlib.crc32(key + score).to_bytes(4, "little")
