"""Write a new store from the documents of existing ones, for merging and recoding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from lateint_store.disk.files import sync_folder
from lateint_store.disk.killpoints import point
from lateint_store.format import manifest as manifests
from lateint_store.format.manifest import Manifest, write_manifest
from lateint_store.format.state import State
from lateint_store.format.versions import library_versions
from lateint_store.opening import claim_folder
from lateint_store.shards.shards import clean_up, with_shards
from lateint_store.store import Store
from lateint_store.writing.rewrite import StoredWindow, rewrite


def write_store(out: Path, like: Manifest, windows: Iterable[StoredWindow], last: State) -> Store:
    """Write windows into a new store at `out`, with the manifest `like` of another; return it, open for writing.

    `last`: progress and last window. The manifest is written last, so an interruption leaves no store.
    Raises: StoreError, StoreLocked, StoreFull.
    """
    lock = claim_folder(out)
    try:
        fresh = {"uuid": uuid4().hex, "sealed": False, "content_digest": None, "versions": library_versions()}
        manifest = replace(like, shards=(), **fresh)  # type: ignore[arg-type]
        files, _ = rewrite(lock, manifest, windows, last)
        point("derived.done")
        write_manifest(lock.folder(), with_shards(manifest, files))
        sync_folder(out.absolute().parent)
        return Store(out, lock)
    except BaseException:
        if not (out / manifests.MANIFEST_FILE).exists():
            clean_up(lock, None)
        lock.release()
        raise
