"""`make report`: evaluate every checkpoint on the sets missing from its stored result, then render docs/results.md.

Checkpoints: those that ship with the package and, with `--models DIR`, those in the sub-folders of DIR. A checkpoint whose
digest has a stored result on a set is not run on that set again, so test sets are run once; docs/test_runs.md lists every such
run. Speed-up: how many times faster `Ranker.rank` by id is (numerator) than sentence-transformers' CrossEncoder over a backbone
of the same shape (denominator), measured by `rerank_speed.py`.
`--render` evaluates nothing. `--references` runs a published single vector and an int8 reranker, each once per set.
`--dev CHECKPOINT` evaluates on development sets and stores nothing, so it may be run at will;
`--quick` takes their first queries only. `--sets` chooses among sets. `--precision bfloat16` runs the layers in mixed precision
while evaluating, two to three times as fast on processors that support it; the result records it. `--untimed` leaves timing to
a later run on an idle machine; `--retime` times all checkpoints in one run, so that rows can be compared.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from benchmarks.quality import references
from benchmarks.speed import rerank_speed
from lateint.errors import InputError
from lateint.loading.shipped import CHECKPOINTS
from lateint.model.digests import digest_tensors
from lateint_eval.datasets.folder import data_folder
from lateint_eval.reporting.checkpoints import Checkpoint, find_checkpoints, load
from lateint_eval.reporting.evaluate import evaluate_task
from lateint_eval.reporting.page import Page
from lateint_eval.reporting.published import PUBLISHED
from lateint_eval.reporting.reference import reference, stored_means
from lateint_eval.reporting.render import render
from lateint_eval.reporting.sets import EvaluationTask, demo_task, named, tasks
from lateint_eval.reporting.stored import Results

ROOT = Path(__file__).parents[2]
RESULTS = Results(_harness.RESULTS / "report", ROOT / "docs" / "test_runs.md")
REFERENCES = RESULTS.folder / "references"
CANDIDATES, PAIRS = 1_000, 3


def update(checkpoints: Sequence[Checkpoint], about: dict[str, Any], wanted: Sequence[str]) -> None:
    """Evaluate every checkpoint on the sets missing from its result, only those in `wanted` if any are named."""
    base = lateint.load_model(BASE, method="cosine")
    sets, demo = tasks(data_folder()), [demo_task("dev"), demo_task("test")]
    _check_names(wanted, [*sets, *demo])
    for checkpoint in checkpoints:

        def run(task: EvaluationTask, checkpoint: Checkpoint = checkpoint) -> dict[str, Any]:
            given = reference(base, task, REFERENCES)
            with _precision(about["precision"]):
                return _print_scores(checkpoint.name, evaluate_task(checkpoint.model, task, given))

        due = [*sets, *demo] if checkpoint.folder.parent == CHECKPOINTS else sets
        RESULTS.bring_up_to_date(checkpoint.facts(), [task for task in due if not wanted or task.name in wanted], run, about)


def measure_references(date: str, wanted: Sequence[str]) -> None:
    """Run the published references on the sets without a stored value of theirs, only those in `wanted` if any are named."""
    references.check_installed()
    sets = tasks(data_folder())
    _check_names(wanted, sets)
    references.measure([task for task in sets if not wanted or task.name in wanted], REFERENCES, RESULTS, date)


def _check_names(wanted: Sequence[str], sets: Sequence[EvaluationTask]) -> None:
    known = [task.name for task in sets]
    if odd := [name for name in wanted if name not in known]:
        raise InputError(f"no set is called {odd[0]!r}; there are: {', '.join(known)}")


def time_all(checkpoints: Sequence[Checkpoint], again: bool) -> None:
    """Time the checkpoints without a timing, or with `again` all of them, in one run."""
    base = lateint.load_model(BASE, method="cosine")
    files = {RESULTS.find(each.facts())[0]: (each.model, _backbone(each, base)) for each in checkpoints}
    files = {_base_speed(base): (base, BASE)} | files
    for file in filter(Path.is_file, files if again else ()):
        result = json.loads(file.read_text(encoding="utf-8"))
        RESULTS.save(file, {key: value for key, value in result.items() if key != "speed"})
    time_missing(files, twins=not again)


def time_missing(models: dict[Path, tuple[lateint.Model, str]], twins: bool = True) -> None:
    """Time the models whose result file has no speed: one run against one cross-encoder for each backbone.

    With `twins`, a model takes the timing of a timed one with the same method and settings.
    """
    stored = {file: json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {} for file in models}
    for file, result in stored.items():
        if twins and "speed" not in result and (twin := RESULTS.twin_speed(result)) is not None:
            stored[file] = result | {"speed": twin}
            RESULTS.save(file, stored[file])
    waiting = {file: chosen for file, chosen in models.items() if "speed" not in stored[file]}
    for backbone in sorted({backbone for _, backbone in waiting.values()}):
        over_it = {str(file): model for file, (model, other) in waiting.items() if other == backbone}
        with tempfile.TemporaryDirectory() as folder:
            numbered = {str(number): model for number, model in enumerate(over_it.values())}
            timings = rerank_speed.run(numbered, backbone, CANDIDATES, PAIRS, Path(folder))
        for number, name in enumerate(over_it):
            RESULTS.save(Path(name), stored[Path(name)] | {"speed": _speed(timings, str(number))})


def _speed(timings: dict[str, Any], name: str) -> dict[str, Any]:
    """The part of a timing run that a result stores: medians of one model's calls and of the cross-encoder's."""
    row, peer = timings["methods"][name], timings["cross_encoder"]
    kept = {key: row[key] for key in (*rerank_speed.PARTS, "speedup", "bytes_per_document")}
    about = {key: timings[key] for key in ("candidates", "threads", "denominator")}
    return {"ms": row["total_ms"], "peer_ms": peer["total_ms"], "batch_size": peer["batch_size"]} | kept | about


def _backbone(checkpoint: Checkpoint, base: lateint.Model) -> str:
    """The peer's backbone: the base if it has the shape of the checkpoint's encoder, since time depends on shape only."""
    keys = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    ours, theirs = (model.backbone.config.to_dict() for model in (checkpoint.model, base))
    return BASE if all(ours.get(key) == theirs.get(key) for key in keys) else str(checkpoint.folder)


def _precision(name: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16")


def look(name: str, sets: Sequence[str], quick: int | None, precision: str) -> None:
    """Evaluate one checkpoint on development sets; only the references of whole sets are stored."""
    model, base = lateint.load_model(name), lateint.load_model(BASE, method="cosine")
    for task in named([*tasks(data_folder()), demo_task("dev")], sets):
        whole = quick is None
        shown = task if quick is None else task.first(quick)
        given = reference(base, shown, REFERENCES if whole else None)
        with _precision(precision):
            _print_scores(name, evaluate_task(model, shown, given))


def _print_scores(name: str, result: dict[str, Any]) -> dict[str, Any]:
    systems = result["systems"]
    scores = "  ".join(f"{system} {systems[system]['nDCG@10']:.4f}" for system in systems)
    print(f"{name}: {result['set']:<18} n={result['queries']:<5} {scores}", flush=True)
    return result


def write_page() -> Path:
    """Render docs/results.md from the stored results; returns its path."""
    base = lateint.load_model(BASE, method="cosine")
    pairs, base_speed = sorted(_harness.RESULTS.glob("pairs_*.json"), reverse=True), _base_speed(base)
    page = Page(
        RESULTS.all(),
        stored_means(REFERENCES, digest_tensors(base.state_dict()), *(each.digest for each in PUBLISHED)),
        [row for file in pairs for row in json.loads(file.read_text(encoding="utf-8"))["rows"]],
        json.loads(base_speed.read_text(encoding="utf-8"))["speed"] if base_speed.is_file() else {},
    )
    file = ROOT / "docs" / "results.md"
    file.write_text(render(page), encoding="utf-8")
    return file


def _base_speed(base: lateint.Model) -> Path:
    return REFERENCES / "speed" / f"{digest_tensors(base.state_dict())[:16]}.json"


def _checkpoints(models: Path | None) -> Iterator[Checkpoint]:
    for folder in (CHECKPOINTS, models):
        for below in [] if folder is None else find_checkpoints(folder):
            yield load(below)


def _command(options: argparse.Namespace) -> str:
    """The command that was run, with DIR in place of the user's folder."""
    arguments = ["--models DIR"] if options.models else []
    arguments += [f"--precision {options.precision}"] if options.precision != "float32" else []
    return "make report" + (f' ARGS="{" ".join(arguments)}"' if arguments else "")


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--models", metavar="DIR", type=Path, help="evaluate the checkpoints in its sub-folders too")
    parser.add_argument("--render", action="store_true", help="evaluate nothing; render the stored results")
    parser.add_argument("--references", action="store_true", help="run the published references, each once per set")
    parser.add_argument("--dev", metavar="CHECKPOINT", help="evaluate this checkpoint on development sets; store nothing")
    parser.add_argument("--sets", metavar="NAME", nargs="+", default=[], help="evaluate on these sets only")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="precision of the layers")
    parser.add_argument("--untimed", action="store_true", help="do not time checkpoints")
    parser.add_argument("--retime", action="store_true", help="evaluate nothing; time all checkpoints again in one run")
    parser.add_argument("--quick", metavar="N", type=int, help="with --dev: the first N queries of each set only")
    options = parser.parse_args()
    if options.dev is None and options.quick is not None:
        parser.error("--quick needs --dev: a stored result covers all queries of a set")
    if options.dev is not None:
        look(options.dev, options.sets, options.quick, options.precision)
        return
    if options.references:
        measure_references(datetime.date.today().isoformat(), options.sets)
        print(f"written to {write_page()}")
        return
    checkpoints = list(_checkpoints(options.models))
    if options.render:
        for checkpoint in checkpoints:
            RESULTS.refresh(checkpoint.facts())
    else:
        about = {"command": _command(options), "date": datetime.date.today().isoformat(), "precision": options.precision}
        if not options.retime:
            update(checkpoints, _harness.describe() | about, options.sets)
        if not options.untimed:
            time_all(checkpoints, options.retime)
    print(f"written to {write_page()}")


if __name__ == "__main__":
    main()
