"""`make report`: evaluate every checkpoint on the sets that its stored result lacks, then render docs/results.md.

Checkpoints: those that ship with the package and, with `--models DIR`, those in the sub-folders of DIR. A digest that has
a stored result on a set is never run on that set again, so test sets are run once; every such run is in docs/test_runs.md.
`--render` evaluates nothing. `--dev CHECKPOINT` evaluates on development sets, stores nothing, and may be run as often as one
likes; `--quick` takes their first queries only. `--sets` chooses among sets. `--precision bfloat16` runs the layers in mixed
precision while evaluating, two to three times as fast on processors that have it, and says so in the result; `--untimed`
leaves the timing to a later run, when nothing else uses the machine; `--retime` times all, so that rows can be compared.
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
from benchmarks.speed import rerank_speed
from lateint.errors import InputError
from lateint.loading.shipped import CHECKPOINTS
from lateint.model.digests import digest_tensors
from lateint_eval.datasets.folder import data_folder
from lateint_eval.reporting.checkpoints import Checkpoint, find_checkpoints, load
from lateint_eval.reporting.evaluate import evaluate_task
from lateint_eval.reporting.page import Page
from lateint_eval.reporting.reference import reference, stored_means
from lateint_eval.reporting.render import render
from lateint_eval.reporting.sets import EvaluationTask, demo_task, named, tasks
from lateint_eval.reporting.stored import Results

ROOT = Path(__file__).parents[2]
BASE = "all-MiniLM-L6-v2"
RESULTS = Results(_harness.RESULTS / "report", ROOT / "docs" / "test_runs.md")
REFERENCES = RESULTS.folder / "references"
CANDIDATES, PAIRS = 1_000, 3


def update(checkpoints: Sequence[Checkpoint], about: dict[str, Any], wanted: Sequence[str]) -> None:
    """Run every checkpoint on the sets that it lacks, those `wanted` or all."""
    base = lateint.load_model(BASE, method="cosine")
    sets, demo = tasks(data_folder()), [demo_task("dev"), demo_task("test")]
    known = [task.name for task in (*sets, *demo)]
    if odd := [name for name in wanted if name not in known]:
        raise InputError(f"no set is called {odd[0]!r}; there are: {', '.join(known)}")
    for one in checkpoints:

        def run(task: EvaluationTask, one: Checkpoint = one) -> dict[str, Any]:
            given = reference(base, task, REFERENCES)
            with _precision(about["precision"]):
                return _say(one.name, evaluate_task(one.model, task, given))

        due = [*sets, *demo] if one.folder.parent == CHECKPOINTS else sets
        RESULTS.bring_up_to_date(one.facts(), [task for task in due if not wanted or task.name in wanted], run, about)


def time_all(checkpoints: Sequence[Checkpoint], again: bool) -> None:
    """Time the checkpoints that were not timed, or all of them `again`, side by side."""
    base = lateint.load_model(BASE, method="cosine")
    files = {RESULTS.find(one.facts())[0]: (one.model, _backbone(one, base)) for one in checkpoints}
    files = {_base_speed(base): (base, BASE)} | files
    for file in filter(Path.is_file, files if again else ()):
        result = json.loads(file.read_text(encoding="utf-8"))
        RESULTS.save(file, {key: value for key, value in result.items() if key != "speed"})
    time_missing(files, twins=not again)


def time_missing(models: dict[Path, tuple[lateint.Model, str]], twins: bool = True) -> None:
    """Time the models whose file says no speed, all over one backbone against one cross-encoder, in one run.

    With `twins`, one of the same method and settings as a timed one takes its timing.
    """
    stored = {file: json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {} for file in models}
    for file, result in stored.items():
        if twins and "speed" not in result and (twin := RESULTS.twin_speed(result)) is not None:
            stored[file] = result | {"speed": twin}
            RESULTS.save(file, stored[file])
    waiting = {file: chosen for file, chosen in models.items() if "speed" not in stored[file]}
    for backbone in sorted({backbone for _, backbone in waiting.values()}):
        alike = {str(file): model for file, (model, other) in waiting.items() if other == backbone}
        with tempfile.TemporaryDirectory() as folder:
            numbered = {str(place): model for place, model in enumerate(alike.values())}
            found = rerank_speed.run(numbered, backbone, CANDIDATES, PAIRS, Path(folder))
        for place, name in enumerate(alike):
            RESULTS.save(Path(name), stored[Path(name)] | {"speed": _speed(found, str(place))})


def _speed(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What a result keeps of a timing run: medians of one model's calls, and of the cross-encoder's."""
    own, peer = found["methods"][name], found["cross_encoder"]
    kept = {key: own[key] for key in (*rerank_speed.PARTS, "speedup", "bytes_per_document")}
    about = {"candidates": found["candidates"], "threads": found["threads"], "denominator": found["denominator"]}
    return {"ms": own["total_ms"], "peer_ms": peer["total_ms"], "batch_size": peer["batch_size"]} | kept | about


