"""`TextCache`: the stored arrays of texts that no store holds, kept on disk under the digest of model and text."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from lateint.errors import DamagedStore, InputError, StoreError
from lateint.model.model import Model, check_is_model
from lateint.serving.cache_binding import CacheBinding, States
from lateint.serving.cache_folder import LEAST_BYTES, CacheFolder
from lateint.serving.cache_records import CacheEditor, Room, read_cached
from lateint_store import Pipeline
from lateint_store.arguments import as_count, as_list, as_path, as_strings
from lateint_store.disk.location import MapFull
from lateint_store.format.block import BlockFormat
from lateint_store.format.manifest import MAX_MAP
from lateint_store.spec import Array

_MOST_USES = 1 << 16  # keys of used records in memory until the next puts; of more, the newest
_MOST_MOVES = 1 << 12  # of them that one put writes: 0.2 s
_RECORD_BYTES = 128  # of a record beside its arrays, at most, for one array; eight more for each other

Step = Callable[[CacheEditor], None]


@dataclass(slots=True)
class Uses:
    """What a process has seen since its last put: it is written with the next one, and lost if the process is killed."""

    pid: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    used: dict[bytes, None] = field(default_factory=dict)  # records to move, in the order of their last use
    damaged: set[bytes] = field(default_factory=set)
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    refused: int = 0

    def note(self, texts: int, misses: int, used: Sequence[bytes], damaged: Sequence[bytes]) -> None:
        """Record the answer of one call."""
        with self.lock:
            self.hits += texts - misses
            self.misses += misses
            self.damaged.update(damaged)
            for key in used:
                self.used.pop(key, None)
                self.used[key] = None
            for key in list(islice(self.used, max(0, len(self.used) - _MOST_USES))):
                del self.used[key]

    def count(self, *, evicted: int = 0, refused: int = 0) -> None:
        """Add to the counts of puts."""
        with self.lock:
            self.evicted += evicted
            self.refused += refused

    def take(self) -> tuple[list[bytes], list[bytes]]:
        """Take out the keys of damaged records, and of used ones, the least recently used first."""
        with self.lock:
            damaged, used = list(self.damaged), list(islice(self.used, _MOST_MOVES))
            self.damaged.clear()
            for key in used:
                del self.used[key]
        return damaged, used


class TextCache:
    """States of texts on disk, in a folder that never exceeds its bound; the least recently used leave first.

    The order of uses is exact but for the newest eighth of the entries, which are not written again when they are used.
    Threads and forked workers share it: reads never wait, one process writes at a time. A key is the digest of the text and of
    everything that its states depend on: fingerprint and codecs, as a store records them. So another model finds nothing, and
    what it left ages out. Each record has checksums: a damaged one is a miss, and removed by the next put. A put is one or more
    transactions, durable at once; a kill loses the one that is open, and the order of uses since the last put.
    The cache turns itself off if its folder fails: then `problem` says why, `get` finds nothing and `put` does nothing.
    """

    def __init__(self, folder: Path, model: Model, max_bytes: int, through: Mapping[str, Pipeline] | None) -> None:
        self.problem: str | None = None
        self._model, self._through = model, through
        self._binding = CacheBinding.of(model, through)
        self._uses = Uses(os.getpid())
        self._folder: CacheFolder | None = None
        try:
            self._folder = CacheFolder(folder, max_bytes)
            self._room = Room.of(self._folder.map_size)
        except StoreError as error:
            self._turn_off(error)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        model: Model,
        max_bytes: int,
        *,
        through: Mapping[str, Pipeline] | None = None,
    ) -> TextCache:
        """Open a cache, or make one in a new or empty folder.

        `max_bytes`: bound on everything in the folder, at least 4 MiB. An entry above a 32nd of it, or 8 MiB, is not kept.
        `through`: the pipelines of a store that texts are ranked beside, `store.manifest.specs`; by default the model's own.
        If the folder is full, read-only, in use with another bound or not a cache, the cache is off and has a `problem`.
        Raises: InputError for invalid arguments. Cost: hashes the weights, and checks the pages of the file: 10 s a GiB.
        """
        check_is_model(model)
        return cls(as_path(folder, "folder").absolute(), model, as_count(max_bytes, "max_bytes", LEAST_BYTES, MAX_MAP), through)

    def get(self, texts: Iterable[str]) -> list[dict[str, Array] | None]:
        """Return for each text the arrays that `Store.get` would return for it, or None if the cache does not hold it.

        `texts`: whole texts as the encoder reads them, title included: `Document.full_text`, or that of each chunk.
        Raises: InputError for what is no text. Cost: 8 ms for 1,000 entries of 500 bytes.
        """
        binding, uses = self._bound(), self._here()
        keys = binding.keys(as_strings(texts, "texts", "texts"))
        answer: list[dict[str, Array] | None] = [None] * len(keys)
        folder = self._folder
        if folder is None or not keys:
            return answer
        try:
            with folder.reading(binding.format) as snapshot:
                raw = read_cached(snapshot, keys, list(binding.through))
        except StoreError as error:
            self._turn_off(error)
            return answer
        sound, wrong = binding.decoded(raw)
        for position, arrays in sound:
            answer[position] = arrays
        damaged = [*raw.damaged, *(keys[position] for position in wrong)]
        uses.note(len(keys), answer.count(None), raw.aged, damaged)
        return answer

    def put(self, texts: Iterable[str], states: Iterable[States]) -> None:
        """Keep the states of texts, as `Model.encode` computed them, and remove the least recently used beyond the bound.

        Raises: InputError for arrays that the model's codecs do not take, before anything is written.
        """
        binding, uses = self._bound(), self._here()
        given, entries = as_strings(texts, "texts", "texts"), as_list(states, "states", "arrays by name")
        if len(given) != len(entries):
            raise InputError(f"{len(given)} texts, but states of {len(entries)}; expected one for each text")
        folder = self._folder
        if folder is None or not given:
            return
        documents = binding.encoded(binding.keys(given), entries)
        largest = self._room.transaction - _RECORD_BYTES - 8 * len(binding.through)
        kept = [document for document in documents if sum(map(len, document.payloads)) <= largest]
        damaged, used = uses.take()
        steps: list[Step] = [partial(CacheEditor.remove, key=key) for key in damaged]
        steps += [partial(CacheEditor.move, key=key) for key in used]
        steps += [partial(CacheEditor.append, document=document) for document in kept]
        uses.count(refused=len(documents) - len(kept))
        try:
            uses.count(refused=min(len(kept), self._write(folder, binding.format, steps)))
        except StoreError as error:
            self._turn_off(error)

    def close(self) -> None:
        """Close the folder for this process; further calls find and keep nothing."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()

    def statistics(self) -> dict[str, int]:
        """Return counts of texts in this process, and the size of the whole folder; sizes are 0 if the cache is off.

        `hits`, `misses`, `evicted`; `refused`: texts that `put` did not keep, as they were too large or no page was free
        because a stopped process holds old ones; `entries`, and `bytes` on disk.
        """
        uses, folder, entries, size = self._here(), self._folder, 0, 0
        if folder is not None:
            try:
                with folder.reading(self._binding.format) as snapshot:
                    entries = snapshot.transaction.stat(snapshot.environment.databases["blocks"])["entries"]
                size = folder.bytes
            except (StoreError, OSError) as error:
                self._turn_off(error)
        return {
            "hits": uses.hits, "misses": uses.misses, "entries": entries, "bytes": size, "evicted": uses.evicted,
            "refused": uses.refused,
        }  # fmt: skip

    def _write(self, folder: CacheFolder, format: BlockFormat, steps: Sequence[Step]) -> int:
        """Run steps in small transactions. Return how many of the last ones found no free page."""
        done, full = 0, False
        while done < len(steps):
            after, evicted = done, 0
            try:
                with folder.writing(format) as snapshot:
                    editor = CacheEditor(snapshot, self._room)
                    if full:
                        editor.evict_some()
                    elif editor.make_room():
                        after = editor.run(steps, done)
                    evicted = editor.evicted
            except MapFull:  # pages are pinned by a reader, or no run of them is long enough
                if full:
                    break
                full = True
                continue
            self._here().count(evicted=evicted)
            if after == done and not evicted:
                break
            done, full = after, False
        return len(steps) - done

    def _bound(self) -> CacheBinding:
        """The binding of the model as it is now. Cost: microseconds; after a change of weights, that of `CacheBinding.of`."""
        binding = self._binding
        if binding.parts.changed():
            self._binding = binding = CacheBinding.of(self._model, self._through)
        return binding

    def _here(self) -> Uses:
        """The uses of this process: a forked child starts with none."""
        if self._uses.pid != os.getpid():
            self._uses = Uses(os.getpid())
        return self._uses

    def _turn_off(self, error: Exception) -> None:
        self.problem = f"{error}"
        if isinstance(error, DamagedStore):
            self.problem = f"cache {error.store} is damaged: {error.reason}; restart the service, which checks the file"
        self.close()
