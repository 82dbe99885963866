"""Whole studies on the toy corpus: measured values, resuming after SIGKILL, and folders that are refused."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from lateint.errors import InputError
from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_eval.formats import read_qrels, read_queries, read_run
from lateint_eval.measures.metrics import evaluate
from lateint_eval.studies.data import candidate_texts, load_data
from lateint_eval.studies.folder import CLAIM
from lateint_eval.studies.points import points
from lateint_eval.studies.run import run_study
from lateint_eval.studies.runner import ModelCache
from lateint_eval.studies.spec import Data, Grid, Study, read_study
from lateint_store import parse_codecs
from tests.support.paths import TOY, python_environment

PATIENCE = 900  # seconds, for a busy machine
FILES = {"corpus": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.tsv", "run": "run.trec"}
DATA = Data(name="toy", **{key: str(TOY / name) for key, name in FILES.items()})


@pytest.fixture(scope="module")
def grid():
    lengths = {"doc_max_length": (48,), "query_max_length": (24,)}
    codecs = ("states=cast:float16", "states=int8", "states=drive:bits=4")
    crossed = {"method": ("prettr", "mice"), "offline_layers": ("1", "2"), "codecs": codecs}
    return Grid(model=str(tiny.checkpoint("bert")), **crossed, **lengths)


@pytest.fixture(scope="module")
def finished(grid, tmp_path_factory):
    """A study that ran without interruption."""
    folder = tmp_path_factory.mktemp("study") / "whole"
    told = []
    return folder, run_study(Study(data=(DATA,), grids=(grid,)), folder, told.append, "lateint study ..."), told


def timeless(results):
    """Return the parts of a study that must not depend on interruptions."""
    kept = json.loads(json.dumps(results))
    kept.pop("made")
    for point in kept["points"]:
        point.pop("timing")
    return kept


def test_all_points_are_there_with_all_that_is_promised(finished):
    folder, results, told = finished
    assert len(results["points"]) == len(told) == 12
    assert json.loads((folder / "results.json").read_text()) == results
    assert {file.name for file in folder.iterdir()} == {
        CLAIM, "points", "runs", "results.json", "results.csv", "report.html", "writer.lock",
    }  # fmt: skip
    for point in results["points"]:
        found, timing = point["results"]["toy"], point["timing"]["toy"]
        ndcg = found["measures"]["nDCG@10"]
        assert ndcg["low"] <= ndcg["mean"] <= ndcg["high"] and len(ndcg["per_query"]) == 20
        assert found["bytes_per_document"] > 0 and len(found["content_digest"]) == 64 and (folder / found["run"]).exists()
        assert timing["total_ms"]["p50"] >= timing["compute_ms"]["p50"] > 0 and "--codecs" in point["command"]
        assert found["against_baseline"]["nDCG@10"]["n"] == results["data"]["toy"]["queries"] == 20
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    means = [point["results"]["toy"]["measures"]["nDCG@10"]["mean"] for point in results["points"]]
    assert [float(row["nDCG@10"]) for row in rows] == means
    assert (folder / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_a_point_is_what_indexing_and_ranking_with_its_settings_give(finished, grid, tmp_path):
    """Measure a point without the code of studies: a direct build in its codecs, a ranker, ir-measures."""
    folder, results, _ = finished
    point = next(point for point in results["points"] if point["label"] == "mice L=2 states=int8")
    model = load_model(grid.model, "mice", offline_layers=2, doc_max_length=48, query_max_length=24, threads=1)
    data = load_data(DATA, 50, 0)
    with build_store(model, candidate_texts(data), tmp_path / "s", parse_codecs("states=int8")) as store:
        ranker = Ranker(model, store)
        assert store.content_digest() == point["results"]["toy"]["content_digest"]
        for query, text in read_queries(DATA.queries).items():
            expected = [hit.doc_id for hit in ranker.rank(text, data.candidates[query])]
            assert [entry.doc_id for entry in read_run(folder / point["results"]["toy"]["run"]).queries[query]] == expected
    run = read_run(folder / point["results"]["toy"]["run"])
    scores = evaluate(read_qrels(DATA.qrels), run, ["nDCG@10", "RR@10"]).scores
    assert scores["RR@10"].per_query == point["results"]["toy"]["measures"]["RR@10"]["per_query"]


def test_a_study_that_is_killed_and_called_again_finds_the_same(finished, grid, tmp_path):
    folder = tmp_path / "killed"
    toml = written(tmp_path / "study.toml", grid)
    for ready in (lambda: any(folder.glob("stores/*/master")), lambda: len(list(folder.glob("points/*.json"))) >= 4):
        assert killed_when(ready, toml, folder) == -signal.SIGKILL
        assert not (folder / "results.json").exists()
    assert child(toml, folder).wait(PATIENCE) == 0
    assert timeless(json.loads((folder / "results.json").read_text())) == timeless(finished[1])
    assert not (folder / "stores").exists()


def written(toml, grid):
    """Write the study as a TOML file."""
    given = {"model": grid.model, "method": list(grid.method), "offline_layers": list(grid.offline_layers)}
    given |= {"codecs": list(grid.codecs), "doc_max_length": 48, "query_max_length": 24}
    tables = [("data", {"name": "toy"} | {key: str(TOY / name) for key, name in FILES.items()}), ("grids", given)]
    toml.write_text("".join(f"[[{name}]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in t.items()) for name, t in tables))
    return toml


def child(toml, folder):
    arguments = ["study", str(toml), "--output", str(folder)]
    code = "import sys; from lateint.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=python_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def killed_when(ready, toml, folder):
    process = child(toml, folder)
    end = time.monotonic() + PATIENCE
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    return process.wait()


def test_a_finished_study_computes_nothing_again(finished, grid):
    folder, results, _ = finished
    before = {file: file.stat().st_mtime_ns for file in folder.glob("points/*.json")}
    again = run_study(Study(data=(DATA,), grids=(grid,)), folder, lambda line: None)
    assert again["points"] == results["points"]
    assert before == {file: file.stat().st_mtime_ns for file in folder.glob("points/*.json")}


def test_a_grid_that_grew_or_shrank_keeps_its_finished_points(finished, grid, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(finished[0], folder)
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("points/*.json")}
    changed = replace(grid, method=("prettr",), codecs=("states=int8", "states=int4"))
    results = run_study(Study(name="another name", data=(DATA,), grids=(changed,)), folder, lambda line: None)
    assert [point["label"] for point in results["points"]] == [
        f"prettr L={layers} states={codec}" for layers in (1, 2) for codec in ("int8", "int4")
    ]
    after = {file.name: file.stat().st_mtime_ns for file in folder.glob("points/*.json")}
    assert len(after) == len(before) + 2 and before.items() <= after.items(), "two are new, none was measured again"
    whole = run_study(Study(data=(DATA,), grids=(grid,)), folder, lambda line: None)
    assert timeless(whole) == timeless(finished[1]), "and back"


def test_folders_that_hold_something_else_are_refused_and_kept(finished, grid, tmp_path):
    folder, _, _ = finished
    before = (folder / CLAIM).read_bytes()
    with pytest.raises(InputError, match="another study: seed is 0 there and 7 here"):
        run_study(Study(data=(DATA,), grids=(grid,), seed=7), folder, print)
    assert (folder / CLAIM).read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds no study"):
        run_study(Study(data=(DATA,), grids=(grid,)), tmp_path / "other", print)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda claim: claim | {"schema": 0}, r"another version \(schema 0, here 1\); choose another folder"),
        (lambda claim: [], r"another version \(schema None"),
        (lambda claim: claim | {"facts": claim["facts"] | {"versions": {"lateint": "0.0.1"}}}, "versions is .*0.0.1.* there"),
        (lambda claim: claim | {"facts": claim["facts"] | {"machine": "an abacus"}}, "machine is 'an abacus' there and"),
    ],
)
def test_results_of_another_version_or_machine_are_refused_and_kept(finished, grid, tmp_path, change, words):
    folder = tmp_path / "old"
    shutil.copytree(finished[0], folder)
    (folder / CLAIM).write_text(json.dumps(change(json.loads((folder / CLAIM).read_text()))))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=words):
        run_study(Study(data=(DATA,), grids=(grid,)), folder, print)
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert all(after[file] == text for file, text in before.items() if file.name != "writer.lock")


def test_a_damaged_result_is_named_and_measured_anew_once_it_is_gone(finished, grid, tmp_path):
    folder, study = tmp_path / "damaged", Study(data=(DATA,), grids=(grid,))
    shutil.copytree(finished[0], folder)
    (damaged, *_) = sorted(folder.glob("points/*.json"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(InputError, match=f"cannot read {damaged}: .*delete it, then run the study again"):
        run_study(study, folder, print)
    damaged.unlink()
    assert timeless(run_study(study, folder, lambda line: None)) == timeless(finished[1])


def test_two_studies_in_one_folder_do_not_meet(finished, grid, tmp_path):
    """A second study is refused while the first one, in another process, finishes undisturbed."""
    folder, toml = tmp_path / "shared", written(tmp_path / "study.toml", grid)
    first = child(toml, folder)
    while not any(folder.glob("points/*.json")) and first.poll() is None:
        time.sleep(0.002)
    with pytest.raises(InputError, match=r"another study is running in .*shared; wait until it is done"):
        run_study(read_study(toml), folder, print)
    assert first.wait(PATIENCE) == 0
    assert timeless(json.loads((folder / "results.json").read_text())) == timeless(finished[1])


def test_a_baseline_that_is_no_point_is_refused_before_anything_is_run(grid, tmp_path):
    with pytest.raises(InputError, match="baseline 'cosine' is not a point"):
        run_study(Study(data=(DATA,), grids=(grid,), baseline="cosine"), tmp_path / "s", print)
    assert not (tmp_path / "s").exists()


def test_a_point_as_baseline_has_no_test_of_its_own_and_one_query_has_no_p_value(grid, tmp_path):
    one = Data(**{key: getattr(DATA, key) for key in ("name", "corpus", "queries", "qrels", "run")}, sample=1)
    small = Grid(model=grid.model, method=("prettr",), offline_layers=("1", "2"), doc_max_length=(48,), query_max_length=(24,))
    results = run_study(Study(data=(one,), grids=(small,), baseline="prettr L=1"), tmp_path / "s", lambda line: None)
    first, second = (point["results"]["toy"] for point in results["points"])
    assert "against_baseline" not in first and second["against_baseline"]["nDCG@10"]["p_value"] is None


def test_points_that_differ_in_codecs_share_a_model_and_others_do_not(grid):
    wanted = list(points(Study(data=(DATA,), grids=(grid,))).values())
    models = ModelCache()
    first = models.of(wanted[0])
    assert wanted[0].encoding == wanted[1].encoding and wanted[0].codecs != wanted[1].codecs
    assert models.of(wanted[1]) is first
    other = next(point for point in wanted if point.offline_layers != wanted[0].offline_layers)
    assert models.of(other).method.depth != first.method.depth
    assert models.of(replace(wanted[0], threads=2)) is not first
    assert models.of(wanted[0]) is not first  # only the last one is kept