def _backbone(one: Checkpoint, base: lateint.Model) -> str:
    """An encoder of the same shape as a checkpoint's, which is all that time depends on: the base, or its own folder."""
    keys = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    ours, theirs = (model.backbone.config.to_dict() for model in (one.model, base))
    return BASE if all(ours.get(key) == theirs.get(key) for key in keys) else str(one.folder)


def _precision(name: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16")


def look(name: str, sets: Sequence[str], quick: int | None, precision: str) -> None:
    """One checkpoint on development sets; nothing is stored but the references of whole sets."""
    model, base = lateint.load_model(name), lateint.load_model(BASE, method="cosine")
    for task in named([*tasks(data_folder()), demo_task("dev")], sets):
        whole = quick is None
        shown = task if quick is None else task.first(quick)
        given = reference(base, shown, REFERENCES if whole else None)
        with _precision(precision):
            _say(name, evaluate_task(model, shown, given))


def _say(name: str, found: dict[str, Any]) -> dict[str, Any]:
    systems = found["systems"]
    scores = "  ".join(f"{system} {systems[system]['nDCG@10']:.4f}" for system in systems)
    print(f"{name}: {found['set']:<18} n={found['queries']:<5} {scores}", flush=True)
    return found


def write_page() -> Path:
    """Render docs/results.md from what is stored."""
    base = lateint.load_model(BASE, method="cosine")
    pairs, kept = sorted(_harness.RESULTS.glob("pairs_*.json"), reverse=True), _base_speed(base)
    page = Page(
        RESULTS.all(),
        stored_means(REFERENCES, digest_tensors(base.state_dict())),
        [row for file in pairs for row in json.loads(file.read_text(encoding="utf-8"))["rows"]],
        json.loads(kept.read_text(encoding="utf-8"))["speed"] if kept.is_file() else {},
    )
    file = ROOT / "docs" / "results.md"
    file.write_text(render(page), encoding="utf-8")
    return file


def _base_speed(base: lateint.Model) -> Path:
    return REFERENCES / "speed" / f"{digest_tensors(base.state_dict())[:16]}.json"


def _found(models: Path | None) -> Iterator[Checkpoint]:
    for folder in (CHECKPOINTS, models):
        for below in [] if folder is None else find_checkpoints(folder):
            yield load(below)


def _command(options: argparse.Namespace) -> str:
    """The command that was run, without the reader's folders."""
    own = ["--models DIR"] if options.models else []
    own += [f"--precision {options.precision}"] if options.precision != "float32" else []
    return "make report" + (f' ARGS="{" ".join(own)}"' if own else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", metavar="DIR", type=Path, help="evaluate the checkpoints in its sub-folders too")
    parser.add_argument("--render", action="store_true", help="evaluate nothing: render what is stored")
    parser.add_argument("--dev", metavar="CHECKPOINT", help="evaluate this checkpoint on development sets, store nothing")
    parser.add_argument("--sets", metavar="NAME", nargs="+", default=[], help="these sets only")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the layers")
    parser.add_argument("--untimed", action="store_true", help="time no checkpoint")
    parser.add_argument("--retime", action="store_true", help="evaluate nothing; time all these checkpoints again, in one run")
    parser.add_argument("--quick", metavar="N", type=int, help="with --dev: the first N queries of each set only")
    options = parser.parse_args()
    if options.dev is None and options.quick is not None:
        parser.error("--quick goes with --dev: what is stored as a result is run whole")
    if options.dev is not None:
        look(options.dev, options.sets, options.quick, options.precision)
        return
    found = list(_found(options.models))
    if options.render:
        for one in found:
            RESULTS.refresh(one.facts())
    else:
        about = {"command": _command(options), "date": datetime.date.today().isoformat(), "precision": options.precision}
        if not options.retime:
            update(found, _harness.describe() | about, options.sets)
        if not options.untimed:
            time_all(found, options.retime)
    print(f"written to {write_page()}")


if __name__ == "__main__":
    main()
