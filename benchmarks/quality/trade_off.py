"""Quality, milliseconds and bytes of the same calls: re-ranking 1,000 passages a query, every system on the same ones.

Every row is `Ranker.rank` by id over a sealed store of the pool's candidates, all queries once, after a warm-up; quality is
nDCG@10 of exactly these rankings, and bytes are what the whole store takes on disk. Denominator of the speed-ups:
sentence-transformers' CrossEncoder over the same backbone, float32, at its best batch size, on the texts of one query's
candidates, before the rows, in the same process and on the same cores. Gain: sum(x - cosine) / sum(teacher - cosine) of nDCG@10
over the pools. ms: mean over the pools of median calls; speed-up: the least of them.

Rows: names of checkpoints or folders, or `cosine`; behind a colon the codec of vectors, and behind an @ a ladder with depths as
shares of the candidates: `cosine:int8`, `latent@cosine:0.2`. Behind a > stands who ranks the best again, and its share of
them: `latent@cosine:0.1>teacher@0.01`, whose bytes are those of both stores; `teacher:texts` has none and reads the texts.
Checkpoints that encode documents alike share a store.
A result is kept, by the checkpoint's digest, and not measured again. Documents are encoded in mixed precision, everything that
a query needs runs in float32. Pools: see `pools.py`.
"""

from __future__ import annotations

import argparse
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
from benchmarks.quality import pools
from benchmarks.speed import rerank_speed
from lateint import Cascade, Ranker
from lateint.indexing.build import WINDOW
from lateint.indexing.encoding import encode_window
from lateint.indexing.fingerprint import fingerprint
from lateint.methods.registry import part
from lateint.model.digests import digest_json, digest_tensors
from lateint_eval.datasets.folder import Split
from lateint_eval.measures.gain import gain, gain_interval
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.significance import compare, interval
from lateint_eval.studies.data import candidate_texts
from lateint_eval.systems import as_run

BASE, MEASURE, TEACHER = "all-MiniLM-L6-v2", "nDCG@10", "teacher"
PHASES = ("total_ms", "fetch_ms", "decode_ms", "compute_ms")
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TradeOffRow:
    """A system: a checkpoint, another codec of its vectors, what climbs to it, and who ranks again behind it."""

    text: str

    @property
    def first(self) -> str:
        """What stands before the first >."""
        return self.text.partition(">")[0]

    @property
    def name(self) -> str:
        """Of the checkpoint, or `cosine`."""
        return self.first.partition("@")[0].partition(":")[0]

    @property
    def codecs(self) -> Any:
        """Those that replace the checkpoint's own."""
        codec = self.first.partition("@")[0].partition(":")[2]
        return {"vector": (part(codec),)} if codec and self.stored else None

    @property
    def stored(self) -> bool:
        """Whether it has a store."""
        return not self.text.endswith(":texts")

    @property
    def systems(self) -> list[TradeOffRow]:
        """Itself alone, then who ranks again, each with a store of its own."""
        return [TradeOffRow(piece.partition("@")[0]) for piece in self.text.split(">")]

    def depths(self, candidates: int) -> list[int]:
        """How many those who rank again are given, of so many candidates."""
        return [max(1, round(float(piece.partition("@")[2]) * candidates)) for piece in self.text.split(">")[1:]]

    def ladder(self, candidates: int) -> str | None:
        """With depths for so many candidates."""
        pieces = [piece.partition(":") for piece in filter(None, self.first.partition("@")[2].split(","))]
        return ",".join(f"{head}:{max(1, round(float(share) * candidates))}" for head, _, share in pieces) or None

    def load(self) -> lateint.Model:
        """The model."""
        return lateint.load_model(BASE, method="cosine") if self.name == "cosine" else lateint.load_model(self.name)


def measure(row: TradeOffRow, rankers: Sequence[Ranker], data: Split) -> Found:
    """Quality, time and bytes of one row."""
    deepest = max(map(len, data.candidates.values()))
    then = list(zip(rankers[1:], row.depths(deepest), strict=True))
    ranker = Cascade(rankers[0], *then) if then else rankers[0]
    ladder, rankings, timings = row.ladder(deepest), {}, []
    texts = {document.id: document for document in candidate_texts(data)}
    for query, text in data.queries.items():
        ids = data.candidates[query]
        given: Any = {} if all(each.store for each in rankers) else {"documents": [texts[doc_id] for doc_id in ids]}
        if not timings:
            ranker.warm_up(text, ids)
            ranker.rank(text, ids, ladder=ladder, **given)
        found = ranker.rank(text, ids, ladder=ladder, **given)
        timings.append(found.timing)
        rankings[query] = [(hit.doc_id, hit.score) for hit in found]
    scores = evaluate({q: data.qrels[q] for q in rankings}, as_run(row.text, rankings), [MEASURE]).scores[MEASURE]
    middle = {phase: statistics.median(getattr(timing, phase) for timing in timings) for phase in PHASES}
    rungs = max((timing.rungs for timing in timings), key=lambda rungs: max((rung.candidates for rung in rungs), default=0))
    return {
        "ladder": [[rung.head, rung.candidates] for rung in rungs],
        MEASURE: scores.mean,
        "interval": list(interval(scores.per_query)),
        "bytes_per_document": sum(ranker.store.info()["bytes_per_document"] for ranker in rankers if ranker.store),
        "per_query": {query: round(value, 6) for query, value in scores.per_query.items()},
        **middle,
    }


