"""Short work runs on one torch thread, unless a number was asked for; the number of the caller comes back."""

import pytest
import torch

import lateint
from lateint.model.model import _SHORT, Model
from lateint.model.threads import one_thread
from lateint.ranking.scoring import score_quantized
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import LENGTHS, QUERY


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def count_threads(monkeypatch, counts):
    """Note the torch threads of each query."""
    run = Model.query_from_tokens

    def counted(model, rows):
        counts.append(torch.get_num_threads())
        return run(model, rows)

    monkeypatch.setattr(Model, "query_from_tokens", counted)


def test_the_number_of_threads_comes_back():
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with one_thread(wanted=False):
        assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("threads", "seen"), [(None, 1), (3, 3)])
def test_a_short_query_runs_on_one_thread_unless_a_number_was_asked_for(monkeypatch, threads, seen):
    model, counts = lateint.load_model(tiny.checkpoint("bert"), threads=threads, **LENGTHS), []
    run = Model.query_from_tokens
    monkeypatch.setattr(
        Model, "query_from_tokens", lambda self, rows: counts.append(torch.get_num_threads()) or run(self, rows)
    )
    model.query(QUERY)
    assert counts == [seen] and torch.get_num_threads() == 3


def test_a_long_query_uses_all_threads(monkeypatch):
    model, counts = engine.fresh_model(), []
    run = Model.query_from_tokens
    monkeypatch.setattr(
        Model, "query_from_tokens", lambda self, rows: counts.append(torch.get_num_threads()) or run(self, rows)
    )
    for longest in (_SHORT, 2):
        monkeypatch.setattr("lateint.model.model._SHORT", longest)
        model.query(QUERY)
    assert counts == [1, 3]


@pytest.mark.parametrize(("threads", "seen"), [(None, 1), (3, 3)])
def test_codes_are_scored_on_one_thread_unless_a_number_was_asked_for(monkeypatch, threads, seen):
    model, counts = engine.fresh_model(), []

    class Head:
        def score_quantized(self, query, rows):
            counts.append(torch.get_num_threads())
            return torch.zeros(2)

    model.threads = threads
    monkeypatch.setattr("lateint.ranking.scoring._quantized", lambda *_: (Head(), {}))
    score_quantized(model, None, {}, {})
    assert counts == [seen]
