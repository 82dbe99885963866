"""The small stores to damage: one shard; one sealed; two shards with an index deep enough for branch pages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.stores import build

DELETED = ("doc8", "doc31")
SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def scratch(*, fast: bool = False) -> Iterator[Path]:
    """A temporary folder; if `fast`, in a memory file system where the machine has one."""
    inside = SHARED_MEMORY if fast and os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lateint-campaign-", dir=inside) as folder:
        yield Path(folder)


def make_stores(root: Path) -> None:
    """Build `plain`, `sealed` and `rolled` below `root`."""
    for name, documents, changes in (("plain", 40, {}), ("sealed", 40, {}), ("rolled", 420, {"documents_per_shard": 384})):
        with build(root / name, documents, **changes) as store:
            store.delete(DELETED)
            if name == "sealed":
                store.seal()
