"""Run a study and write its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lateint_eval.formats.output import replacing
from lateint_eval.formats.records import Json
from lateint_eval.machine import describe
from lateint_eval.studies import results
from lateint_eval.studies.data import load_data
from lateint_eval.studies.folder import Folder, claimed
from lateint_eval.studies.inputs import Inputs, check_unchanged
from lateint_eval.studies.points import Point, points
from lateint_eval.studies.report.page import render
from lateint_eval.studies.runner import INPUTS, Measured, ModelCache, StoreCleaner, run_point
from lateint_eval.studies.spec import Study


def run_study(study: Study, path: Path, tell: Callable[[str], None], command: str = "") -> Json:
    """Run the missing points of a study and write `results.json`, `results.csv`, `report.html` and the runs.

    After an interruption at any moment, the same call continues.
    Args: `tell` is called with a line of text for every point; `command` is recorded in the results.
    Returns: the results. Raises: InputError for a folder of another study, for finished points of other judgements, texts,
    queries, candidates or weights, an unknown baseline, or unusable data; any error of loading, encoding and ranking.
    Cost: one encoding of all candidates for every combination of model, method, L and pool.
    """
    wanted = points(study)
    results.check_names(study, list(wanted))
    made = describe()
    with claimed(path, study, {key: made[key] for key in ("versions", "machine", "python")}) as folder:
        depth = max(point.depth for point in wanted.values())
        sets = {data.name: load_data(data, depth, study.seed) for data in study.data}
        models, cleaner = ModelCache(), StoreCleaner(folder)
        inputs = Inputs(models.of, sets)
        measured = _finished(folder, wanted, inputs)
        for number, (label, point) in enumerate(wanted.items(), 1):
            left = [other for name, other in list(wanted.items())[number:] if name not in measured]
            if label not in measured:
                measured[label] = run_point(folder, models.of(point), point, sets, study.measures, inputs)
            tell(f"{number} of {len(wanted)}: {label}  {_means(study, measured[label])}")
            cleaner.after(point, left)
        found = results.assemble(study, wanted, measured, results.first_stages(study, sets), made | {"command": command})
        _write(folder, found)
    return found


def _finished(folder: Folder, wanted: Mapping[str, Point], inputs: Inputs) -> dict[str, Measured]:
    """Read the results of the finished points. Raises: InputError if their inputs have changed.

    Points of an earlier version record no inputs, so they are measured anew.
    """
    found: dict[str, Measured] = {}
    for label, point in wanted.items():
        if (file := folder.point(point.id)).exists():
            measured = folder.read(file)
            if then := measured.pop(INPUTS, None):
                check_unchanged(file, label, then, inputs.of(point))
                found[label] = measured
    return found


def _means(study: Study, measured: Json) -> str:
    main = study.measures[0]
    return ", ".join(f"{name} {main} {each['measures'][main]['mean']:.4f}" for name, each in measured["results"].items())


def _write(folder: Folder, found: Json) -> None:
    folder.write(folder.path / "results.json", found)
    for name, text in (("results.csv", results.to_csv(found)), ("report.html", render(found))):
        with replacing(folder.path / name) as write:
            write(text)
