"""Sentence pairs: how close the students of DSE and HPD come to their teachers on STS-B and MRPC.

DSE: a student that encodes both texts apart up to its head, against the cross-encoder that taught it. HPD: a student of three
layers and 128 numbers, against the vectors of its teacher, the base, at the same depth, projected to the same width along
their principal directions. A student's row has its difference to its rival on the same pairs, with a paired bootstrap
interval, and the ratio of the student's measure (numerator) to the rival's (denominator).
All checkpoints are in one folder, trained by the commands in `TRAINED`. Thresholds of MRPC are chosen on its dev split, which
flatters dev rows. Nothing is chosen on a test split.
"""

from __future__ import annotations

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
from benchmarks._harness import BASE
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

DEPTH, WIDTH = 3, 128
FITTED_ON = 4_000  # training texts that the directions are fitted on, as many as HPD's loss takes
WHOLE = "base, layer T, 384 numbers"
BATCH = 50  # bootstrap resamples at once
Array = NDArray[np.float64]
Measure = Callable[[Array, Array, Array], Array]
Scores = dict[str, Array]  # a score for every pair, by split
RIVALS = {"stsb-dse": "stsb-teacher", "mrpc-dse": "mrpc-teacher", "hpd": f"base, layer {DEPTH}, {WIDTH} numbers"}
TRAINED = {
    "stsb-teacher": "lateint train --recipe pair_teacher --data stsb.tsv.gz --full --threads 1 --output stsb-teacher",
    "stsb-dse": "lateint train --recipe pair_dse --base stsb-teacher --data stsb.tsv.gz --teacher stsb-teacher "
    "--scores stsb.scores --full --threads 1 --output stsb-dse",
    "mrpc-teacher": "lateint train --recipe pair_teacher --data mrpc.tsv.gz --full --threads 1 --output mrpc-teacher",
    "mrpc-dse": "lateint train --recipe pair_dse --base mrpc-teacher --data mrpc.tsv.gz --teacher mrpc-teacher "
    "--scores mrpc.scores --full --threads 1 --output mrpc-dse",
    # Trained without labels.
    "hpd": "lateint train --recipe hpd --data stsb.tsv.gz --doc-max-length 96 --steps 1500 --minutes 10 --full --threads 1 "
    "--output hpd",
}


@dataclass(frozen=True)
class PairTask:
    """One set of sentence pairs with its official splits."""

    name: str

    @cached_property
    def path(self) -> Path:
        """The file of the pairs."""
        return data_folder() / self.name / f"{self.name}.tsv.gz"

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of one split."""
        return read_pairs(self.path, None, {"split": {split}})

    def labels(self, split: str) -> Array:
        """The labels of one split."""
        return np.array([pair.label for pair in self.pairs(split)])

    def threshold(self, scores: Scores) -> Threshold | None:
        """For binary labels, the threshold with the best accuracy on the dev split; None for graded labels."""
        if label_kind(self.labels("dev")) == "graded":
            return None
        return Threshold(best_threshold(scores["dev"], self.labels("dev")), "best accuracy on the dev split")

    def measures(self, scores: Scores, split: str) -> dict[str, tuple[Measure, Array]]:
        """The measures of this task, each with its input: the scores, or decisions made from them."""
        threshold = self.threshold(scores)
        if threshold is None:
            return {"Pearson": (pearson, scores[split]), "Spearman": (spearman, scores[split])}
        decisions = (scores[split] >= threshold.value).astype(np.float64)
        return {"accuracy": (accuracy, decisions), "F1": (f1, decisions), "AUC": (auc, scores[split])}

    def compare(self, ours: Scores, theirs: Scores, split: str) -> dict[str, dict[str, float]]:
        """Compare two systems by every measure on one split."""
        inputs, other, labels = self.measures(ours, split), self.measures(theirs, split), self.labels(split)
        return {name: compared(values, other[name][1], labels, measure) for name, (measure, values) in inputs.items()}


STSB, MRPC = PairTask("stsb"), PairTask("mrpc")


def compared(ours: Array, theirs: Array, labels: Array, measure: Measure, seed: int = 0) -> dict[str, float]:
    """The measure of ours [n] minus that of theirs [n], its 95 % percentile bootstrap interval over pairs, and the ratio.

    Both systems are measured on the same resamples. Cost: RESAMPLES * n draws, and two measures for each resample.
    """
    generator, n, differences = np.random.default_rng(seed), len(labels), []
    for _ in range(0, RESAMPLES, BATCH):
        counts = generator.multinomial(n, np.full(n, 1 / n), size=BATCH).astype(np.float64)
        differences.append(measure(ours, labels, counts) - measure(theirs, labels, counts))
    low, high = np.quantile(np.concatenate(differences), (0.025, 0.975))
    value, other = (float(measure(each, labels, np.ones((1, n)))[0]) for each in (ours, theirs))
    return {"difference": value - other, "low": float(low), "high": float(high), "ratio": value / other}


def ranker_scores(model: Any, task: PairTask, splits: list[str]) -> Scores:
    """The logit of every pair, by split."""
    ranker = lateint.Ranker(model)
    texts = {split: [(pair.first, pair.second) for pair in task.pairs(split)] for split in splits}
    return {split: ranker.logits(pairs).astype(np.float64) for split, pairs in texts.items()}


def vectors(depth: int | str, texts: list[str]) -> dict[str, Array]:
    """The base's mean vector of each text after `depth` layers, scaled to length 1."""
    model, ordered = lateint.load_model(BASE, "cosine", offline_layers=depth), sorted(texts, key=len)
    matrix: Array = vectors_of(model, [lateint.Document("", text) for text in ordered]).numpy().astype(np.float64)
    return dict(zip(ordered, matrix, strict=True))


