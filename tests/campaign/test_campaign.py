"""A sample of the robustness campaign (`make campaign` runs all of it); a failure prints the seed that repeats it.

Only the campaign runs the section `index`, kills through the command line: each run of it loads torch several times.
"""

import re
import secrets

import pytest
from click.testing import CliRunner

from lateint_store import open_store
from lateint_store.ragged import Payloads
from lateint_store.reading import fetch as fetching
from lateint_store.shards.snapshot import Snapshot
from tests.campaign.__main__ import main
from tests.campaign.damage import ARRAYS, Case
from tests.campaign.layout import records
from tests.campaign.pool import run_cases
from tests.campaign.stores import DELETED
from tests.campaign.worker import Subject
from tests.support.stores import build

SAMPLES = {"kills": 0.01, "flips": 0.01, "headers": 0.005, "truncations": 0.01, "memory": 0.01}


@pytest.mark.slow
@pytest.mark.parametrize(("section", "scale"), SAMPLES.items())
def test_a_sample_of_the_campaign_keeps_every_promise(section, scale):
    seed = secrets.randbelow(1 << 32)
    arguments = ["--scale", str(scale), "--seed", str(seed), "--only", section]
    campaign = CliRunner().invoke(main, arguments)
    assert campaign.exit_code == 0, campaign.output
    assert re.search(rf"^{section} +PASS  .*[1-9]", campaign.output, re.MULTILINE), campaign.output


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
