"""The text caches of one process: one for each model and its codecs, all of them in one folder with one bound."""

from __future__ import annotations

from collections.abc import Callable

from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint.serving.caching import Cache, CachingRanker
from lateint.serving.engine import BaseEngine

OpenCache = Callable[[Ranker], Cache]
"""Opens the cache of what a ranker's model writes through the ranker's codecs."""

_OF_THE_FOLDER = ("entries", "bytes")  # the same for all caches


class TextCaches:
    """Gives every ranker of an engine its cache, and closes those that the next engine does not use."""

    def __init__(self, open_cache: OpenCache, engine: BaseEngine) -> None:
        self._open = open_cache
        self._caches: dict[tuple[Model, str], Cache] = {}
        self.give(engine)

    def give(self, engine: BaseEngine) -> None:
        """Set the cache of each ranker: a store that was replaced may have other codecs. Raises: as `open_cache`."""
        before, self._caches = self._caches, {}
        for ranker in engine.rankers:
            if isinstance(ranker, CachingRanker):
                codecs = {name: pipeline.to_json() for name, pipeline in ranker.through.items()}
                key = (ranker.model, digest_json(codecs))
                found = before.pop(key, None) or self._caches.get(key) or self._open(ranker)
                self._caches[key] = ranker.cache = found
        for cache in before.values():
            cache.close()  # finds and keeps nothing more, for requests that still run too

    @property
    def problem(self) -> str | None:
        """Why a cache is off; None if all work."""
        return next((cache.problem for cache in self._caches.values() if cache.problem is not None), None)

    def statistics(self) -> dict[str, int]:
        """Sums of hits, misses and evicted; entries and bytes of the folder."""
        found: dict[str, int] = {}
        for cache in self._caches.values():
            for name, number in cache.statistics().items():
                before = found.get(name, 0)
                found[name] = max(before, number) if name in _OF_THE_FOLDER else before + number
        return found

    def close(self) -> None:
        """Close all caches."""
        for cache in self._caches.values():
            cache.close()
