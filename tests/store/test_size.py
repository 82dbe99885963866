"""Space is what the file system allocated (`st_blocks`), everything in the folder included."""

import numpy as np
import pytest

from lateint_store import ArraySpec, Entry, Pipeline, create_store
from tests.store.making import ABOUT


@pytest.mark.parametrize(("payload", "documents", "limit"), [(500, 20_000, 1.25), (4_096, 8_000, 1.10)])
def test_bytes_on_disk_against_encoded_arrays(tmp_path, payload, documents, limit):
    specs = {"states": Pipeline(ArraySpec("uint8", 4)), "vector": Pipeline(ArraySpec("uint8", 100, "one"))}
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "s", specs, **ABOUT) as store:
        encoded = 0
        for start in range(0, documents, 512):
            entries = []
            for number in range(start, min(start + 512, documents)):
                rows = int((payload - 100) // 4 * rng.uniform(0.5, 1.5))
                states = np.full((rows, 4), number % 251, np.uint8)
                entries.append(Entry(f"D{number:09d}", {"states": states, "vector": states.ravel()[:100]}))
                encoded += rows * 4 + 100
            store.append(entries, start + len(entries), "")
        assert store.info()["bytes"] <= limit * encoded, store.info()["bytes"] / encoded
        store.seal()
        assert store.info()["bytes"] <= (limit - 0.02) * encoded, store.info()["bytes"] / encoded
