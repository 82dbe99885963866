"""How long does it take to read 1,000 documents by id, warm? Against plain LMDB, which checks nothing.

Numerator: `Store.fetch`, all checks included, and `Store.decode`, measured apart; the ratio is of their sum. Denominator: `get`
of the same bytes from an LMDB file with one value a document, in a read transaction of its own, in the same run, for the same
ids in the same order.
Synthetic passages: rows of 64 numbers through `int8:float16` (66 bytes a row), lengths spread by half around the mean; cases
with three arrays add token ids of two bytes and a vector of 128 numbers. Processor time of one thread; every run draws new ids.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
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


def doc_id(number: int) -> str:
    """The id of a document, 10 bytes."""
    return f"D{37 * number:09d}"


def passages(size: int, arrays: int, documents: int) -> Iterator[Entry]:
    """Entries of about `size` encoded bytes."""
    rng = np.random.default_rng(size)
    mean = size / ROW_BYTES if arrays == 1 else (size - VECTOR - 2) / (ROW_BYTES + 2)
    numbers = rng.standard_normal((int(mean * 1.5) + 1, WIDTH)).astype(np.float32)
    tokens, vector = rng.integers(0, 30_000, len(numbers)), rng.standard_normal(VECTOR).astype(np.float32)
    for number in range(documents):
        rows = int(mean * rng.uniform(0.5, 1.5) + 0.5)
        entry = {"states": numbers[:rows] * np.float32(rng.random()), "token_ids": tokens[:rows], "vector": vector}
        yield Entry(doc_id(number), {array: entry[array] for array in list(entry)[:arrays]})


def build(folder: Path, size: int, arrays: int, documents: int) -> Store:
    """Build `folder`/store, and plain LMDB with the same bytes in `folder`/plain."""
    about: dict[str, Any] = {"model": {"name": "benchmark"}, "fingerprint": {}, "head": {}}
    specs = {array: SPECS[array] for array in list(SPECS)[:arrays]}
    store: Store = create_store(folder / "store", specs, **about, window=WINDOW)
    entries = passages(size, arrays, documents)
    for done in range(0, documents, WINDOW):
        store.append(list(islice(entries, WINDOW)), min(done + WINDOW, documents), "")
    with lmdb.open(str(folder / "plain"), map_size=4 * size * documents + (64 << 20)) as plain:
        for page in store.scan():
            with plain.begin(write=True) as transaction:
                for key, pieces in zip(page.ids, zip(*page.payloads.values(), strict=True), strict=True):
                    transaction.put(key.encode(), b"".join(pieces), append=True)
    return store


def plain_get(plain: Any, ids: Sequence[str]) -> list[bytes]:
    """Read documents from plain LMDB: the peer."""
    with plain.begin() as transaction:
        return [transaction.get(key.encode()) for key in ids]


def measure(case: tuple[int, int, int], wanted: int, pairs: int) -> dict[str, Any]:
    """Alternate between plain LMDB and the store: medians, after some warm-up runs.

    Raises: AssertionError if the two do not hold the same bytes.
    """
    size, arrays, documents = case
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"plain_get": [], "fetch": [], "decode": []}
    with tempfile.TemporaryDirectory() as folder, build(Path(folder), size, arrays, documents) as store:
        plain = lmdb.open(str(Path(folder) / "plain"), readonly=True, readahead=False)
        for _ in range(WARM_RUNS + pairs):
            ids = [doc_id(number) for number in rng.choice(documents, wanted, replace=False).tolist()]
            # Nothing waits here, so processor time of the thread leaves out only what else the machine does.
            plain_ms, values = _harness.timed(partial(plain_get, plain, ids), time.thread_time)
            fetch_ms, fetched = _harness.timed(partial(store.fetch, ids), time.thread_time)
            decode_ms = _harness.milliseconds(partial(store.decode, fetched), time.thread_time)
            for name, ms in zip(times, (plain_ms, fetch_ms, decode_ms), strict=True):
                times[name].append(ms)
        plain.close()
        pieces = zip(*fetched.payloads.values(), strict=True)
        if [b"".join(piece) for piece in pieces] != values:
            raise AssertionError("store and plain LMDB do not hold the same bytes")
    counted = {name: each[WARM_RUNS:] for name, each in times.items()}
    both = [fetch + decode for fetch, decode in zip(counted["fetch"], counted["decode"], strict=True)]
    return {
        "bytes_a_document": round(sum(map(len, values)) / wanted),
        "arrays": arrays,
        "documents": documents,
        **{f"{name}_ms": round(ms, 3) for name, ms in _harness.medians(counted).items()},
        "ratio": round(_harness.median_ratio(both, counted["plain_get"]), 2),
        "least_ms": {name: round(min(each), 3) for name, each in counted.items()},
    }


def main() -> None:
    parser = _harness.argument_parser(__doc__)
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
        "cases": rows,
    }
    _harness.save("fetch_speed", result)


if __name__ == "__main__":
    main()
