"""Ladders: syntax, the heads of a model, merging scores of several heads, costs and budgets."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import lateint
from lateint.errors import InputError, MissingDocument
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking import ladder_scorer
from lateint.ranking.cascade import Cascade
from lateint.ranking.ladder import Cost, merge_levels
from lateint.ranking.ladder_scorer import models_by_head
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.blocks import decode_all
from lateint_store.kernels.compiled import compiled
from lateint_store.kernels.scaled import scale_nibbles
from lateint_store.shards.snapshot import Snapshot

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
TEXTS = tiny.texts(40, seed=3)
IDS = [str(i) for i in range(40)]
QUERY = "how is bread in the oven"
ROTATED = (("states", (part("rotated", bits=4),)), ("vector", (part("rotated", bits=8),)))


def blocks(**changes):
    head = part("cross_blocks", blocks=2, readout="matches", residual="evidence")
    method = replace(preset("mores"), head=head, vector=part("mean"), compressor=part("linear", width=16), codecs=())
    return load_model(tiny.checkpoint("bert"), replace(method, **changes), **LENGTHS)


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    model = blocks()
    with lateint.build_store(model, TEXTS, tmp_path_factory.mktemp("ladder") / "s") as store:
        yield Ranker(model, store)


def pairs(ranking):
    return [(hit.doc_id, hit.score) for hit in ranking]


def test_the_heads_of_a_model_are_sorted_by_cost():
    model = blocks()
    views = models_by_head(model)
    assert list(views) == ["cosine", "evidence", "cross_blocks"] and views["cross_blocks"] is model
    assert views["evidence"].head is model.head.evidence and views["evidence"].backbone is model.backbone
    assert list(models_by_head(load_model(tiny.checkpoint("bert"), "cosine", **LENGTHS))) == ["cosine"]
    assert list(models_by_head(load_model(tiny.checkpoint("bert"), "mores", **LENGTHS))) == ["cross_blocks"]


@pytest.mark.parametrize("ladder", ["cosine:40", "cosine:40,evidence:40", [("evidence", 99)]])
def test_a_ladder_at_full_depth_is_its_last_rung_alone(ranker, ladder):
    assert pairs(ranker.rank(QUERY, IDS, ladder=ladder)) == pairs(ranker.rank(QUERY, IDS))


def test_at_less_depth_it_is_not_and_each_rung_orders_what_it_did_not_pass_on(ranker):
    found = ranker.rank(QUERY, IDS, ladder="cosine:20,evidence:5")
    scorers = {name: Ranker(model, ranker.store) for name, model in models_by_head(ranker.model).items()}
    cosine = [hit.doc_id for hit in scorers["cosine"].rank(QUERY, IDS)]
    evidence = [hit.doc_id for hit in scorers["evidence"].rank(QUERY, cosine[:20])]
    top = ranker.rank(QUERY, evidence[:5])
    assert [hit.doc_id for hit in found] == [*(hit.doc_id for hit in top), *evidence[5:], *cosine[20:]]
    assert pairs(found)[:5] == pairs(top)
    assert [hit.doc_id for hit in found] != [hit.doc_id for hit in ranker.rank(QUERY, IDS)]
    scores = [hit.score for hit in found]
    assert all(a >= b for a, b in pairwise(scores)) and scores[4] > scores[5] and scores[19] > scores[20]
    scored = {rung.head: rung.candidates for rung in found.timing.rungs}
    assert scored == {"cosine": 40, "evidence": 20, "cross_blocks": 5}


def test_one_order_keeps_the_distances_within_a_rung():
    assert merge_levels([[("a", 9.0), ("b", 8.5)], [("c", 1.0)]]) == [("c", 1.0), ("a", 0.0), ("b", -0.5)]
    assert merge_levels([[("a", -3.0)], [], [("c", 1.0)]]) == [("c", 1.0), ("a", -3.0)]
    assert merge_levels([[("a", 2.0)], []]) == [("a", 2.0)] and merge_levels([[]]) == []


@pytest.mark.parametrize(
    ("ladder", "message"),
    [
        ("maxsim:5", "no rung 'maxsim'; below 'cross_blocks' this model has: cosine, evidence"),
        ("cross_blocks:5", "no rung 'cross_blocks'"),
        ("cosine", "'cosine' is not a rung; expected head:depth"),
        ("cosine:many", "is not a rung"),
        ("", "is not a rung"),
        ([("cosine", 0)], "depth of 'cosine' is 0; expected a whole number of at least 1"),
        ([("cosine", 2.5)], "depth of 'cosine' is 2.5"),
        ("evidence:9,cosine:5", "in the order cosine, evidence"),
        ("cosine:5,cosine:4", "each once"),
        ("cosine:5,evidence:9", "falling depths"),
    ],
)
def test_an_invalid_ladder_is_refused(ranker, ladder, message):
    with pytest.raises(InputError, match=message):
        ranker.rank(QUERY, IDS, ladder=ladder)


def test_a_rung_that_the_store_has_no_array_for_is_no_rung(tmp_path):
    model = load_model(tiny.checkpoint("bert"), "mores", **LENGTHS)
    with lateint.build_store(model, TEXTS, tmp_path / "s") as store, pytest.raises(InputError, match="this model has: none"):
        Ranker(model, store).rank(QUERY, IDS, ladder="cosine:5")


def test_texts_have_no_ladder(ranker):
    with pytest.raises(InputError, match="need candidates by id alone"):
        ranker.rank(QUERY, documents=TEXTS, ladder="cosine:5")
    with pytest.raises(InputError, match="need a store"):
        Ranker(ranker.model).rank(QUERY, IDS, ladder="cosine:5")


def test_missing_documents_are_what_they_are_without_a_ladder(ranker):
    with pytest.raises(MissingDocument, match="gone"):
        ranker.rank(QUERY, [*IDS, "gone"], ladder="cosine:5")
    assert len(ranker.rank(QUERY, [*IDS, "gone"], ladder="cosine:5", missing="skip")) == 40
    assert len(ranker.rank(QUERY, ["gone"], ladder="cosine:5", missing="skip")) == 0


def test_a_cost_is_a_line_through_two_calls():
    assert Cost.fit((10, 3.0), (110, 8.0)) == Cost(2.5, 0.05)
    assert Cost.fit((10, 3.0), (110, 2.0)) == Cost(3.0, 0.0)
    assert [Cost(2.5, 0.05).most(ms) for ms in (1, 2.5, 5, 100)] == [0, 0, 50, 1950]


def test_the_largest_budget_fits_a_finite_number():
    assert Cost(0.0, 0.0).most(1e308) == Cost(1.0, 1e-12).most(1e308) == 1 << 62


def test_warming_up_fits_the_cost_of_each_head_to_a_small_and_a_large_call(ranker, monkeypatch):
    monkeypatch.setattr(ladder_scorer, "_best_ms", lambda scorer, query, ids: 2.0 + 0.5 * len(ids))
    costs = Ranker(ranker.model, ranker.store).warm_up(QUERY, IDS)
    assert costs == {"cosine": Cost(2.0, 0.5), "evidence": Cost(2.0, 0.5), "cross_blocks": Cost(2.0, 0.5)}


def test_a_generous_budget_scores_all_with_every_rung_and_none_scores_nothing(ranker):
    ranker.warm_up(QUERY, IDS)
    rich = ranker.rank(QUERY, IDS, budget_ms=1e6)
    assert [hit.doc_id for hit in rich] == [hit.doc_id for hit in ranker.rank(QUERY, IDS)]
    assert [rung.candidates for rung in rich.timing.rungs] == [40, 40, 40]
    poor = ranker.rank(QUERY, IDS, budget_ms=1e-6, top_k=3)
    assert [hit.doc_id for hit in poor] == ["0", "1", "2"] and poor.timing.rungs == ()


def test_warming_up_loads_the_kernels_that_decode_and_moves_no_score(tmp_path, monkeypatch):
    model = blocks(codecs=(("states", (part("drive", bits=6),)), ("vector", (part("int4"),))))
    with lateint.build_store(model, TEXTS, tmp_path / "s") as store:
        monkeypatch.setattr(loading, "MISSED", loading.Missed())
        ranker = Ranker(model, store)
        before = pairs(ranker.rank(QUERY, IDS))
        assert not loading.worth_compiling(0)
        ranker.warm_up(QUERY, IDS)
        assert loading.worth_compiling(0)
        known = [list(compiled(kernel).signatures) for kernel in (decode_all, scale_nibbles)]
        assert pairs(ranker.rank(QUERY, IDS)) == before
        assert [compiled(kernel).signatures for kernel in (decode_all, scale_nibbles)] == known != [[], []]


@pytest.fixture
def index_checks(monkeypatch):
    """The databases of the store that are read from end to end from here on."""
    read, entries = [], Snapshot.entries
    monkeypatch.setattr(Snapshot, "entries", lambda self, database: read.append(database) or entries(self, database))
    return read


def test_the_first_absent_id_after_warming_up_or_preparing_scans_no_index(tmp_path, index_checks, monkeypatch):
    monkeypatch.setattr(ladder_scorer, "_REPEATS", 1)
    model = blocks()
    with lateint.build_store(model, TEXTS, tmp_path / "s") as store, lateint.open_store(tmp_path / "s") as reader:
        ranker, then = Ranker(model, reader), [(Ranker(model, reader), 5)]
        for warm_up in (ranker.warm_up, Cascade(ranker, *then).warm_up, lambda *_: reader.prepare()):
            store.delete([next(store.ids())])
            ids = list(reader.ids())
            ranker.rank(QUERY, ids)
            index_checks.clear()
            warm_up(QUERY, ids)
            assert index_checks == ["ids"]
            assert len(ranker.rank(QUERY, ["gone", *ids], missing="skip")) == len(ids)
            assert index_checks == ["ids"]
        store.delete([next(store.ids())])
        index_checks.clear()
        ranker.rank(QUERY, ["gone", *reader.ids()], missing="skip")
        assert "ids" in index_checks, "without preparing, the ranking pays"


def test_a_budget_between_decides_how_deep_each_rung_goes(ranker, monkeypatch):
    costs = {"cosine": Cost(0, 0), "evidence": Cost(0, 1e4), "cross_blocks": Cost(0, 2e4)}
    monkeypatch.setattr(ranker._ladder, "costs", costs)
    found = ranker.rank(QUERY, IDS, budget_ms=1e5)  # 100 s for two rungs at 10 s a candidate: 4 or 5
    assert [rung.head for rung in found.timing.rungs] == ["cosine", "evidence", "cross_blocks"]
    assert found.timing.rungs[1].candidates == 4 and found.timing.rungs[2].candidates == 4
    shorter = ranker.rank(QUERY, IDS, ladder="cosine:2", budget_ms=1e5)
    assert [rung.candidates for rung in shorter.timing.rungs] == [40, 2]


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_that_is_no_time_is_refused(ranker, budget):
    with pytest.raises(InputError, match="budget_ms="):
        ranker.rank(QUERY, IDS, budget_ms=budget)


def test_a_budget_needs_costs(ranker):
    with pytest.raises(InputError, match=r"call ranker\.warm_up"):
        Ranker(ranker.model, ranker.store).rank(QUERY, IDS, budget_ms=5)
    with pytest.raises(InputError, match="at least 2"):
        ranker.warm_up(QUERY, IDS[:1])


@pytest.mark.parametrize("mapped", [True, False])
def test_heads_that_read_bytes_score_as_those_that_decode(tmp_path, mapped):
    changes = {"vector_map": part("linear", width=16)} if mapped else {"codecs": (ROTATED[0], ("vector", ()))}
    model = blocks(head=part("evidence", document_map=False), **({"codecs": ROTATED} | changes))
    with lateint.build_store(model, TEXTS, tmp_path / "s") as store:
        ranker = Ranker(model, store)
        assert [bool(rung.codecs) for rung in ranker._ladder.rungs.values()] == [mapped, mapped]
        by_bytes = ranker.rank(QUERY, IDS)
        for rung in ranker._ladder.rungs.values():
            rung.codecs = {}
        decoded = ranker.rank(QUERY, IDS)
        assert [hit.doc_id for hit in by_bytes] == [hit.doc_id for hit in decoded]
        np.testing.assert_allclose([h.score for h in by_bytes], [h.score for h in decoded], atol=1e-4)
        now = ranker.rank(QUERY, documents=TEXTS)
        np.testing.assert_allclose([h.score for h in by_bytes], [h.score for h in now], atol=1e-2)


def test_the_evidence_below_blocks_reads_bytes_where_it_has_no_map_of_documents(tmp_path):
    head = part("cross_blocks", blocks=1, readout="mean", residual="evidence", attend="absorbed", document_map=False)
    model = blocks(head=head, codecs=ROTATED, vector_map=part("linear", width=16))
    with lateint.build_store(model, TEXTS, tmp_path / "s") as store:
        ranker = Ranker(model, store)
        assert [bool(rung.codecs) for rung in ranker._ladder.rungs.values()] == [True, True, False]
        whole, laddered = ranker.rank(QUERY, IDS), ranker.rank(QUERY, IDS, ladder="evidence:40")
        assert pairs(whole) == pairs(laddered)
        best = ranker.rank(QUERY, IDS, ladder="evidence:5")
        assert [rung.candidates for rung in best.timing.rungs] == [40, 5]
