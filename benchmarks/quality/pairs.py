"""Sentence pairs: how close students come to their teachers on STS-B and MRPC, DSE and HPD.

DSE: a student whose texts never meet below its head, beside the cross-encoder that taught it. HPD: a student of three
layers and 128 numbers, beside the teacher's own vectors cut to the same depth and width by their principal directions.
A student's row also says how far it is from its rival on the same pairs, with a paired bootstrap interval.
Checkpoints lie in one folder, made by the commands in `TRAINED`; thresholds of MRPC are chosen on its dev split, which a
dev row therefore flatters. Nothing is chosen on a test split.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import lateint
from benchmarks import _harness
from lateint.train.losses.projected_mse import vectors_of
from lateint_eval.datasets.folder import data_folder
from lateint_eval.formats import Pair, read_pairs
from lateint_eval.measures.pairs import (
    Threshold,
    accuracy,
    auc,
    best_threshold,
    evaluate_pairs,
    f1,
    label_kind,
    pearson,
    spearman,
)
from lateint_eval.measures.significance import RESAMPLES

BASE, DEPTH, WIDTH = "all-MiniLM-L6-v2", 3, 128
FITTED_ON = 4_000  # training texts that directions are fitted on, as many as HPD's loss takes
WHOLE = "base, layer T, 384 numbers"
BATCH = 50  # resamples at once
Array = NDArray[np.float64]
Measure = Callable[[Array, Array, Array], Array]
Scores = dict[str, Array]  # of every pair, by split
RIVALS = {"stsb-dse": "stsb-teacher", "mrpc-dse": "mrpc-teacher", "hpd": f"base, layer {DEPTH}, {WIDTH} numbers"}
TRAINED = {
    "stsb-teacher": "lateint train --recipe pair_teacher --data stsb.tsv.gz --full --threads 1 --output stsb-teacher",
    "stsb-dse": "lateint train --recipe pair_dse --base stsb-teacher --data stsb.tsv.gz --teacher stsb-teacher "
    "--scores stsb.scores --full --threads 1 --output stsb-dse",
    "mrpc-teacher": "lateint train --recipe pair_teacher --data mrpc.tsv.gz --full --threads 1 --output mrpc-teacher",
    "mrpc-dse": "lateint train --recipe pair_dse --base mrpc-teacher --data mrpc.tsv.gz --teacher mrpc-teacher "
    "--scores mrpc.scores --full --threads 1 --output mrpc-dse",
    # It reads no labels.
    "hpd": "lateint train --recipe hpd --data stsb.tsv.gz --doc-max-length 96 --steps 1500 --minutes 10 --full --threads 1 "
    "--output hpd",
}


@dataclass(frozen=True)
class PairTask:
    """One set of pairs with its official splits."""

    name: str

    @cached_property
    def path(self) -> Path:
        """Its file."""
        return data_folder() / self.name / f"{self.name}.tsv.gz"

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of one split."""
        return read_pairs(self.path, None, {"split": {split}})

    def labels(self, split: str) -> Array:
        """The labels of one split."""
        return np.array([pair.label for pair in self.pairs(split)])

    def threshold(self, scores: Scores) -> Threshold | None:
        """For binary labels: the score from which on most pairs of the dev split are right."""
        if label_kind(self.labels("dev")) == "graded":
            return None
        return Threshold(best_threshold(scores["dev"], self.labels("dev")), "best accuracy on the dev split")

    def read(self, scores: Scores, split: str) -> dict[str, tuple[Measure, Array]]:
        """The measures of this task, each with what it reads of the scores."""
        threshold = self.threshold(scores)
        if threshold is None:
            return {"Pearson": (pearson, scores[split]), "Spearman": (spearman, scores[split])}
        decisions = (scores[split] >= threshold.value).astype(np.float64)
        return {"accuracy": (accuracy, decisions), "F1": (f1, decisions), "AUC": (auc, scores[split])}

    def compare(self, ours: Scores, theirs: Scores, split: str) -> dict[str, dict[str, float]]:
        """Every measure of ours against theirs on one split."""
        read, other, labels = self.read(ours, split), self.read(theirs, split), self.labels(split)
        return {name: compared(given, other[name][1], labels, measure) for name, (measure, given) in read.items()}


STSB, MRPC = PairTask("stsb"), PairTask("mrpc")


def compared(ours: Array, theirs: Array, labels: Array, measure: Measure, seed: int = 0) -> dict[str, float]:
    """A measure of ours [n] minus that of theirs [n], with its 95 % percentile bootstrap interval over pairs, and their ratio.

    Both see every resample. Cost: RESAMPLES * n draws, and the measure twice on each.
    """
    generator, n, found = np.random.default_rng(seed), len(labels), []
    for _ in range(0, RESAMPLES, BATCH):
        counts = generator.multinomial(n, np.full(n, 1 / n), size=BATCH).astype(np.float64)
        found.append(measure(ours, labels, counts) - measure(theirs, labels, counts))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    value, other = (float(measure(each, labels, np.ones((1, n)))[0]) for each in (ours, theirs))
    return {"difference": value - other, "low": float(low), "high": float(high), "ratio": value / other}


