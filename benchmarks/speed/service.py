"""What does HTTP cost? 1,000 candidates by `lateint serve`, against `Ranker.rank` in process and a CrossEncoder over HTTP.

One store of 1,000 passages of the standard library's documentation, queries from the demo's development questions; all
processes share the same cores, the client included. Every round measures, in turn and with the same queries:
- overhead: p50 of a request by ids over one connection, less p50 of `Ranker.rank` in process. Required: at most 3 ms;
- load: requests/s over 1, 4, 16 and 64 connections. Numerator of `throughput`: requests/s over the most connections.
  Denominator: calls/s of `Ranker.rank` on as many threads as the service scores on, in one process without HTTP. Required:
  at least 0.8. Nothing is ranked less deep: the wanted latency is set so high that load never shortens a ladder;
- texts: the same candidates as texts that no request had before (encoded on one core, as the service leaves the other to
  requests by id), and once more (read from the text cache), one request at a time. Numerator of their ratios: milliseconds of
  sentence-transformers' CrossEncoder over the same backbone, float32, all cores, its best batch size, behind the same HTTP
  stack; denominators: milliseconds of the service by ids, by texts for the first time, and for the second.
The client is one thread over raw sockets with prepared bodies; `client_share` is its processor time over wall-clock time, and
`client_limit` how many requests/s it could send at most, were it alone.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch

import lateint
from benchmarks import _harness
from benchmarks._connections import Answered, ask, prepared
from benchmarks._harness import BASE
from benchmarks._peers import serve_cross_encoder

Start = Callable[..., BaseProcess]
NEVER_MS = 1 << 30  # neither a deadline nor a wanted latency
OVERHEAD_MS, THROUGHPUT = 3.0, 0.8
RANK, BARE, FIRST, SECOND, PEER = "rank", "bare", "texts, first", "texts, second", "cross-encoder"


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `calls` a round for each number of connections; `workers`: of a second service."""

    candidates: int = 1_000
    calls: int = 256
    rounds: int = 5
    connections: tuple[int, ...] = (1, 4, 16, 64)
    workers: int = 2


