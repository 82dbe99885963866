"""The benchmark of the service, on a tiny model."""

import json

import pytest

import lateint
from benchmarks import _harness
from benchmarks._connections import Answered
from benchmarks.speed import service
from tests.support import processes


def test_every_row_is_measured(tmp_path, monkeypatch):
    checkpoint = str(_harness.tiny_checkpoint(tmp_path / "tiny"))
    _harness.load_tiny(tmp_path / "tiny", 48).save_pretrained(tmp_path / "model")
    documents = [lateint.Document(f"d{index}", text) for index, text in enumerate(_harness.random_texts(12, 5, 30))]
    monkeypatch.setattr(_harness, "library_documents", lambda count: documents[:count])
    monkeypatch.setattr(_harness, "library_questions", lambda: ["what is bread", "where is the river"])
    sizes = service.Sizes(candidates=12, calls=6, rounds=2, connections=(1, 3))
    found = service.run(str(tmp_path / "model"), checkpoint, sizes, tmp_path, layers=1, start=processes.fork)
    assert list(found["loads"]) == ["1", "3", "2 workers"] and found["scorers"] >= 2
    for row in found["loads"].values():
        assert 0 < row["p50_ms"] <= row["p99_ms"] and row["requests_a_second"] > 0 and row["of_bare"] > 0
        assert row["client_limit"] > row["requests_a_second"] and 0 < row["client_share"] < 1
    assert list(found["texts"]) == ["ids", "first", "second", "cross_encoder"]
    assert all(row["ms"] > 0 for row in found["texts"].values())
    assert json.dumps(found) and {"denominator_of_bare", "numerator_times_as_fast", "pass"} <= found.keys()


def answered(origin, documents, **extra):
    return [Answered([1.0], 1.0, 0.1, json.dumps({"usage": {f"{origin}_documents": documents}, **extra}).encode())]


def test_a_measurement_of_something_else_is_refused():
    sizes = service.Sizes(candidates=3, connections=(1,))
    found = {"1": answered("cached", 3), service.FIRST: answered("encoded", 3), service.SECOND: answered("reused", 3)}
    service.check(found, sizes)
    for wrong in (answered("encoded", 3), answered("cached", 2), answered("cached", 3, overload={"requests": 9})):
        with pytest.raises(SystemExit):
            service.check(found | {"1": wrong}, sizes)


def test_ratios_are_of_pairs():
    rounds = [Answered([10.0, 30.0], 2.0, 0.5), Answered([20.0, 20.0], 1.0, 0.5)]
    bare = [Answered([1.0], 1.0), Answered([1.0], 0.5)]
    row = service.load(rounds, bare)
    assert row["of_bare"] == 1.0 and row["p50_ms"] == 20.0 and row["client_limit"] == 4.0
    assert row["client_share"] == pytest.approx(1 / 3)
