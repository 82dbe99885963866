"""numba's cache of machine code on disk, used only where it is whole: a problem with it costs time, never a result.

numba reads a cached file without a check: an empty one raises EOFError, an altered one runs as it is. Here each file ends
with its digest, and files of other users are not read. If anything goes wrong, the kernel is compiled without the cache.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DIGEST_BYTES = 32
_SUFFIX = "-checked"  # in file names, which keeps them apart from files that end without a digest
_named: set[str] = set()  # folders that a warning has named


class CacheProblem(Exception):
    """A cached file that must not be used."""


class _Kernels:
    """What a cache of one kernel does otherwise than numba's: its methods never raise."""

    cache_path: str

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature; None if there is none, or it cannot be used."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[misc]
        except Exception as error:  # whatever numba raises, the kernel can be compiled
            _name_folder(self.cache_path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, in place of damaged files if there are any."""
        try:
            try:
                super().save_overload(sig, data)  # type: ignore[misc]
            except CacheProblem:
                super().flush()  # type: ignore[misc]
                super().save_overload(sig, data)  # type: ignore[misc]
        except Exception as error:  # as above
            _name_folder(self.cache_path, error)


class _Files:
    """What index and data files of a kernel do otherwise: each is followed by its digest, which unpickling ignores."""

    _index_path: str

    def _load_index(self) -> Any:
        if Path(self._index_path).exists():
            _check(Path(self._index_path))
        return super()._load_index()  # type: ignore[misc]

    def _load_data(self, name: str) -> Any:
        _check(Path(self._index_path).with_name(name))
        return super()._load_data(name)  # type: ignore[misc]

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        yield content
        with super()._open_for_write(filepath) as file:  # type: ignore[misc]
            file.write(content.getvalue() + _digest(content.getvalue()))


def keep_on_disk(function: Any) -> None:
    """Give a compiled function a cache on disk, if there is a folder for it."""
    from numba.core.caching import FunctionCache, IndexDataCacheFile

    try:
        kept: Any = type("KernelCache", (_Kernels, FunctionCache), {})(function.py_func)
    except (RuntimeError, OSError) as error:  # numba finds no folder that it can write
        _name_folder(str(Path(function.py_func.__code__.co_filename).parent), error)
        return
    implementation = kept._impl
    file: Any = type("CheckedFile", (_Files, IndexDataCacheFile), {})
    name, stamp = implementation.filename_base + _SUFFIX, implementation.locator.get_source_stamp()
    kept._cache_file = file(kept.cache_path, name, stamp)
    function._cache = kept


def _name_folder(folder: str, error: Exception) -> None:
    """Say once which folder is not used: the one that the user chose, else that of the kernel."""
    from numba import config

    folder = config.CACHE_DIR or folder  # type: ignore[attr-defined]
    if folder not in _named:
        _named.add(folder)
        reason = str(error) or type(error).__name__
        warnings.warn(
            f"kernels are compiled without their cache in {folder} ({reason}): each process takes some seconds longer; "
            "empty this folder, or set NUMBA_CACHE_DIR to another one",
            RuntimeWarning,
            stacklevel=2,
        )


def _check(path: Path) -> None:
    """Raise CacheProblem for a file of another user, or one that does not end with its digest."""
    owner, content = path.stat().st_uid, path.read_bytes()
    if owner not in (0, os.geteuid()):
        raise CacheProblem(f"{path.name} belongs to another user")
    if _digest(content[:-_DIGEST_BYTES]) != content[-_DIGEST_BYTES:]:
        raise CacheProblem(f"{path.name} is damaged")


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
