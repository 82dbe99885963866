"""A sample of the robustness campaign (`make campaign` runs all of it); a failure prints the seed that repeats it.

Only the campaign runs the section `index`, kills through the command line: each run of it loads torch several times.
"""

import os
import re
import secrets
import signal
import time

import numpy as np
import pytest
from click.testing import CliRunner

from lateint_store import open_store
from lateint_store.errors import InputError
from lateint_store.kernels.compiled import compiled
from lateint_store.ragged import Payloads
from lateint_store.reading import fetch as fetching
from lateint_store.shards.snapshot import Snapshot
from tests.campaign.__main__ import NAMES, main
from tests.campaign.cases import Draws, Lost, Wrong
from tests.campaign.cases import run_cases as run_forked
from tests.campaign.damage import ARRAYS, Case
from tests.campaign.layout import records
from tests.campaign.page import TRIED
from tests.campaign.pool import run_cases
from tests.campaign.sections import SECTIONS
from tests.campaign.shapes import check_bounds
from tests.campaign.stores import DELETED
from tests.campaign.worker import Subject
from tests.support.stores import build

SAMPLES = {"kills": 0.01, "flips": 0.01, "headers": 0.005, "truncations": 0.01, "memory": 0.01}
FORKED = {  # fractions that take 12 s of processor time together
    "replace": 0.003, "writers": 0.005, "readers": 0.005, "continue": 0.006, "facts": 0.002, "shapes": 0.0015, "bounds": 0.001,
    "files": 0.002, "fuzz": 0.004, "links": 0.03, "terminal": 0.005, "misuse": 0.005,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("section", "scale"), [*SAMPLES.items(), *FORKED.items()])
def test_a_sample_of_the_campaign_keeps_every_promise(section, scale):
    seed = secrets.randbelow(1 << 32)
    arguments = ["--scale", str(scale), "--seed", str(seed), "--only", section]
    campaign = CliRunner().invoke(main, arguments)
    assert campaign.exit_code == 0, campaign.output
    assert re.search(rf"^{section} +PASS  .*[1-9]", campaign.output, re.MULTILINE), campaign.output


def test_every_section_has_a_line_on_the_page():
    assert set(FORKED) == set(SECTIONS) and set(TRIED) == set(NAMES)


def case(number, rng):
    """Ends in another way for each number."""
    if number == 0:
        raise Wrong("an answer")
    if number == 1:
        raise Lost("a document")
    if number == 2:
        return 1 // 0
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 4:
        time.sleep(5)
    if number == 5:
        raise InputError("typed")
    return None


def test_a_case_that_is_wrong_lost_untyped_stuck_or_killed_is_counted():
    found = run_forked(Draws(7), 7, lambda: case, limit_s=1).to_json()
    assert {name: found[name] for name in ("cases", "wrong", "lost", "untyped", "signals")} == {
        "cases": 7, "wrong": 1, "lost": 1, "untyped": 1, "signals": 2,
    }  # fmt: skip
    assert found["outcomes"] == {"InputError": 1, "right": 1} and not found["ok"]
    assert [(one["case"], one["detail"].split(" ")[0]) for one in found["failures"]] == [
        (0, "an"), (1, "a"), (2, "ZeroDivisionError('integer"), (3, "SIGSEGV"), (4, "Stuck()"),
    ]  # fmt: skip


def test_a_case_depends_on_seed_and_number_alone():
    drawn = []
    for only in (None, 3):
        figures = run_forked(Draws(11, only), 5, lambda: lambda number, rng: f"{number}:{rng.integers(1 << 30)}")
        drawn.append(set(figures.outcomes))
    assert len(drawn[0]) == 5 and drawn[1] < drawn[0] and {one[0] for one in drawn[1]} == {"3"}


def beyond(numbers):
    return numbers[len(numbers)]


def test_kernels_of_the_section_bounds_refuse_an_index_outside_of_a_buffer():
    def start():
        check_bounds()
        return lambda number, rng: str(compiled(beyond)(np.zeros(3)))

    (failure,) = run_forked(Draws(0), 1, start).failures
    assert failure["outcome"] == "untyped" and "IndexError" in failure["detail"]


@pytest.fixture
def subject(tmp_path):
    with build(tmp_path / "s", 40) as store:
        store.delete(DELETED)
    data = tmp_path / "s" / "shard-0000" / "data.mdb"
    record = next(record for record in records(data.read_bytes(), ARRAYS) if record.doc_id == "doc20")
    return Subject(tmp_path / "s"), ("shard-0000/data.mdb", record.end - 6, 1)


def test_the_judge_sees_an_error_that_names_the_document_and_an_undamaged_store(subject):
    judge, place = subject
    answer = judge.judge(0, *place)
    assert (answer.outcome, answer.failed, answer.named) == ("error", {"doc20"}, {"doc20"})
    assert judge.judge(0, "writer.lock", 0, 1).outcome == "right"


def test_the_judge_sees_a_store_that_was_left_open_and_no_other(subject, tmp_path):
    judge, _ = subject
    with build(tmp_path / "other", 4):
        assert judge.judge(1, "writer.lock", 0, 1).outcome == "right"
    with open_store(judge.folder):
        assert judge.judge(1, "writer.lock", 0, 1).detail == "an LMDB environment was left open"


def test_the_judge_sees_wrong_bytes_missing_documents_and_unexpected_errors(subject, monkeypatch):
    judge, place = subject
    monkeypatch.setattr(fetching, "_copy", unchecked_copy)
    assert judge.judge(1, *place).outcome == "wrong"
    monkeypatch.setattr(fetching, "MANY", 1 << 60)
    monkeypatch.setattr(Snapshot, "lookup", lambda snapshot, doc_id: None)
    assert judge.judge(1, *place).outcome == "missing"
    monkeypatch.setattr(Snapshot, "lookup", lambda snapshot, doc_id: 1 // 0)
    assert judge.judge(1, *place).outcome == "untyped"


def unchecked_copy(found, order, column):
    """Copy payloads as `fetching._copy` does, without comparing checksums."""
    views = [view for records in found for view in records.source(column).views()]
    return Payloads.join([views[place] for place in order])


def test_the_pool_goes_on_after_a_worker_has_died(tmp_path):
    build(tmp_path / "stores" / "plain", 40).close()
    cases = [Case(number, "plain", name, 7, 1) for number, name in enumerate(("manifest.json", "no such file") * 2)]
    answers = run_cases(tmp_path / "stores", cases)
    assert [answers[number]["outcome"] for number in range(4)] == ["error", "death", "error", "death"]
    assert answers[1]["detail"] == "ended with exit code 1"
