"""A folder of local copies of published stores, by the digest of the publication; several processes may share it."""

from __future__ import annotations

import os
from pathlib import Path

from lateint_store.arguments import as_path
from lateint_store.remote.fetch import fetch_published
from lateint_store.remote.objects import ObjectFolder
from lateint_store.remote.publication import Publication, required_publication

VARIABLE = "LATEINT_STORE_CACHE"


def copies_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The folder of local copies: `cache`, else `$LATEINT_STORE_CACHE`, else `stores` in the user's cache folder of lateint."""
    if cache is not None:
        return as_path(cache, "cache")
    if chosen := os.environ.get(VARIABLE):
        return as_path(chosen, VARIABLE)
    home = os.environ.get("LATEINT_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lateint"
    return Path(home) / "stores"


def local_copy(url: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a checked local copy of what is published at a URL; it is fetched unless it is there.

    Members of sets are copies of their own, so that a set which grows is not fetched again. Nothing is ever removed.
    Raises: as `fetch_store`. Cost: two small requests if the copy is there.
    """
    folder, place = copies_folder(cache), ObjectFolder(url)
    return _copied(folder, place, required_publication(place))


def _copied(folder: Path, place: ObjectFolder, publication: Publication) -> Path:
    target = folder / publication.digest

    def member_copy(source: ObjectFolder, member: Publication, number: int) -> Path:
        return _copied(folder, source, member)

    fetch_published(place, publication, target, member_copy)
    return target
