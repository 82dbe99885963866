import json

import pytest
import torch

from lateint.loading.load import load_model
from lateint.methods.registry import part
from lateint_eval.reporting.checkpoints import find_checkpoints, load, settings, training
from lateint_eval.reporting.evaluate import evaluate_task
from lateint_eval.reporting.reference import reference, stored_means
from lateint_eval.reporting.sets import named
from lateint_eval.reporting.stored import HEADING, Results, with_test_run
from lateint_store.errors import InputError
from tests.support import engine
from tests.support import report_pages as pages
from tests.support.protocol import toy_protocol

ABOUT = {"command": "make report", "date": "2026-01-02", "commit": "abc", "machine": "a machine"}
QUERIES = 4
TESTS = ["squad test", "medquad test", "msmarco-dl19"]
NAMES = [*TESTS, "squad dev", "medquad dev", "selqa dev", "msmarco-dl21", "cranfield", "vaswani"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return toy_protocol(tmp_path_factory.mktemp("data"), QUERIES)


@pytest.fixture(scope="module")
def base():
    return engine.model("cosine")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint without vectors, next to a folder that is not a checkpoint."""
    models = tmp_path_factory.mktemp("models")
    engine.fresh_model("prettr").save_pretrained(models / "prettr")
    (models / "unfinished" / ".training").mkdir(parents=True)
    assert [found.name for found in find_checkpoints(models)] == ["prettr"]
    return load(models / "prettr")


class Counting:
    """Evaluates sets and records their names."""

    def __init__(self, model, base, kept):
        self.model, self.base, self.kept, self.ran = model, base, kept, []

    def __call__(self, task):
        self.ran.append(task.name)
        return evaluate_task(self.model, task, reference(self.base, task, self.kept))


def test_a_digest_is_run_once_on_a_set_and_another_is_not_taken_for_it(sets, base, checkpoint, tmp_path):
    results = Results(tmp_path / "report", tmp_path / "test_runs.md")
    run, facts = Counting(checkpoint.model, base, tmp_path / "kept"), checkpoint.facts()
    assert [task.name for task in sets] == NAMES
    results.bring_up_to_date(facts, sets[:3], run, ABOUT)
    first = results.bring_up_to_date(facts, sets, run, ABOUT | {"date": "2026-01-03", "precision": "bfloat16"})
    assert run.ran == NAMES and first["date"] == "2026-01-02" and first["tasks"][-1]["run"]["date"] == "2026-01-03"
    assert first["tasks"][-1]["run"]["precision"] == "bfloat16" and "precision" not in first
    text = (tmp_path / "test_runs.md").read_text()
    results.bring_up_to_date(facts, sets, run, ABOUT)
    assert run.ran == NAMES and (tmp_path / "test_runs.md").read_text() == text
    assert text.count("make report") == 1 and all(name in text for name in TESTS) and "dev" not in text
    assert results.all() == [first | {"tasks": first["tasks"]}]

    other = load(checkpoint.folder)
    with torch.no_grad():
        next(other.model.parameters()).add_(0.1)
    results.bring_up_to_date(other.facts(), sets[:1], run, ABOUT)
    assert run.ran == [*NAMES, "squad test"] and len(results.all()) == 2


def test_the_same_weights_under_other_settings_are_another_result_but_old_ones_have_none(checkpoint, tmp_path):
    results, facts = Results(tmp_path, tmp_path / "test_runs.md"), checkpoint.facts()
    results.bring_up_to_date(facts, [], lambda task: {}, ABOUT)
    shorter = facts | {"settings": settings(load_model(checkpoint.folder, doc_max_length=24))}
    assert results.find(shorter)[0] != results.find(facts)[0] == tmp_path / f"{facts['digest'][:16]}.json"
    file, stored = results.find(facts)
    results.save(file, {key: value for key, value in stored.items() if key != "settings"})
    assert results.find(shorter)[0] == file


def test_facts_are_told_anew_but_a_known_training_is_kept(checkpoint, tmp_path):
    results, facts = Results(tmp_path, tmp_path / "test_runs.md"), checkpoint.facts()
    results.refresh(facts)
    assert results.all() == []
    file, _ = results.find(facts)
    known = {"digest": facts["digest"], "tasks": [{"set": "x"}], "training": {"steps": 7}, "checkpoint": "old"}
    results.save(file, ABOUT | known)
    results.refresh(facts)
    stored = results.all()[0]
    assert stored["training"]["steps"] == 7 and stored["checkpoint"] == "prettr" and stored["commit"] == "abc"


def test_what_is_stored_of_a_set(sets, base, checkpoint):
    given = reference(base, sets[0], None)
    found = evaluate_task(checkpoint.model, sets[0], given)
    ours = found["systems"]["cached"]
    assert found["queries"] == QUERIES and "full" not in found["systems"], "float32 states lose nothing: one run is enough"
    assert ours["nDCG@10"] == pytest.approx(sum(ours["per_query"].values()) / QUERIES, abs=1e-6)
    low, high = ours["intervals"]["nDCG@10"]
    assert low <= ours["nDCG@10"] <= high and low < high
    assert ours["minus_cosine"][0] == pytest.approx(ours["nDCG@10"] - given.mean("cosine", "nDCG@10"))
    assert found["systems"]["bm25"]["nDCG@10"] == pytest.approx(given.mean("bm25", "nDCG@10"))
    lossy = engine.fresh_model("prettr")
    object.__setattr__(lossy.method, "codecs", (("states", (part("int8"),)),))
    assert "minus_full" in evaluate_task(lossy, sets[0], given)["systems"]["cached"]


def test_references_are_kept_by_base_and_set(sets, base, tmp_path):
    first = reference(base, sets[0], tmp_path)
    (file,) = tmp_path.iterdir()
    marked = json.loads(file.read_text()) | {"bytes_per_document": 1.5}
    file.write_text(json.dumps(marked))
    assert reference(base, sets[0], tmp_path).bytes_per_document == 1.5 != first.bytes_per_document
    means = stored_means(tmp_path, first.base_digest)
    assert means["squad test"]["cosine"] == {m: first.mean("cosine", m) for m in sets[0].measures} | {"bytes_per_document": 1.5}
    assert stored_means(tmp_path, "another") == {}
    shorter = sets[0].first(QUERIES - 1)
    assert shorter.digest() != sets[0].digest() and "first 3 of 4 queries" in shorter.name
    reference(base, shorter, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_development_sets_are_chosen_by_name_and_test_sets_never(sets):
    assert [task.name for task in named(sets, [])] == NAMES[3:]
    assert [task.name for task in named(sets, ["selqa dev"])] == ["selqa dev"]
    with pytest.raises(InputError, match="'squad test' is not a development set"):
        named(sets, ["squad test"])


def test_a_test_run_is_the_last_line_of_the_list():
    def of(**runs):
        tasks = [
            {"set": name, "test": True, "run": {"date": date}, "systems": {"cached": {"nDCG@10": 0.5}}}
            for name, date in runs.items()
        ]
        return {"checkpoint": "c", "digest": "d" * 64, "date": "2026-01-01", "tasks": tasks}

    before = "# Runs on test sets\n\nSome words.\n\n- a line\n  of two lines\n"
    once = with_test_run(before, of(a="2026-01-02"), "2026-01-02")
    line = "- 2026-01-02: `make report` ran `c` [dddddddddddd] on the test sets: a 0.5000 (nDCG@10, cached).\n"
    assert once == before + line
    twice = with_test_run(once, of(a="2026-01-02", b="2026-01-02", c="2026-01-05"), "2026-01-02")
    assert twice == once.replace("a 0.5000", "a 0.5000, b 0.5000")
    assert with_test_run(HEADING, of(a="2026-01-02"), "2026-01-02") == HEADING + line


def test_the_budget_is_read_from_the_history_then_from_the_card(tmp_path):
    assert training(tmp_path) == {"command": None, "steps": None, "seconds": None}
    (tmp_path / "README.md").write_text("`lateint train --recipe x\n--data y`: 1,600 steps of 12 queries; took 1.5 hours\n")
    assert training(tmp_path) == {"command": "lateint train --recipe x --data y", "steps": 1600, "seconds": 5400.0}
    step = {"step": 1, "total": 0.1, "losses": {}, "seconds": 2.0}
    (tmp_path / "history.json").write_text(json.dumps([[step, step | {"seconds": 5.0}], [], [step]]))
    assert training(tmp_path) == {"command": "lateint train --recipe x --data y", "steps": 3, "seconds": 7.0}


def test_what_was_retrained_takes_the_timing_of_its_twin_and_nothing_else_does(tmp_path):
    results = Results(tmp_path, tmp_path / "test_runs.md")
    timed = pages.result("mice", {"squad test": 0.9})
    for number, found in enumerate([timed, pages.old_result()]):
        results.save(tmp_path / f"{number}.json", found)
    again = {key: value for key, value in timed.items() if key != "speed"} | {"digest": "b" * 64}
    twin = results.twin_speed(again)
    assert twin == {"of": timed["digest"]} | pages.SPEED
    results.save(tmp_path / "2.json", again | {"speed": twin, "date": "2026-01-03"})
    assert results.twin_speed(again | {"digest": "c" * 64}) == twin  # of the timed checkpoint, not of the newest copy
    for other in ({"settings": timed["settings"] | {"L": 2}}, {"method": timed["method"] | {"head": "maxsim"}}):
        assert results.twin_speed(again | other) is None
    assert results.twin_speed({"tasks": []}) is None and results.twin_speed(pages.old_result()) is None
