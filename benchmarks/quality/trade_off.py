"""The trade-off table: quality, milliseconds and bytes of the same calls, re-ranking 1,000 passages a query.

Every system ranks the same passages with `Ranker.rank` by id, over a sealed store of the pool's candidates, all queries once,
after a warm-up. Quality is nDCG@10 of exactly these rankings, and bytes are those of the whole store on disk.
Speed-up: how many times faster a row is (numerator: median milliseconds of its calls) than sentence-transformers' CrossEncoder
over the same backbone (denominator: float32, best batch size, the texts of one query's candidates, timed before the rows in the
same process on the same cores). Gain: sum(x - cosine) / sum(teacher - cosine) of nDCG@10 over the pools; teacher: the
row `reranker`. Over several pools, ms is the mean of the medians and the speed-up is the lowest.

A row is a checkpoint by name or folder, or `cosine`. `:CODEC` after the name replaces the codec of vectors, and `@` adds a
ladder whose depths are shares of the candidates: `cosine:int8`, `latent@cosine:0.2`. `>` adds a model that ranks the best
again, with their share: `latent@cosine:0.1>reranker@0.01`, whose bytes are those of both stores. `reranker:texts` has no store
and reads the texts. Checkpoints that encode documents alike share a store.
A stored row is not measured again while its checkpoint's digest stays the same. Documents are encoded in mixed precision; all
work for a query runs in float32. Pools: see `pools.py`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from benchmarks._peers import CrossEncoderPeer
from benchmarks.quality import pools
from lateint import Cascade, Ranker
from lateint.indexing.build import WINDOW
from lateint.indexing.encoding import encode_window
from lateint.indexing.fingerprint import fingerprint
from lateint.methods.registry import Part, part
from lateint.model.digests import digest_json, digest_tensors
from lateint_eval.datasets.folder import Split
from lateint_eval.measures.gain import gain, gain_interval
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.significance import compare, interval
from lateint_eval.reporting.rows import TEACHER
from lateint_eval.studies.data import candidate_texts
from lateint_eval.systems import as_run

MEASURE = "nDCG@10"
PHASES = ("total_ms", "fetch_ms", "decode_ms", "compute_ms")
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TradeOffRow:
    """One row of the table: a checkpoint, a codec for its vectors, a ladder that leads to it, and models that rank after it."""

    text: str

    @property
    def first(self) -> str:
        """The text before the first `>`."""
        return self.text.partition(">")[0]

    @property
    def name(self) -> str:
        """The name of the checkpoint, or `cosine`."""
        return self.first.partition("@")[0].partition(":")[0]

    @property
    def codecs(self) -> dict[str, tuple[Part, ...]] | None:
        """Codecs that replace the checkpoint's own, by array; None if there are none."""
        codec = self.first.partition("@")[0].partition(":")[2]
        return {"vector": (part(codec),)} if codec and self.stored else None

    @property
    def stored(self) -> bool:
        """True if this system ranks from a store, False if it reads texts."""
        return not self.text.endswith(":texts")

    @property
    def systems(self) -> list[TradeOffRow]:
        """The first model and each model that ranks after it, as rows without ladders and shares."""
        return [TradeOffRow(piece.partition("@")[0]) for piece in self.text.split(">")]

    def depths(self, candidates: int) -> list[int]:
        """How many of so many candidates each later model ranks again."""
        return [max(1, round(float(piece.partition("@")[2]) * candidates)) for piece in self.text.split(">")[1:]]

    def ladder(self, candidates: int) -> str | None:
        """The ladder with depths for so many candidates, as `Ranker.rank` takes it; None without one."""
        pieces = [piece.partition(":") for piece in filter(None, self.first.partition("@")[2].split(","))]
        return ",".join(f"{head}:{max(1, round(float(share) * candidates))}" for head, _, share in pieces) or None

    def load(self) -> lateint.Model:
        """The first model."""
        return lateint.load_model(BASE, method="cosine") if self.name == "cosine" else lateint.load_model(self.name)


