"""Evaluate a checkpoint on every question of a test set. The protocol asks 200; all make intervals a third as wide.

Meant for differences too small for 200 questions. The rest follows the protocol: BM25's best 50, the base's cosine and BM25 on
the same candidates, differences with paired bootstrap intervals. A test set is run once a checkpoint here too: a stored result
is printed, not measured again. `--precision bfloat16` runs the layers in mixed precision.
"""

from __future__ import annotations

import json

import torch

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from lateint.model.digests import digest_tensors
from lateint_eval.datasets.folder import data_folder, read_split
from lateint_eval.reporting.evaluate import evaluate_task
from lateint_eval.reporting.reference import reference
from lateint_eval.reporting.sets import BINARY, MAIN, EvaluationTask

DEPTH = 50


def whole(name: str) -> EvaluationTask:
    """Every judged question of a test set, with BM25's best `DEPTH` candidates."""
    split = read_split(data_folder() / name, "test")
    return EvaluationTask(f"{name} test, whole", split.only(sorted(split.candidates), DEPTH), BINARY, test=True)


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--model", required=True, help="a checkpoint, by name or folder")
    parser.add_argument("--set", default="squad", choices=["squad", "medquad"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    model, task = lateint.load_model(options.model), whole(options.set)
    digest = digest_tensors(model.state_dict())
    file = _harness.RESULTS / f"whole_{options.set}_{digest[:12]}.json"
    if not file.exists():
        given = reference(lateint.load_model(BASE, method="cosine"), task, None)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16"):
            found = evaluate_task(model, task, given)
        claim = f"{model.method.name} on every question of {options.set} test"
        about = {"claim": claim, "checkpoint": digest, "precision": options.precision}
        chosen = f"--model DIR --set {options.set} --precision {options.precision}"
        about["command"] = f"python -m benchmarks.quality.whole_test {chosen}"
        _harness.write(file.stem, about | found)
    found = json.loads(file.read_text(encoding="utf-8"))
    ours = found["systems"]["cached"]
    print(f"{found['set']}, n = {found['queries']}: {MAIN} {ours[MAIN]:.4f}")
    for other in ("bm25", "cosine"):
        print("minus {}: {:+.4f} [{:+.4f}, {:+.4f}]".format(other, *ours[f"minus_{other}"]))


if __name__ == "__main__":
    main()
