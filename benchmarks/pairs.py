"""Sentence pairs: how close students come to their teachers on STS-B and MRPC, DSE and HPD.

DSE: a student whose texts never meet below its head, beside the cross-encoder that taught it. HPD: a student of three
layers and 128 numbers, beside the teacher's own vectors cut to the same depth and width by their principal directions.
Checkpoints lie in one folder, made by the commands in `TRAINED`; thresholds of MRPC are chosen on its dev split, which a
dev row therefore flatters. Nothing is chosen on a test split.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from numpy.typing import NDArray

import lateint
from lateint.train.losses.projected_mse import vectors_of
from lateint_eval.datasets.folder import data_folder
from lateint_eval.formats import Pair, read_pairs
from lateint_eval.pairs import Threshold, best_threshold, evaluate_pairs, label_kind

BASE, DEPTH, WIDTH = "all-MiniLM-L6-v2", 3, 128
FITTED_ON = 4_000  # training texts that directions are fitted on, as many as HPD's loss takes
Array = NDArray[np.float64]
TRAINED = {
    "stsb-teacher": "lateint train --recipe pair_teacher --data stsb.tsv.gz --minutes 9 --full --output stsb-teacher",
    "stsb-dse": "lateint train --recipe pair_dse --data stsb.tsv.gz --teacher stsb-teacher "
    "--minutes 5 --full --output stsb-dse",
    "mrpc-teacher": "lateint train --recipe pair_teacher --data mrpc.tsv.gz --minutes 7 --full --output mrpc-teacher",
    "mrpc-dse": "lateint train --recipe pair_dse --data mrpc.tsv.gz --teacher mrpc-teacher "
    "--minutes 5 --full --output mrpc-dse",
    "hpd": "lateint train --recipe hpd --data stsb.tsv.gz --minutes 4.5 --full --output hpd-first; "  # labels are not read
    "lateint train --recipe hpd --base hpd-first --data stsb.tsv.gz --steps 120 --minutes 3.7 --full --output hpd",
}


@dataclass(frozen=True)
class Task:
    """One set of pairs with its official splits."""

    name: str

    @cached_property
    def path(self) -> Path:
        """Its file."""
        return data_folder() / self.name / f"{self.name}.tsv.gz"

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of one split."""
        return read_pairs(self.path, None, {"split": {split}})

    def measure(self, scores: dict[str, Array], split: str) -> dict[str, Any]:
        """Measures of `scores[split]`; binary labels take their threshold from the dev split."""
        labels = _labels(self.pairs(split))
        threshold = None
        if label_kind(labels) == "binary":
            value = best_threshold(scores["dev"], _labels(self.pairs("dev")))
            threshold = Threshold(value, "best accuracy on the dev split")
        return evaluate_pairs(scores[split], labels, threshold).to_json()


STSB, MRPC = Task("stsb"), Task("mrpc")


def _labels(pairs: list[Pair]) -> Array:
    return np.array([pair.label for pair in pairs])


def rows(name: str, task: Task, scores: dict[str, Array], **about: Any) -> list[dict[str, Any]]:
    """One row a split."""
    found = [{"row": name, "set": task.name, "split": split} | task.measure(scores, split) for split in scores]
    return [row | about for row in found]


def ranker_scores(model: Any, task: Task, splits: list[str]) -> dict[str, Array]:
    """Logits of every pair of each split."""
    ranker = lateint.Ranker(model)
    texts = {split: [(pair.first, pair.second) for pair in task.pairs(split)] for split in splits}
    return {split: ranker.logits(found).astype(np.float64) for split, found in texts.items()}


def vectors(depth: int | str, texts: list[str]) -> dict[str, Array]:
    """The base's mean vector of each text after `depth` layers, of length 1."""
    model = lateint.load_model(BASE, "cosine", offline_layers=depth)
    matrix = vectors_of(model, [lateint.Document("", text) for text in texts])
    return dict(zip(texts, matrix.numpy().astype(np.float64), strict=True))


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


def projections(splits: list[str]) -> list[dict[str, Any]]:
    """The base's vectors at the student's depth and at their own, whole and at the student's width, on STS-B."""
    train = list(dict.fromkeys(text for pair in STSB.pairs("train") for text in (pair.first, pair.second)))[:FITTED_ON]
    tested = [text for split in splits for pair in STSB.pairs(split) for text in (pair.first, pair.second)]
    found = []
    for depth in (DEPTH, "T"):
        held = vectors(depth, list(dict.fromkeys(train + tested)))
        directions = principal(np.stack([held[text] for text in train]), WIDTH)
        for width, chosen in ((128, directions), (384, None)):
            scores = {split: cosines(held, chosen, STSB.pairs(split)) for split in splits}
            found += rows(f"base, layer {depth}, {width} numbers", STSB, scores, command="python benchmarks/pairs.py")
    return found


def budget(checkpoint: Path) -> dict[str, Any]:
    """Steps and seconds that each stage of a checkpoint was trained for."""
    history = json.loads((checkpoint / "history.json").read_text(encoding="utf-8"))
    return {"steps": [len(stage) for stage in history], "seconds": [round(stage[-1]["seconds"]) for stage in history]}


def run(task: Task, folder: Path, splits: list[str], only: list[str]) -> dict[str, Any]:
    """All rows of one set; with `only`, those of these checkpoints anew and the others as they stand."""
    found = [row for row in _stored(task) if row["row"] not in only] if only else _base(task, splits)
    for name, command in TRAINED.items():
        if name.startswith("mrpc") != (task is MRPC) or (only and name not in only):
            continue
        model = lateint.load_model(folder / name)
        found += rows(name, task, ranker_scores(model, task, splits), command=command, budget=budget(folder / name))
    return {
        "claim": "students of pair tasks beside their teachers",
        "command": f"python benchmarks/pairs.py --set {task.name} --checkpoints FOLDER --splits {' '.join(splits)}",
        "threads": torch.get_num_threads(),
        "rows": found,
    }


def _base(task: Task, splits: list[str]) -> list[dict[str, Any]]:
    if task is STSB:
        return projections(splits)
    return rows("base, layer T, 384 numbers", task, ranker_scores(lateint.load_model(BASE, "cosine"), task, splits))


def _stored(task: Task) -> list[dict[str, Any]]:
    found = json.loads((machine.RESULTS / f"pairs_{task.name}.json").read_text(encoding="utf-8"))
    kept: list[dict[str, Any]] = found["rows"]
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the checkpoints named in TRAINED")
    parser.add_argument("--set", default="stsb", choices=("stsb", "mrpc"))
    parser.add_argument("--splits", nargs="+", default=["dev"], choices=("dev", "test"))
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these checkpoints; other rows stay as stored")
    options = parser.parse_args()
    task = MRPC if options.set == "mrpc" else STSB
    result = run(task, options.checkpoints, sorted({"dev", *options.splits}), options.only)
    for row in result["rows"]:
        values = "  ".join(f"{n} {m['value']:.4f} [{m['low']:.4f}, {m['high']:.4f}]" for n, m in row["measures"].items())
        print(f"{row['set']:<5} {row['split']:<5} {row['row']:<30} n {row['n']:<5} {values}")
    print(f"written to {machine.write(f'pairs_{options.set}', result)}")


if __name__ == "__main__":
    main()