def ranker_scores(model: Any, task: PairTask, splits: list[str]) -> Scores:
    """Logits of every pair of each split."""
    ranker = lateint.Ranker(model)
    texts = {split: [(pair.first, pair.second) for pair in task.pairs(split)] for split in splits}
    return {split: ranker.logits(found).astype(np.float64) for split, found in texts.items()}


def vectors(depth: int | str, texts: list[str]) -> dict[str, Array]:
    """The base's mean vector of each text after `depth` layers, of length 1."""
    model, ordered = lateint.load_model(BASE, "cosine", offline_layers=depth), sorted(texts, key=len)
    matrix = vectors_of(model, [lateint.Document("", text) for text in ordered])
    return dict(zip(ordered, matrix.numpy().astype(np.float64), strict=True))


def principal(matrix: Array, width: int) -> Array:
    """Uncentred principal directions [h, width] of rows [n, h], as HPD projects its teacher."""
    return np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, :width]


def cosines(held: dict[str, Array], directions: Array | None, pairs: list[Pair]) -> Array:
    """Cosines of pairs, after a projection if one is given."""
    first, second = (np.stack([held[getattr(pair, side)] for pair in pairs]) for side in ("first", "second"))
    if directions is not None:
        first, second = first @ directions, second @ directions
    products = (first * second).sum(axis=1)
    return products / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


def projections(splits: list[str]) -> dict[str, Scores]:
    """The base's vectors at the student's depth and at their own, whole and at the student's width, on STS-B."""
    train = list(dict.fromkeys(text for pair in STSB.pairs("train") for text in (pair.first, pair.second)))[:FITTED_ON]
    tested = [text for split in splits for pair in STSB.pairs(split) for text in (pair.first, pair.second)]
    found = {}
    for depth in (DEPTH, "T"):
        held = vectors(depth, list(dict.fromkeys(train + tested)))
        directions = principal(np.stack([held[text] for text in train]), WIDTH)
        for width, chosen in ((WIDTH, directions), (384, None)):
            name = f"base, layer {depth}, {width} numbers"
            found[name] = {split: cosines(held, chosen, STSB.pairs(split)) for split in splits}
    return found


def budget(checkpoint: Path) -> dict[str, Any]:
    """Steps and seconds that each stage of a checkpoint was trained for."""
    stages = json.loads((checkpoint / "history.json").read_text("utf-8"))
    return {"steps": [len(stage) for stage in stages], "seconds": [round(stage[-1]["seconds"]) for stage in stages]}


def rows(task: PairTask, scores: dict[str, Scores], about: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a system and split; a student's with its comparison."""
    found = []
    for name, held in scores.items():
        for split in held:
            measured = evaluate_pairs(held[split], task.labels(split), task.threshold(held)).to_json()
            row = {"row": name, "set": task.name, "split": split} | measured | about[name]
            if name in RIVALS:
                against = {"row": RIVALS[name], "resamples": RESAMPLES}
                row["against"] = against | {"measures": task.compare(held, scores[RIVALS[name]], split)}
            found.append(row)
    return found


def run(task: PairTask, folder: Path, splits: list[str]) -> dict[str, Any]:
    """All rows of one set."""
    command = f"python -m benchmarks.quality.pairs --set {task.name} --checkpoints FOLDER --splits {' '.join(splits)}"
    scores = projections(splits) if task is STSB else {WHOLE: ranker_scores(lateint.load_model(BASE, "cosine"), task, splits)}
    about: dict[str, dict[str, Any]] = {name: {"command": command} for name in scores}
    for name, trained in TRAINED.items():
        if f"{task.name}.tsv" in trained:
            scores[name] = ranker_scores(lateint.load_model(folder / name), task, splits)
            about[name] = {"command": trained, "budget": budget(folder / name)}
    return {
        "claim": "students of pair tasks beside their teachers",
        "command": command,
        "threads": torch.get_num_threads(),
        "rows": rows(task, scores, about),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the checkpoints named in TRAINED")
    parser.add_argument("--set", default="stsb", choices=("stsb", "mrpc"))
    parser.add_argument("--splits", nargs="+", default=["dev"], choices=("dev", "test"))
    options = parser.parse_args()
    task = MRPC if options.set == "mrpc" else STSB
    result = run(task, options.checkpoints, sorted({"dev", *options.splits}))
    for row in result["rows"]:
        values = "  ".join(f"{n} {m['value']:.4f} [{m['low']:.4f}, {m['high']:.4f}]" for n, m in row["measures"].items())
        print(f"{row['set']:<5} {row['split']:<5} {row['row']:<30} n {row['n']:<5} {values}")
        for name, gap in row.get("against", {}).get("measures", {}).items():
            shown = f"{gap['difference']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}], ratio {gap['ratio']:.4f}"
            print(f"{'':<12} {name} to {row['against']['row']}: {shown}")
    print(f"written to {_harness.write(f'pairs_{options.set}', result)}")


if __name__ == "__main__":
    main()