def measure(row: TradeOffRow, rankers: Sequence[Ranker], data: Split) -> Result:
    """Quality, time and bytes of one row; one ranker for each of its systems."""
    deepest = max(map(len, data.candidates.values()))
    later = list(zip(rankers[1:], row.depths(deepest), strict=True))
    ranker = Cascade(rankers[0], *later) if later else rankers[0]
    ladder, rankings = row.ladder(deepest), {}
    timings: list[lateint.Timing] = []
    texts = {document.id: document for document in candidate_texts(data)}
    for query, text in data.queries.items():
        ids = data.candidates[query]
        given: Any = {} if all(each.store for each in rankers) else {"documents": [texts[doc_id] for doc_id in ids]}
        if not timings:
            ranker.warm_up(text, ids)
            ranker.rank(text, ids, ladder=ladder, **given)
        ranking = ranker.rank(text, ids, ladder=ladder, **given)
        timings.append(ranking.timing)
        rankings[query] = [(hit.doc_id, hit.score) for hit in ranking]
    scores = evaluate({q: data.qrels[q] for q in rankings}, as_run(row.text, rankings), [MEASURE]).scores[MEASURE]
    rungs = max((timing.rungs for timing in timings), key=lambda rungs: max((rung.candidates for rung in rungs), default=0))
    return {
        "ladder": [[rung.head, rung.candidates] for rung in rungs],
        MEASURE: scores.mean,
        "interval": list(interval(scores.per_query)),
        "bytes_per_document": sum(ranker.store.info()["bytes_per_document"] for ranker in rankers if ranker.store),
        "per_query": {query: round(value, 6) for query, value in scores.per_query.items()},
        **{phase: statistics.median(getattr(timing, phase) for timing in timings) for phase in PHASES},
    }


def measure_missing(rows: Sequence[TradeOffRow], data: Split, stored: dict[str, Result]) -> Iterator[tuple[str, Result]]:
    """Measure the rows that have no stored result for their digest; systems that store the same arrays share a store."""
    stores: dict[Path, lateint.Store] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for row in rows:
            models = [(system, system.load()) for system in row.systems]
            digest = "+".join(digest_tensors(model.state_dict()) for _, model in models)
            if stored.get(row.text, {}).get("digest") == digest:
                continue
            rankers = []
            for system, model in models:
                if not system.stored:
                    rankers.append(Ranker(model))
                    continue
                path = Path(folder) / digest_json({"arrays": fingerprint(model), "codecs": str(system.codecs)})[:12]
                if path not in stores:
                    fill(model, path, system, data)
                    stores[path] = stack.enter_context(lateint.open_store(path))
                rankers.append(Ranker(model, stores[path]))
            yield row.text, {"digest": digest} | measure(row, rankers, data)


def fill(model: lateint.Model, path: Path, row: TradeOffRow, data: Split) -> None:
    """Build a sealed store of all candidates. Mixed precision is twice as fast and moves states less than the codecs do."""
    documents = candidate_texts(data)
    with lateint.build_store(model, [], path, row.codecs) as store:
        for start in range(0, len(documents), WINDOW):
            with torch.autocast("cpu", torch.bfloat16):
                window = encode_window(model, documents[start : start + WINDOW], start)
            store.add(window.entries)
        store.seal()


def time_peer(data: Split, calls: int) -> Result:
    """Median milliseconds of the peer over the texts of the query with the most candidates: the denominator."""
    query = max(data.queries, key=lambda q: len(data.candidates[q]))
    texts = [data.documents[i].full_text for i in data.candidates[query]]
    peer = CrossEncoderPeer(BASE, texts, data.queries[query])
    total = statistics.median(peer.milliseconds(text) for text in list(data.queries.values())[:calls])
    return {"total_ms": total, "batch_size": peer.batch_size, "texts": len(texts), "threads": torch.get_num_threads()}


def stored_result(name: str) -> Result:
    """The stored result of a pool, or one without rows."""
    file = _harness.RESULTS / f"trade_off_{name}.json"
    result: Result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"rows": {}}
    return result


