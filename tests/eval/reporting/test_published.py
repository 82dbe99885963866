"""Published models as references: the values, stored once per weights and set, and listed if the set is a test set."""

import sys

import pytest

from benchmarks.quality import references
from lateint.loading.packaged import PACKAGED
from lateint.ranking.ranker import Ranker
from lateint_eval.reporting.page import GAIN_SETS, Page
from lateint_eval.reporting.published import INT8_RERANKER, PUBLISHED, SINGLE_VECTOR, rank_by_texts, rank_by_vectors
from lateint_eval.reporting.reference import reference, stored_means
from lateint_eval.reporting.render import render
from lateint_eval.reporting.sets import MAIN
from lateint_eval.reporting.stored import HEADING, Results
from tests.support import engine
from tests.support import report_pages as pages
from tests.support.protocol import toy_protocol

DAY = "2026-01-02"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return toy_protocol(tmp_path_factory.mktemp("data"), 4)


@pytest.fixture(scope="module")
def base():
    return engine.model("cosine")


def judged_first(task, sign=1):
    """Return a function that scores a text by its judgement."""
    grades = {
        (text, task.split.documents[doc_id].full_text): grade
        for query, text in task.split.queries.items()
        for doc_id, grade in task.split.qrels[query].items()
    }
    return lambda pairs: [sign * grades.get(pair, 0) for pair in pairs]


def test_a_single_vector_ranks_as_the_base_cosine_does_by_the_same_weights(sets, base, tmp_path):
    given = reference(base, sets[0], None)
    found = rank_by_vectors(SINGLE_VECTOR, lambda: base, sets[0], tmp_path)
    assert found.scores == {"bge": given.scores["cosine"]} and found.bytes_per_document == given.bytes_per_document
    assert (found.base, found.base_digest) == ("bge-small-en-v1.5", PACKAGED["bge-small-en-v1.5"].files["model.onnx"])


def test_a_reranker_reads_the_texts_of_candidates_and_ranks_by_its_scores(sets, base, tmp_path):
    task = sets[0]
    best = rank_by_texts(INT8_RERANKER, lambda: judged_first(task), task, tmp_path / "best")
    worst = rank_by_texts(INT8_RERANKER, lambda: judged_first(task, -1), task, tmp_path / "worst")
    assert best.mean("onnx", MAIN) > 0.9 > worst.mean("onnx", MAIN) and best.bytes_per_document is None
    ours = rank_by_texts(INT8_RERANKER, lambda: Ranker(base).logits, task, tmp_path / "ours")
    assert ours.scores["onnx"] == reference(base, task, None).scores["cosine"]


def test_they_are_run_once_per_weights_and_set_and_test_sets_are_listed(sets, base, tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(references, "single_vector", lambda: ran.append("vector") or base)
    monkeypatch.setattr(references, "int8_reranker", lambda: ran.append("texts") or judged_first(sets[0]))
    kept, results = tmp_path / "kept", Results(tmp_path / "report", tmp_path / "test_runs.md")
    references.measure(sets[:2], kept, results, DAY)
    references.measure([*sets[:2], sets[3]], kept, results, "2026-01-03")
    assert ran == ["vector", "texts"] * 3, "squad test and medquad test once, then squad dev"
    lines = results.test_runs.read_text().removeprefix(HEADING).splitlines()
    assert len(lines) == len(PUBLISHED) and all(line.startswith(f"- {DAY}: `make report` ran the reference") for line in lines)
    assert all("squad test" in line and "medquad test" in line and "dev" not in line for line in lines)
    found = stored_means(kept, *(each.digest for each in PUBLISHED))
    assert set(found) == {"squad test", "medquad test", "squad dev"}
    assert all(set(systems) == {"bge", "onnx"} for systems in found.values())
    assert "bytes_per_document" in found["squad test"]["bge"] and "bytes_per_document" not in found["squad test"]["onnx"]
    assert stored_means(kept, "another") == {} and "bge-small-en-v1.5: squad test" in capsys.readouterr().out


def test_they_stand_beside_bm25_and_the_base_cosine_with_their_gain():
    values = {"bge": {MAIN: 0.80, "bytes_per_document": 1700.0}, "onnx": {MAIN: 0.85}}
    given = {name: values | {"cosine": {MAIN: pages.COSINE[name], "bytes_per_document": 1542.0}} for name in GAIN_SETS}
    teacher = pages.result("reranker", pages.TEACHER)
    lines = render(Page([teacher], given)).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("| base cosine"))
    assert lines[at + 1].startswith("| `bge-small-en-v1.5` (cosine) | 0.800 | 0.800 | 0.800 | - | 0.90 | - | 1,700 |")
    assert lines[at + 2].startswith(f"| {INT8_RERANKER.label} | 0.850 | 0.850 | 0.850 | - | 1.20 | - | - |")
    without = render(Page([teacher])).splitlines()
    assert [line.count(" - |") for line in without if line.startswith("| `bge")] == [9]


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match=r"not installed: onnx, onnxruntime.*pip install onnxruntime, and pip install onnx "):
        references.check_installed()
