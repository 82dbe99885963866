"""Versions of the libraries whose formats a store contains; a manifest records them for information."""

from __future__ import annotations

import lmdb
import numpy as np
import zstandard


def library_versions() -> dict[str, str]:
    """Versions of the libraries whose formats a store contains."""
    return {
        "lmdb": ".".join(map(str, lmdb.version())),
        "py-lmdb": lmdb.__version__,
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        "numpy": np.__version__,
    }
