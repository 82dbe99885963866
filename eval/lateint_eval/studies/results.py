"""The results of a study as one JSON object: every point with its command, tests against the baseline, and times."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from lateint_eval.datasets.folder import Split
from lateint_eval.formats.records import Json
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.significance import compare, holm
from lateint_eval.studies.points import Point
from lateint_eval.studies.runner import PHASES, Measured, summary
from lateint_eval.studies.spec import FIRST_STAGE, Data, Study
from lateint_eval.systems import as_run
from lateint_store.errors import InputError


def check_names(study: Study, labels: Sequence[str]) -> None:
    """Check that baseline and reference are points of the study. Raises: InputError."""
    for key, value in (("baseline", study.baseline), ("reference", study.reference)):
        if value not in (*labels, FIRST_STAGE if key == "baseline" else ""):
            raise InputError(f"{key} {value!r} is not a point of the study; expected one of: {', '.join(map(repr, labels))}")


def first_stages(study: Study, sets: Mapping[str, Split]) -> Json:
    """Evaluate the first stage, the order of the given candidates, on every set."""
    found = {}
    for name, data in sets.items():
        rankings = {q: [(d, -float(rank)) for rank, d in enumerate(ids)] for q, ids in data.candidates.items()}
        scores = evaluate(data.qrels, as_run(name, rankings), study.measures).scores
        documents = len({doc_id for ids in data.candidates.values() for doc_id in ids})
        found[name] = {
            "queries": len(data.queries),
            "documents": documents,
            "depth": max(map(len, data.candidates.values())),
            "first_stage": {measure: summary(score.per_query) for measure, score in scores.items()},
        }
    return found


def assemble(study: Study, points: Mapping[str, Point], measured: Mapping[str, Measured], sets: Json, made: Json) -> Json:
    """Combine all results in the order of the study; only `timing` and `made` may differ between two runs of a study."""
    rows = [
        {"id": point.id, "label": label, "command": command(study, point)}
        | {key: value for key, value in asdict(point).items() if key in ("depth", "threads", "device")}
        | measured[label]
        for label, point in points.items()
    ]
    results = {
        "name": study.name,
        "seed": study.seed,
        "measures": list(study.measures),
        "baseline": study.baseline if study.baseline == FIRST_STAGE else points[study.baseline].id,
        "reference": points[study.reference or _best(study, measured)].id,
        "made": made,
        "data": sets,
        "points": rows,
    }
    for name in sets:
        for measure in study.measures:
            _test(results, name, measure)
    return results


def _best(study: Study, measured: Mapping[str, Measured]) -> str:
    """Return the label of the point with the best mean over the sets."""
    main = study.measures[0]
    means = {label: sum(r["measures"][main]["mean"] for r in each["results"].values()) for label, each in measured.items()}
    return max(means, key=lambda label: means[label])


def _test(results: Json, name: str, measure: str) -> None:
    """Add each point's comparison with the baseline on one set, with Holm's correction over the points."""
    rows = {row["id"]: row["results"][name] for row in results["points"]}
    if results["baseline"] == FIRST_STAGE:
        against = results["data"][name]["first_stage"][measure]["per_query"]
    else:
        against = rows.pop(results["baseline"])["measures"][measure]["per_query"]
    compared = {key: compare(row["measures"][measure]["per_query"], against) for key, row in rows.items()}
    corrected = holm([each.p_value for each in compared.values()])
    for (key, each), p_holm in zip(compared.items(), corrected, strict=True):
        found = {k: None if v != v else v for k, v in (asdict(each) | {"p_holm": p_holm}).items()}  # one query: nan
        rows[key].setdefault("against_baseline", {})[measure] = found


def command(study: Study, point: Point) -> str:
    """Return the command that runs a study of this point only."""
    data = " ".join(f"--data {shlex.quote(_data(each))}" for each in study.data)
    measures = " ".join(f"--measures {shlex.quote(measure)}" for measure in study.measures)
    return f"lateint study {point.options()} {data} {measures} --seed {study.seed} --output point-{point.id}"


def _data(data: Data) -> str:
    """Format a set as the value of `--data`."""
    given = {key: value for key, value in asdict(data).items() if value and value != Data.__dataclass_fields__[key].default}
    return ",".join(f"{key}={value}" for key, value in given.items())


def to_csv(results: Json) -> str:
    """Format the results as CSV, with one line per point and set."""
    rows = []
    for point in results["points"]:
        for name, found in point["results"].items():
            keys = ("id", "label", "model", "method", "offline_layers", "pool", "codecs", "depth", "threads", "device")
            row = {key: point[key] for key in keys} | {"data": name, "bytes_per_document": found["bytes_per_document"]}
            for measure, each in found["measures"].items():
                row |= {measure: each["mean"], f"{measure} low": each["low"], f"{measure} high": each["high"]}
            timing = point["timing"][name]
            row |= {f"{phase} {share}": timing[phase][share] for phase in PHASES for share in ("p50", "p95")}
            rows.append(row | {"encode_seconds": timing["encode_seconds"], "command": point["command"]})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
