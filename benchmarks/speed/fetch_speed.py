"""How long does it take to read 1,000 documents by id, warm? Against plain LMDB, which checks nothing.

Denominator: `get` of the same bytes from an LMDB file with one value a document, in a read transaction of its own, in the
same run, for the same ids in the same order. Numerator: `Store.fetch`, all checks included, and `Store.decode`, apart.
Synthetic passages: rows of 64 numbers through `int8:float16` (66 bytes a row), lengths spread by half around the mean; three
arrays add token ids of two bytes and a vector of 128 numbers. One thread, its processor time; every run draws new ids.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from benchmarks import _harness
from lateint_store import ArraySpec, Entry, Pipeline, Store, create_store, parse_codecs

CASES = [(600, 1, 20_000), (600, 1, 100_000), (600, 3, 20_000), (600, 3, 100_000), (6_000, 1, 20_000)]
WIDTH, ROW_BYTES, VECTOR = 64, 66, 128
CODECS = parse_codecs("states=int8:float16;token_ids=cast:uint16;vector=int8:float16")
SPECS = {
    "states": Pipeline(ArraySpec("float32", WIDTH), CODECS["states"]),
    "token_ids": Pipeline(ArraySpec("int64", None), CODECS["token_ids"]),
    "vector": Pipeline(ArraySpec("float32", VECTOR, "one"), CODECS["vector"]),
}
WINDOW, WARM_RUNS = 512, 10


def passages(size: int, arrays: int, documents: int) -> Iterator[Entry]:
    """Entries of about `size` encoded bytes."""
    rng = np.random.default_rng(size)
    mean = size / ROW_BYTES if arrays == 1 else (size - VECTOR - 2) / (ROW_BYTES + 2)
    numbers = rng.standard_normal((int(mean * 1.5) + 1, WIDTH)).astype(np.float32)
    tokens, vector = rng.integers(0, 30_000, len(numbers)), rng.standard_normal(VECTOR).astype(np.float32)
    for number in range(documents):
        rows = int(mean * rng.uniform(0.5, 1.5) + 0.5)
        found = {"states": numbers[:rows] * np.float32(rng.random()), "token_ids": tokens[:rows], "vector": vector}
        yield Entry(name(number), {array: found[array] for array in list(found)[:arrays]})


def name(number: int) -> str:
    return f"D{37 * number:09d}"


def build(folder: Path, size: int, arrays: int, documents: int) -> Store:
    """The store, and beside it LMDB alone with the same bytes."""
    about: dict[str, Any] = {"model": {"name": "benchmark"}, "fingerprint": {}, "head": {}}
    store = create_store(folder / "store", {array: SPECS[array] for array in list(SPECS)[:arrays]}, **about, window=WINDOW)
    entries = passages(size, arrays, documents)
    for done in range(0, documents, WINDOW):
        store.append(list(islice(entries, WINDOW)), min(done + WINDOW, documents), "")
    with lmdb.open(str(folder / "plain"), map_size=4 * size * documents + (64 << 20)) as plain:
        for page in store.scan():
            with plain.begin(write=True) as transaction:
                for doc_id, pieces in zip(page.ids, zip(*page.payloads.values(), strict=True), strict=True):
                    transaction.put(doc_id.encode(), b"".join(pieces), append=True)
    return store


def milliseconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Time of the thread on the processor: nothing waits here, and what else the machine does shall not count."""
    start = time.thread_time()
    found = work()
    return 1e3 * (time.thread_time() - start), found


def plain_get(plain: Any, ids: Sequence[str]) -> list[bytes]:
    """The peer."""
    with plain.begin() as transaction:
        return [transaction.get(doc_id.encode()) for doc_id in ids]


def measure(case: tuple[int, int, int], wanted: int, pairs: int) -> dict[str, Any]:
    """Alternate between the store and plain LMDB."""
    size, arrays, documents = case
    rng, taken = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder, build(Path(folder), size, arrays, documents) as store:
        plain = lmdb.open(str(Path(folder) / "plain"), readonly=True, readahead=False)
        for _ in range(WARM_RUNS + pairs):
            ids = [name(number) for number in rng.choice(documents, wanted, replace=False).tolist()]
            floor, values = milliseconds(lambda ids=ids: plain_get(plain, ids))
            fetch, raw = milliseconds(lambda ids=ids: store.fetch(ids))
            decode, _ = milliseconds(lambda raw=raw: store.decode(raw))
            taken.append((floor, fetch, decode, (fetch + decode) / floor))
        plain.close()
        pieces = zip(*raw.payloads.values(), strict=True)
        if [b"".join(piece) for piece in pieces] != values:
            raise AssertionError("the two do not hold the same bytes")
    floor, fetch, decode, ratio = (statistics.median(column) for column in zip(*taken[WARM_RUNS:], strict=True))
    least = [min(column) for column in zip(*taken[WARM_RUNS:], strict=True)]
    return {
        "bytes_a_document": round(sum(map(len, values)) / wanted),
        "arrays": arrays,
        "documents": documents,
        "plain_get_ms": round(floor, 3),
        "fetch_ms": round(fetch, 3),
        "decode_ms": round(decode, 3),
        "ratio": round(ratio, 2),
        "least_ms": {"plain_get": round(least[0], 3), "fetch": round(least[1], 3), "decode": round(least[2], 3)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=1_000, help="documents of a call")
    parser.add_argument("--pairs", type=int, default=100, help="paired runs of a case; medians are printed")
    options = parser.parse_args()
    rows = []
    print(f"{'bytes':>6} {'arrays':>6} {'documents':>9} {'plain get':>10} {'fetch':>7} {'decode':>7} {'ratio':>6}   (least)")
    for case in CASES:
        rows.append(row := measure(case, options.ids, options.pairs))
        least = "{fetch:.2f} + {decode:.2f} / {plain_get:.2f}".format(**row["least_ms"])
        print(
            f"{row['bytes_a_document']:>6} {row['arrays']:>6} {row['documents']:>9} {row['plain_get_ms']:>7.2f} ms "
            f"{row['fetch_ms']:>7.2f} {row['decode_ms']:>7.2f} {row['ratio']:>6.2f}   {least}",
            flush=True,
        )
    result = {
        "claim": f"read {options.ids} documents by id, warm, one thread: fetch with all checks, and decode",
        "denominator": "plain LMDB get of the same bytes, one value a document, no checks, in the same run",
        "command": "python -m benchmarks.speed.fetch_speed",
        "pairs": options.pairs,
    }
    print(f"written to {_harness.write('fetch_speed', result | {'cases': rows})}")


if __name__ == "__main__":
    main()
