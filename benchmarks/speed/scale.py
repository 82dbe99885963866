"""Do a set and a cluster cost more than their work? Ray on this machine against this process, in one run.

Builds: documents/s with 1 and 2 workers of one torch thread each (the clock runs from the first progress to the last, so that
the start of Ray and loading the model do not count), against `build_store` with one thread. Numerator: the cluster;
denominator: the plain build before it. Required: at least 0.9 with one worker. Opening: a set of 64 members. Ranking: queries x
candidates on the cluster (two members, its start included) against `Ranker.rank` over the same set. Run it on a quiet machine
with two cores.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lateint
from benchmarks import _harness
from lateint.cluster.build import SetProgress, WorkerSpec, build_set
from lateint.cluster.connection import connected
from lateint.cluster.rank import rank_set
from lateint.indexing.windows import PlannedDocuments, Window, plan_windows
from lateint_store import create_set, split

WINDOW = 512
MEMBERS = 64
REQUIRED = 0.9


def read(file: Path, window: Window) -> list[lateint.Document]:
    """Read a window of a file with one text a line; the id of a text is its line."""
    with file.open("rb") as opened:
        opened.seek(window.offset)
        lines = islice(opened, window.documents)
        return [lateint.Document(str(number), line.decode().strip()) for number, line in enumerate(lines, window.line)]


def plan(file: Path) -> PlannedDocuments:
    """Plan the windows of such a file."""
    lines = file.read_bytes().splitlines(keepends=True)
    found, offset = [], 0
    for first in range(0, len(lines), WINDOW):
        size = min(WINDOW, len(lines) - first)
        found.append(("", (offset, 0, first + 1), read(file, Window(offset, 0, first + 1, size, ""))))
        offset += sum(map(len, lines[first : first + size]))
    return PlannedDocuments(plan_windows(file, WINDOW, found), file, partial(read, file))


def plain(load: partial[lateint.Model], documents: PlannedDocuments, folder: Path) -> float:
    """Documents/s of `build_store`, sealing included."""
    model = load()

    def build() -> None:
        with lateint.build_store(model, documents, folder, window=WINDOW) as store:
            store.seal()

    return 1e3 * len(documents) / _harness.milliseconds(build)


def on_ray(load: partial[lateint.Model], documents: PlannedDocuments, folder: Path, workers: int) -> float:
    """Documents/s of a build on the Ray that is connected, from the first document to the last publication."""
    seen: list[tuple[float, int]] = []

    def report(now: SetProgress) -> None:
        seen.append((time.perf_counter(), now.documents))

    build_set(load, documents, folder, shards=4 * workers, workers=WorkerSpec(workers=workers), report=report).close()
    begun = next((moment, read) for moment, read in seen if read)
    return (seen[-1][1] - begun[1]) / (seen[-1][0] - begun[0])


def opening(load: partial[lateint.Model], texts: list[str], folder: Path) -> float:
    """Milliseconds to open a set of 64 members."""
    model, places = load(), [folder / str(number) for number in range(MEMBERS)]
    for number, place in enumerate(places):
        documents = [lateint.Document(f"{number}-{index}", text) for index, text in enumerate(texts)]
        lateint.build_store(model, documents, place).close()
    create_set(folder / "set", places)
    return min(_harness.milliseconds(lambda: lateint.open_store(folder / "set").close()) for _ in range(5))


def ranking(load: partial[lateint.Model], store: Path, folder: Path, sizes: tuple[int, int]) -> dict[str, float]:
    """Seconds to rank queries x candidates over a set of two members: on the cluster, and in this process."""
    split(store, folder / "two", 2)
    with lateint.open_store(folder / "two") as opened:
        ids = list(islice(opened.ids(), sizes[1]))
        tasks = [(str(number), text, ids) for number, text in enumerate(_harness.random_texts(sizes[0], 4, 8))]
        ranker = lateint.Ranker(load(), opened)
        spread = WorkerSpec(workers=2)
        cluster = _harness.milliseconds(lambda: list(rank_set(load, opened, tasks, folder / "parts", workers=spread)))
        local = _harness.milliseconds(lambda: [ranker.rank(query, ids) for _, query, ids in tasks])
    return {"cluster_s": cluster / 1e3, "local_s": local / 1e3, "ratio": local / cluster}


def measure(documents: int, sizes: tuple[int, int], folder: Path) -> dict[str, Any]:
    """Run everything once."""
    load = partial(lateint.load_model, _harness.BASE, method="cosine", threads=1)
    texts = [passage.text.replace("\n", " ") for passage in _harness.library_documents(documents)]
    (folder / "texts").write_text("\n".join(texts) + "\n", encoding="utf-8")
    planned, result = plan(folder / "texts"), dict[str, Any]()
    with connected("ray"):
        for workers in (1, 2):
            alone = plain(load, planned, folder / f"plain-{workers}")
            spread = on_ray(load, planned, folder / f"set-{workers}", workers)
            result[f"build_{workers}"] = {"cluster": spread, "plain": alone, "ratio": spread / alone}
        result["ranking"] = ranking(load, folder / "plain-1", folder, sizes)
    return result | {"open_64_ms": opening(load, texts[:8], folder / "many"), "documents": len(texts), "sizes": list(sizes)}


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--documents", type=int, default=16_384, help="passages of the standard library's documentation")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options.documents, (options.queries, options.candidates), Path(folder))
    for name, value in result.items():
        print(f"{name}: {value}")
    print(f"one worker: {result['build_1']['ratio']:.2f} of a plain build (required: {REQUIRED})")
    if not options.no_save:
        _harness.save("scale", result)


if __name__ == "__main__":
    main()