def spawned(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start a process that calls a function."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process


def serve_store(options: Mapping[str, Any], lines: Connection) -> None:
    """Run the service; `lines` is sent what a user is told."""
    from lateint.serving.options import ServeOptions
    from lateint.serving.run import serve

    serve(ServeOptions(**options), lines.send)


@contextmanager
def serving(start: Start, target: Callable[..., object], *arguments: object) -> Iterator[str]:
    """The address of a server that a process runs. Raises: SystemExit if it does not end in order when it is told to."""
    lines, send = multiprocessing.Pipe(duplex=False)
    process = start(target, *arguments, send)
    send.close()
    try:
        yield lines.recv().rpartition(" ")[2]
    finally:
        process.terminate()
        process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{target.__name__} ended with {process.exitcode}")


class Bodies:
    """Prepared requests."""

    def __init__(self, documents: Sequence[lateint.Document], questions: Sequence[str], calls: int) -> None:
        self.questions = [questions[index % len(questions)] for index in range(calls)]
        self._texts = [document.full_text for document in documents]
        self.by_id = [self._request(question, [{"id": document.id} for document in documents]) for question in self.questions]
        self._numbers = count()
        self.fresh = b""

    def by_texts(self) -> bytes:
        """A request with texts as they are."""
        return self._request(self.questions[0], self._texts)

    def by_fresh_texts(self) -> bytes:
        """A request whose texts were in none before: each begins with a new number."""
        number = next(self._numbers)
        self.fresh = self._request(self.questions[0], [f"{number} {text}" for text in self._texts])
        return self.fresh

    def _request(self, query: str, documents: Sequence[object]) -> bytes:
        return prepared("/v2/rerank", json.dumps({"query": query, "documents": documents}).encode())


def run(
    model: str, backbone: str, sizes: Sizes, folder: Path, *, layers: int | None = None, start: Start = spawned
) -> dict[str, Any]:
    """Measure everything in turn; the whole result. `model`: served; `backbone`, `layers`: of the CrossEncoder."""
    documents, questions = _harness.library_documents(sizes.candidates), _harness.library_questions()
    loaded = lateint.load_model(model, threads=1)
    options = {"store": str(folder / "store"), "port": 0, "drain_ms": 0, "timeout_ms": NEVER_MS, "latency_ms": NEVER_MS}
    texts = [document.full_text for document in documents]
    with (
        lateint.build_store(loaded, documents, folder / "store") as store,
        serving(start, serve_store, options | {"cache": str(folder / "cache")}) as address,
        serving(start, serve_store, options | {"workers": sizes.workers}) as several,
        serving(start, serve_cross_encoder, backbone, texts, questions[0], layers) as peer,
    ):
        bodies, ids = Bodies(documents, questions, sizes.calls), [document.id for document in documents]
        ranker, scorers = lateint.Ranker(loaded, store), _scorers(address)
        ranker.warm_up(questions[0], ids)
        measurements: dict[str, Callable[[], Answered]] = {
            RANK: lambda: in_process(ranker, bodies.questions, ids),
            BARE: lambda: in_process(ranker, bodies.questions, ids, threads=scorers),
            FIRST: lambda: ask(address, [bodies.by_fresh_texts()]),
            SECOND: lambda: ask(address, [bodies.fresh]),
            PEER: lambda: ask(peer, [bodies.by_texts()]),
            f"{sizes.workers} workers": lambda: ask(several, bodies.by_id, sizes.connections[-1]),
        } | {str(number): partial(ask, address, bodies.by_id, number) for number in sizes.connections}
        for measure in measurements.values():  # to warm up
            measure()
        found = _harness.alternate(measurements, sizes.rounds)
    check(found, sizes)
    return about(loaded.name, sizes, scorers) | summary(found, sizes)


def in_process(ranker: lateint.Ranker, questions: Sequence[str], ids: Sequence[str], threads: int = 1) -> Answered:
    """Rank without a service; several threads have one torch thread each, as those of the service."""

    def rank(question: str) -> float:
        return _harness.milliseconds(lambda: ranker.rank(question, ids))

    found = Answered()
    if threads == 1:
        found.seconds = _harness.milliseconds(lambda: found.milliseconds.extend(map(rank, questions))) / 1e3
        return found
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found.seconds = _harness.milliseconds(lambda: found.milliseconds.extend(pool.map(rank, questions))) / 1e3
    return found


def check(found: Mapping[str, Sequence[Answered]], sizes: Sizes) -> None:
    """See that the service did what is timed. Raises: SystemExit."""
    origins = {FIRST: "encoded", SECOND: "reused"} | {str(number): "cached" for number in sizes.connections}
    for name, origin in origins.items():
        answer = json.loads(found[name][-1].last)
        if answer["usage"].get(f"{origin}_documents") != sizes.candidates or "overload" in answer:
            raise SystemExit(f"{name}: expected all candidates {origin} and none left out, not {answer['usage']}")


def summary(found: Mapping[str, Sequence[Answered]], sizes: Sizes) -> dict[str, Any]:
    """Medians and ratios of all rounds."""
    names = [*map(str, sizes.connections), f"{sizes.workers} workers"]
    loads = {name: load(found[name], found[BARE]) for name in names}
    p50 = {name: [statistics.median(each.milliseconds) for each in answers] for name, answers in found.items()}
    overheads = [over - under for over, under in zip(p50[str(sizes.connections[0])], p50[RANK], strict=True)]
    requests = {"ids": str(sizes.connections[0]), "first": FIRST, "second": SECOND}
    texts = {key: {"ms": statistics.median(p50[name])} for key, name in requests.items()}
    for key, name in requests.items():
        texts[key]["times_as_fast"] = _harness.median_ratio(p50[PEER], p50[name])
    overhead = {"ms": statistics.median(overheads), "rounds_ms": overheads, "rank_p50_ms": statistics.median(p50[RANK])}
    throughput = loads[names[-2]]["of_bare"]
    return {
        "overhead": overhead,
        "throughput": throughput,
        "bare_calls_a_second": statistics.median(each.a_second for each in found[BARE]),
        "loads": loads,
        "texts": texts | {"cross_encoder": {"ms": statistics.median(p50[PEER])}},
        "pass": overhead["ms"] <= OVERHEAD_MS and throughput >= THROUGHPUT,
    }


def load(rounds: Sequence[Answered], bare: Sequence[Answered]) -> dict[str, float]:
    """What clients see at one number of connections."""
    every = [ms for each in rounds for ms in each.milliseconds]
    seconds, own = sum(each.seconds for each in rounds), sum(each.client_seconds for each in rounds)
    return {
        "p50_ms": statistics.median(every),
        "p99_ms": float(np.quantile(every, 0.99)),
        "requests_a_second": statistics.median(each.a_second for each in rounds),
        "of_bare": _harness.median_ratio([each.a_second for each in rounds], [each.a_second for each in bare]),
        "client_share": own / seconds,
        "client_limit": len(every) / own,
    }


def about(model: str, sizes: Sizes, scorers: int) -> dict[str, Any]:
    """What was measured, on how much."""
    return {
        "claim": f"over HTTP at most {OVERHEAD_MS:.0f} ms more than in process, and at least {THROUGHPUT} x the calls/s",
        "command": "python -m benchmarks.speed.service",
        "denominator_overhead": "p50 of Ranker.rank in process, one torch thread, same queries; the overhead is a difference",
        "denominator_of_bare": f"calls/s of Ranker.rank on {scorers} threads in one process without HTTP, same queries",
        "numerator_times_as_fast": "CrossEncoder, same backbone, fp32, best batch size, all cores, behind the same HTTP stack",
        "model": model,
        "scorers": scorers,
        **asdict(sizes),
    }


def _scorers(address: str) -> int:
    with urlopen(f"{address}/info") as answer:
        return int(json.load(answer)["scorers"])


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    default = Sizes()
    parser.add_argument("--model", default="latent")
    parser.add_argument("--candidates", type=int, default=default.candidates)
    parser.add_argument("--calls", type=int, default=default.calls, help="calls a round, for each number of connections")
    parser.add_argument("--rounds", type=int, default=default.rounds)
    options = parser.parse_args()
    sizes = Sizes(options.candidates, options.calls, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.model, BASE, sizes, Path(folder))
    for name, row in result["loads"].items():
        shown = "  ".join(f"{key} {value:.2f}" for key, value in row.items())
        print(f"{name:>10}  {shown}")
    for name, row in result["texts"].items():
        print(f"{name:>14} {row['ms']:10.1f} ms {row.get('times_as_fast', 1):8.1f}x")
    overhead = result["overhead"]
    print(
        f"overhead {overhead['ms']:.2f} ms over {overhead['rank_p50_ms']:.1f} ms; throughput {result['throughput']:.2f} of bare"
    )
    _harness.save("service", result)
    print("PASS" if result["pass"] else "FAIL")


if __name__ == "__main__":
    main()
