"""Fit the activation of the checkpoints in the package: the sigmoid that makes `predict` a probability of relevance.

Pairs: the first queries of the fixed samples of squad dev and medquad dev, BM25's best candidates of each; a pair is relevant
if it is judged so. No split that is tested or trained on is read. Every second query is held out of a first fit, whose cross
entropy on them stands beside that of a constant, the share of relevant pairs. The fit that `--write` records is of all,
with its shift corrected for equal numbers of relevant pairs and others.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lateint
from benchmarks import _harness
from lateint.loading.shipped import CHECKPOINTS
from lateint.model.activation import Sigmoid
from lateint.model.saving import record_activation
from lateint.train.calibration import fit_sigmoid
from lateint_eval.datasets.folder import data_folder, read_split, sampled_queries

PRIOR = 0.5
SETS = ("squad", "medquad")
NAMES = sorted(folder.name for folder in CHECKPOINTS.iterdir())
Floats = NDArray[np.float64]


def labelled_pairs(number: int, depth: int) -> tuple[list[tuple[str, str]], Floats, NDArray[np.int64]]:
    """The pairs of all sets, their labels (1 relevant, 0 not), and the number of the query of each pair."""
    pairs: list[tuple[str, str]] = []
    labels: list[float] = []
    queries: list[int] = []
    for name in SETS:
        split = read_split(data_folder() / name, "dev").only(sampled_queries(name, "dev")[:number], depth)
        for query, candidates in split.candidates.items():
            for doc_id in candidates:
                document = split.documents[doc_id]
                pairs.append((split.queries[query], f"{document.title} {document.text}".strip()))
                labels.append(float(split.qrels[query].get(doc_id, 0) > 0))
            queries += [queries[-1] + 1 if queries else 0] * len(candidates)
    return pairs, np.array(labels), np.array(queries)


def cross_entropy(values: Floats, labels: Floats) -> float:
    """Mean over pairs, in nats."""
    return float(-np.mean(labels * np.log(values) + (1 - labels) * np.log1p(-values)))


def probabilities(fitted: Sigmoid, logits: NDArray[np.float32]) -> Floats:
    """The activation in float64."""
    z: Floats = logits.astype(np.float64) * fitted.scale + fitted.shift
    return 1 / (1 + np.exp(-z))


def row(name: str, logits: NDArray[np.float32], labels: Floats, queries: NDArray[np.int64]) -> dict[str, Any]:
    """Fit one checkpoint, on half of the queries and on all."""
    held_out = queries % 2 == 1
    half = probabilities(fit_sigmoid(logits[~held_out], labels[~held_out]), logits[held_out])
    fitted = fit_sigmoid(logits, labels, PRIOR)
    values = probabilities(fitted, logits)
    return {
        "checkpoint": name,
        "pairs": len(labels),
        "relevant": int(labels.sum()),
        "scale": fitted.scale,
        "shift": fitted.shift,
        "logits": [float(logits.min()), float(logits.max())],
        "probabilities": [float(values.min()), float(values.max())],
        "held out": cross_entropy(half, labels[held_out]),
        "constant": cross_entropy(np.full(int(held_out.sum()), labels[~held_out].mean()), labels[held_out]),
    }


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--queries", type=int, default=80, help="first queries of each fixed sample")
    parser.add_argument("--depth", type=int, default=20, help="BM25 candidates a query")
    parser.add_argument("--checkpoints", nargs="*", default=NAMES, choices=NAMES, help="default: all")
    parser.add_argument("--write", action="store_true", help="record the fits in the checkpoints")
    options = parser.parse_args()
    pairs, labels, queries = labelled_pairs(options.queries, options.depth)
    file = _harness.RESULTS / "calibrate.json"
    stored = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    rows = [kept for kept in stored if kept["checkpoint"] in set(NAMES) - set(options.checkpoints)]
    for name in options.checkpoints:
        logits = lateint.Ranker(lateint.load_model(name)).logits(pairs)
        rows.append(row(name, logits, labels, queries))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        if options.write:
            record_activation(CHECKPOINTS / name, Sigmoid(rows[-1]["scale"], rows[-1]["shift"]))
    result = {
        "claim": "a sigmoid with a fitted scale and shift makes probabilities of the logits",
        "command": f"python -m benchmarks.quality.calibrate --queries {options.queries} --depth {options.depth} --write",
        "set": f"squad dev, medquad dev, BM25 top {options.depth}",
        "prior": PRIOR,
        "measure": "cross entropy of held-out queries in nats a pair, against a constant",
        "rows": sorted(rows, key=lambda kept: kept["checkpoint"]),
    }
    _harness.save("calibrate", result)


if __name__ == "__main__":
    main()