def run(name: str, rows: Sequence[TradeOffRow], calls: int) -> Result:
    """Measure the missing rows of one pool, and write the result after each."""
    data, stored = pools.pool(name), stored_result(name)["rows"]
    peer = time_peer(data, calls)
    result: Result = {
        "claim": f"re-rank up to {pools.DEPTH} candidates of {name}: quality and time from the same calls",
        "denominator": "sentence-transformers CrossEncoder, same backbone, fp32, best batch size, texts of one query, same run",
        "command": f"python -m benchmarks.quality.trade_off --pools {name}",
        "queries": len(data.queries),
        "documents": len(candidate_texts(data)),
        "rows": stored,
    }
    for text, row in measure_missing(rows, data, stored):
        stored[text] = row | {"speedup": peer["total_ms"] / row["total_ms"], "cross_encoder": peer}
        if "cosine" in stored and text != "cosine":
            difference = compare(row["per_query"], stored["cosine"]["per_query"])
            stored[text]["minus_cosine"] = [difference.difference, difference.low, difference.high]
        _harness.write(f"trade_off_{name}", result)
        print(name, text, *line(stored[text]), sep="  ", flush=True)
    return result


def line(row: Result) -> list[str]:
    """A row as text: quality, time, speed-up, phases, bytes."""
    phases = [f"{phase[:-3]} {row[phase]:.1f}" for phase in PHASES[1:]]
    about = [f"{row[MEASURE]:.4f}", f"{row['total_ms']:.1f} ms", f"{row['speedup']:.1f}x"]
    return [*about, *phases, f"{row['bytes_per_document']:,.0f} B"]


def table(results: dict[str, Result], rows: Sequence[TradeOffRow]) -> Iterator[str]:
    """Lines of a Markdown table: quality on every pool, then gain, time and bytes.

    The official lists are short, so they count in gain, time and bytes only if there is no other pool.
    """
    counted = [name for name in results if name != pools.OFFICIAL]
    heads = [f"{name} (n = {results[name]['queries']})" for name in results]
    heads += ["gain", "ms", "fetch + decode", "speed-up", "bytes"]
    yield "| row | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    by_row = {row.text: {name: results[name]["rows"][row.text] for name in results} for row in rows}
    for text, on in by_row.items():
        share = gain_cell(text, by_row, counted) if counted and TEACHER in by_row else "-"
        pooled = [on[name] for name in counted or results]
        times = [statistics.fmean(row[phase] for row in pooled) for phase in PHASES]
        cells = [f"{on[name][MEASURE]:.3f}" for name in results]
        cells += [share, f"{times[0]:,.0f}", f"{(times[1] + times[2]) / times[0]:.0%}"]
        cells += [f"{min(row['speedup'] for row in pooled):,.0f}x"]
        cells += [" / ".join(f"{row['bytes_per_document']:,.0f}" for row in pooled)]
        yield f"| {text} | " + " | ".join(cells) + " |"


def gain_cell(text: str, by_row: dict[str, dict[str, Result]], counted: Sequence[str]) -> str:
    """A row's gain over the cosine as a share of the teacher's, with its interval."""
    ours, cosine, teacher = (by_row[row] for row in (text, "cosine", TEACHER))

    def column(row: dict[str, Result], key: str) -> dict[str, Any]:
        return {name: row[name][key] for name in counted}

    value = gain(column(ours, MEASURE), column(cosine, MEASURE), column(teacher, MEASURE)).value
    low, high = gain_interval(column(ours, "per_query"), column(cosine, "per_query"), column(teacher, "per_query"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--pools", nargs="+", choices=pools.NAMES, default=["msmarco-dl21"])
    parser.add_argument("--peer-calls", type=int, default=3, help="calls of the peer; their median counts")
    parser.add_argument("--rows", nargs="+", type=TradeOffRow, default=[TradeOffRow("cosine")], metavar="ROW")
    parser.add_argument(
        "--kept", action="store_true", help="measure nothing: print the rows that are stored for all these pools"
    )
    options = parser.parse_args()
    if options.kept:
        results = {name: stored_result(name) for name in options.pools}
        first, *others = (pool["rows"] for pool in results.values())
        options.rows = [TradeOffRow(text) for text in first if all(text in rows for rows in others)]
    else:
        results = {name: run(name, options.rows, options.peer_calls) for name in options.pools}
    print(*table(results, options.rows), sep="\n")


if __name__ == "__main__":
    main()
