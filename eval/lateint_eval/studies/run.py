"""Run a study and write its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lateint_eval.formats.output import replacing
from lateint_eval.formats.records import Json
from lateint_eval.machine import describe
from lateint_eval.studies import results
from lateint_eval.studies.data import load_data
from lateint_eval.studies.folder import Folder, claimed
from lateint_eval.studies.points import points
from lateint_eval.studies.report.page import render
from lateint_eval.studies.runner import ModelCache, StoreCleaner, run_point
from lateint_eval.studies.spec import Study


def run_study(study: Study, path: Path, tell: Callable[[str], None], command: str = "") -> Json:
    """Run the missing points of a study and write `results.json`, `results.csv`, `report.html` and the runs.

    After an interruption at any moment, the same call continues.
    Args: `tell` is called with a line of text for every point; `command` is recorded in the results.
    Returns: the results. Raises: InputError for a folder of another study, an unknown baseline, or unusable data; any error of
    loading, encoding and ranking. Cost: one encoding of all candidates for every combination of model, method, L and pool.
    """
    wanted = points(study)
    results.check_names(study, list(wanted))
    made = describe()
    with claimed(path, study, {key: made[key] for key in ("versions", "machine", "python")}) as folder:
        depth = max(point.depth for point in wanted.values())
        sets = {data.name: load_data(data, depth, study.seed) for data in study.data}
        measured, models, cleaner = {}, ModelCache(), StoreCleaner(folder)
        for number, (label, point) in enumerate(wanted.items(), 1):
            left = [other for other in list(wanted.values())[number:] if not folder.point(other.id).exists()]
            if folder.point(point.id).exists():
                measured[label] = folder.read(folder.point(point.id))
            else:
                measured[label] = run_point(folder, models.of(point), point, sets, study.measures)
            tell(f"{number} of {len(wanted)}: {label}  {_means(study, measured[label])}")
            cleaner.after(point, left)
        found = results.assemble(study, wanted, measured, results.first_stages(study, sets), made | {"command": command})
        _write(folder, found)
    return found


def _means(study: Study, measured: Json) -> str:
    main = study.measures[0]
    return ", ".join(f"{name} {main} {each['measures'][main]['mean']:.4f}" for name, each in measured["results"].items())


def _write(folder: Folder, found: Json) -> None:
    folder.write(folder.path / "results.json", found)
    for name, text in (("results.csv", results.to_csv(found)), ("report.html", render(found))):
        with replacing(folder.path / name) as write:
            write(text)
