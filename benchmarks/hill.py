"""Quality, milliseconds and bytes of the same calls: re-ranking BM25's best 1,000 of a pool of MS MARCO passages.

Every row is `Ranker.rank` by id over a store of the pool's candidates, all queries once, after a warm-up; quality is nDCG@10
of exactly these rankings. Denominator of the speed-ups: sentence-transformers' CrossEncoder over the same backbone, float32, at
its best batch size, on the texts of a query of the same candidates, in the same run and on the same cores. Bytes are what the
whole store takes on disk, sealed. `--set msmarco-dl21` is a development set; `--set msmarco-dl19` is a test set: run it once a
checkpoint.

Rows: names of checkpoints, folders, `cosine`, or any with a ladder behind an @: `latent@cosine:200`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import rerank_speed
import torch

import lateint
from lateint_eval.datasets.folder import Split, data_folder, read_split
from lateint_eval.firststage import Bm25
from lateint_eval.metrics import evaluate
from lateint_eval.significance import compare, interval
from lateint_eval.studies.material import candidate_texts
from lateint_eval.systems import as_run

BASE, MEASURE = "all-MiniLM-L6-v2", "nDCG@10"
PHASES = ("total_ms", "fetch_ms", "decode_ms", "compute_ms")
SPLITS = {"msmarco-dl21": ("train", "dev"), "msmarco-dl19": ("test",)}


def pool(name: str, depth: int) -> Split:
    """The judged queries of a set, each with BM25's best `depth` of all its passages."""
    parts = [read_split(data_folder() / name, split) for split in SPLITS[name]]
    documents = parts[0].documents
    first = Bm25(list(documents), [doc.full_text for doc in documents.values()])
    queries = {query: text for part in parts for query, text in part.queries.items()}
    found = {query: first.search(text, depth) for query, text in queries.items()}
    return Split(
        name,
        queries,
        {query: labels for part in parts for query, labels in part.qrels.items()},
        {query: [doc_id for doc_id, _ in pairs] for query, pairs in found.items()},
        {query: [score for _, score in pairs] for query, pairs in found.items()},
        documents,
    )


def measure(row: str, data: Split, folder: Path) -> dict[str, Any]:
    """Quality, time and bytes of one row."""
    name, _, ladder = row.partition("@")
    model = lateint.load_model(BASE, method="cosine") if name == "cosine" else lateint.load_model(name)
    if not (folder / Path(name).name).exists():
        with lateint.build_store(model, candidate_texts(data), folder / Path(name).name) as built:
            built.seal()
    with lateint.open_store(folder / Path(name).name) as store:
        ranker, rankings, timings = lateint.Ranker(model, store), {}, []
        for query, text in data.queries.items():
            if not timings:
                ranker.rank(text, data.candidates[query], ladder=ladder or None)
            found = ranker.rank(text, data.candidates[query], ladder=ladder or None)
            timings.append(found.timing)
            rankings[query] = [(hit.doc_id, hit.score) for hit in found]
        size = store.info()["bytes_per_document"]
    scores = evaluate({q: data.qrels[q] for q in rankings}, as_run(row, rankings), [MEASURE]).scores[MEASURE]
    middle = {phase: statistics.median(getattr(timing, phase) for timing in timings) for phase in PHASES}
    return {
        "row": row,
        "ladder": [[rung.head, rung.candidates] for rung in timings[0].rungs],
        MEASURE: scores.mean,
        "interval": list(interval(scores.per_query)),
        "bytes_per_document": size,
        "per_query": {query: round(value, 6) for query, value in scores.per_query.items()},
        **middle,
    }


def compared(rows: Sequence[dict[str, Any]], slow: float) -> None:
    """Add to every row its speed-up, and its difference from the cosine with a 95 % interval."""
    base = next((row["per_query"] for row in rows if row["row"] == "cosine"), None)
    for row in rows:
        row["speedup"] = slow / row["total_ms"]
        if base is not None and row["row"] != "cosine":
            found = compare(row["per_query"], base)
            row["minus_cosine"] = [found.difference, found.low, found.high]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=tuple(SPLITS), default="msmarco-dl21", dest="name")
    parser.add_argument("--depth", type=int, default=1_000, help="candidates a query")
    parser.add_argument("--peer-calls", type=int, default=3, help="calls of the peer; their median counts")
    parser.add_argument("rows", nargs="+", metavar="ROW")
    options = parser.parse_args()
    data = pool(options.name, options.depth)
    query = max(data.queries, key=lambda q: len(data.candidates[q]))
    texts = [data.documents[i].full_text for i in data.candidates[query]]
    peer, size = rerank_speed.cross_encoder(BASE, texts, data.queries[query])
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(row, data, Path(folder)) for row in options.rows]
    slow = statistics.median(peer(text) for text in list(data.queries.values())[: options.peer_calls])
    compared(rows, slow)
    for row in rows:
        parts = "  ".join(f"{phase[:-3]} {row[phase]:.1f}" for phase in PHASES[1:])
        print(f"{row['row']:<28} {row[MEASURE]:.4f}  {row['total_ms']:8.1f} ms {row['speedup']:7.1f}x  {parts}  "
              f"{row['bytes_per_document']:,.0f} B  {row.get('minus_cosine', '')}", flush=True)  # fmt: skip
    result = {
        "claim": f"re-rank BM25's best {options.depth} of the pool {options.name}: quality and time from the same calls",
        "denominator": "sentence-transformers CrossEncoder, same backbone, fp32, best batch size, texts of one query, same run",
        "command": f"python benchmarks/hill.py --set {options.name}",
        "queries": len(data.queries),
        "candidates": options.depth,
        "threads": torch.get_num_threads(),
        "cross_encoder": {"total_ms": slow, "batch_size": size, "texts": len(texts)},
        "rows": rows,
    }
    print(f"written to {machine.write('hill_' + options.name, result)}")


if __name__ == "__main__":
    main()