def measured(rows: Sequence[TradeOffRow], data: Split, known: dict[str, Found]) -> Iterator[tuple[str, Found]]:
    """The rows that are not known yet, one after the other; those that store the same stand over one store."""
    stores: dict[Path, lateint.Store] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        for row in rows:
            models = [(system, system.load()) for system in row.systems]
            digest = "+".join(digest_tensors(model.state_dict()) for _, model in models)
            if known.get(row.text, {}).get("digest") != digest:
                rankers = []
                for system, model in models:
                    if not system.stored:
                        rankers.append(Ranker(model))
                        continue
                    place = Path(folder) / digest_json({"arrays": fingerprint(model), "codecs": str(system.codecs)})[:12]
                    if place not in stores:
                        fill(model, place, system, data)
                        stores[place] = opened.enter_context(lateint.open_store(place))
                    rankers.append(Ranker(model, stores[place]))
                yield row.text, {"digest": digest} | measure(row, rankers, data)


def fill(model: lateint.Model, place: Path, row: TradeOffRow, data: Split) -> None:
    """A sealed store of all candidates, encoded in mixed precision: twice as quick, states move less than by codecs."""
    documents = candidate_texts(data)
    with lateint.build_store(model, [], place, row.codecs) as store:
        for start in range(0, len(documents), WINDOW):
            with torch.autocast("cpu", torch.bfloat16):
                window = encode_window(model, documents[start : start + WINDOW], start)
            store.add(window.entries)
        store.seal()


def denominator(data: Split, calls: int) -> Found:
    """What the peer takes for the texts of one query's candidates."""
    query = max(data.queries, key=lambda q: len(data.candidates[q]))
    texts = [data.documents[i].full_text for i in data.candidates[query]]
    peer, size = rerank_speed.cross_encoder(BASE, texts, data.queries[query])
    slow = statistics.median(peer(text) for text in list(data.queries.values())[:calls])
    return {"total_ms": slow, "batch_size": size, "texts": len(texts), "threads": torch.get_num_threads()}


def kept(name: str) -> Found:
    """What was measured on a pool."""
    file = _harness.RESULTS / f"trade_off_{name}.json"
    found: Found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"rows": {}}
    return found


def run(name: str, rows: Sequence[TradeOffRow], calls: int) -> Found:
    """All rows on one pool; what is new is written after every row."""
    data, known = pools.pool(name), kept(name)["rows"]
    peer = denominator(data, calls)
    result: Found = {
        "claim": f"re-rank up to {pools.DEPTH} candidates of {name}: quality and time from the same calls",
        "denominator": "sentence-transformers CrossEncoder, same backbone, fp32, best batch size, texts of one query, same run",
        "command": f"python -m benchmarks.quality.trade_off --pools {name}",
        "queries": len(data.queries),
        "documents": len(candidate_texts(data)),
        "rows": known,
    }
    for text, found in measured(rows, data, known):
        known[text] = found | {"speedup": peer["total_ms"] / found["total_ms"], "cross_encoder": peer}
        if "cosine" in known and text != "cosine":
            difference = compare(found["per_query"], known["cosine"]["per_query"])
            known[text]["minus_cosine"] = [difference.difference, difference.low, difference.high]
        _harness.write(f"trade_off_{name}", result)
        print(name, text, *line(known[text]), sep="  ", flush=True)
    return result


def line(row: Found) -> list[str]:
    """A row as text."""
    split = [f"{phase[:-3]} {row[phase]:.1f}" for phase in PHASES[1:]]
    about = [f"{row[MEASURE]:.4f}", f"{row['total_ms']:.1f} ms", f"{row['speedup']:.1f}x"]
    return [*about, *split, f"{row['bytes_per_document']:,.0f} B"]


def table(found: dict[str, Found], rows: Sequence[TradeOffRow]) -> Iterator[str]:
    """One line a row: quality on every pool, then gain, time and bytes on all but the official lists, if there are others."""
    counted = [name for name in found if name != pools.OFFICIAL]
    heads = [*(f"{name} (n = {found[name]['queries']})" for name in found), "gain", "ms", "fetch + decode", "speed-up", "bytes"]
    yield "| row | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    of = {row.text: {name: found[name]["rows"][row.text] for name in found} for row in rows}
    quality = {text: {name: shown[name][MEASURE] for name in counted} for text, shown in of.items()}
    for text, shown in of.items():
        share = "-"
        if counted and TEACHER in quality:
            each = [{name: of[row][name]["per_query"] for name in counted} for row in (text, "cosine", TEACHER)]
            low, high = gain_interval(*each)
            share = f"{gain(quality[text], quality['cosine'], quality[TEACHER]).value:.2f} [{low:.2f}, {high:.2f}]"
        pooled = [shown[name] for name in counted or found]
        times = [statistics.fmean(row[phase] for row in pooled) for phase in PHASES]
        cells = [f"{shown[name][MEASURE]:.3f}" for name in found]
        cells += [share, f"{times[0]:,.0f}", f"{(times[1] + times[2]) / times[0]:.0%}"]
        cells += [f"{min(row['speedup'] for row in pooled):,.0f}x"]
        cells += [" / ".join(f"{row['bytes_per_document']:,.0f}" for row in pooled)]
        yield f"| {text} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", nargs="+", choices=pools.NAMES, default=["msmarco-dl21"])
    parser.add_argument("--peer-calls", type=int, default=3, help="calls of the peer; their median counts")
    parser.add_argument("--rows", nargs="+", type=TradeOffRow, default=[TradeOffRow("cosine")], metavar="ROW")
    parser.add_argument("--kept", action="store_true", help="measure nothing: the table of what is kept of all these pools")
    options = parser.parse_args()
    if options.kept:
        found = {name: kept(name) for name in options.pools}
        first, *others = (pool["rows"] for pool in found.values())
        options.rows = [TradeOffRow(text) for text in first if all(text in rows for rows in others)]
    else:
        found = {name: run(name, options.rows, options.peer_calls) for name in options.pools}
    print(*table(found, options.rows), sep="\n")


if __name__ == "__main__":
    main()