def principal(matrix: Array, width: int) -> Array:
    """Uncentred principal directions [h, width] of rows [n, h], along which HPD projects its teacher."""
    directions: Array = np.linalg.eigh(matrix.T @ matrix)[1]
    return directions[:, ::-1][:, :width]


def cosines(by_text: dict[str, Array], directions: Array | None, pairs: list[Pair]) -> Array:
    """Cosines of the vectors of pairs, projected to `directions` if they are given."""
    first = np.stack([by_text[pair.first] for pair in pairs])
    second = np.stack([by_text[pair.second] for pair in pairs])
    if directions is not None:
        first, second = first @ directions, second @ directions
    products: Array = (first * second).sum(axis=1)
    quotients: Array = products / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return quotients


def projections(splits: list[str]) -> dict[str, Scores]:
    """Scores of the base's vectors on STS-B: at the student's depth and after all layers, each projected and whole."""
    train = list(dict.fromkeys(text for pair in STSB.pairs("train") for text in (pair.first, pair.second)))[:FITTED_ON]
    tested = [text for split in splits for pair in STSB.pairs(split) for text in (pair.first, pair.second)]
    scores = {}
    for depth in (DEPTH, "T"):
        by_text = vectors(depth, list(dict.fromkeys(train + tested)))
        directions = principal(np.stack([by_text[text] for text in train]), WIDTH)
        for width, chosen in ((WIDTH, directions), (384, None)):
            name = f"base, layer {depth}, {width} numbers"
            scores[name] = {split: cosines(by_text, chosen, STSB.pairs(split)) for split in splits}
    return scores


def budget(checkpoint: Path) -> dict[str, Any]:
    """Training steps and seconds of each stage of a checkpoint."""
    stages = json.loads((checkpoint / "history.json").read_text("utf-8"))
    return {"steps": [len(stage) for stage in stages], "seconds": [round(stage[-1]["seconds"]) for stage in stages]}


def rows(task: PairTask, scores: dict[str, Scores], about: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a system and split, with a comparison if the system has a rival."""
    found = []
    for name, by_split in scores.items():
        for split in by_split:
            measured = evaluate_pairs(by_split[split], task.labels(split), task.threshold(by_split)).to_json()
            row = {"row": name, "set": task.name, "split": split} | measured | about[name]
            if name in RIVALS:
                against = {"row": RIVALS[name], "resamples": RESAMPLES}
                row["against"] = against | {"measures": task.compare(by_split, scores[RIVALS[name]], split)}
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
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder with the checkpoints named in TRAINED")
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
            print(f"{'':<12} {name} minus {row['against']['row']}: {shown}")
    _harness.save(f"pairs_{options.set}", result)


if __name__ == "__main__":
    main()
