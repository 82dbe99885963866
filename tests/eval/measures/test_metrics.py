import math
import random
import sys

import ir_measures
import pytest
import pytrec_eval

from lateint_eval.formats import Run, RunEntry
from lateint_eval.measures.metrics import VALID, evaluate, parse_measure
from lateint_store.errors import InputError, MissingExtra


def run_of(rankings):
    return Run("run", {q: [RunEntry(d, n, s, n) for n, (d, s) in enumerate(each, 1)] for q, each in rankings.items()})


QRELS = {"1": {"a": 3, "b": 1, "c": 0}, "2": {"x": 2}, "3": {"y": 0}}
RUN = run_of({"1": [("c", 3.0), ("b", 2.0), ("a", 1.0)], "9": [("a", 1.0)]})


def test_hand_worked_case():
    result = evaluate(QRELS, RUN, ["nDCG@10", "RR@10", "RR(rel=2)@10", "R@2", "P@1"])
    # Query 1 ranks c, b, a with labels 0, 1, 3; the ideal order is 3, 1, 0.
    dcg, ideal = 1 / math.log2(3) + 3 / math.log2(4), 3 + 1 / math.log2(3)
    expected = {"nDCG@10": dcg / ideal, "RR@10": 1 / 2, "RR(rel=2)@10": 1 / 3, "R@2": 1 / 2, "P@1": 0.0}
    for name, value in expected.items():
        score = result.scores[name]
        assert score.per_query["1"] == pytest.approx(value, abs=1e-12)
        assert score.per_query == {"1": score.per_query["1"], "2": 0.0, "3": 0.0}
        assert score.mean == pytest.approx(value / 3, abs=1e-12), "a missing query counts as 0"
        assert score.mean_ranked == pytest.approx(value, abs=1e-12)
    assert (result.judged, result.ranked, result.missing, result.unjudged) == (3, 1, 2, 1)
    assert result.coverage == pytest.approx(1 / 3)


def test_a_query_without_positive_label_counts_as_zero():
    result = evaluate({"1": {"a": 1}, "2": {"a": 0}}, run_of({"1": [("a", 1.0)], "2": [("a", 1.0)]}), ["nDCG@10"])
    assert result.scores["nDCG@10"].per_query == {"1": 1.0, "2": 0.0}
    assert result.scores["nDCG@10"].mean == 0.5


def test_a_run_without_any_judged_query_has_mean_zero_and_no_ranked_mean():
    score = evaluate({"1": {"a": 1}}, run_of({"7": [("a", 1.0)]}), ["RR@10"]).scores["RR@10"]
    assert score.mean == 0.0 and math.isnan(score.mean_ranked)


def random_pair(generator):
    qrels = {
        str(q): {f"d{d}": generator.choice([0, 0, 1, 2, 3]) for d in generator.sample(range(30), 8)}
        for q in range(generator.randint(1, 8))
    }
    run = {}
    for query_id in [*qrels, "unjudged"]:
        if generator.random() < 0.8:
            documents = generator.sample(range(30), generator.randint(1, 25))
            run[query_id] = [(f"d{d}", generator.choice([0.5, 1.0, generator.random() * 3])) for d in documents]
    return qrels, run


def test_agrees_with_trec_eval_on_runs_with_ties():
    generator = random.Random(5)
    names = {"nDCG@10": "ndcg_cut_10", "R@5": "recall_5", "AP": "map", "RR": "recip_rank", "P@5": "P_5"}
    for _ in range(60):
        qrels, run = random_pair(generator)
        ours = evaluate(qrels, run_of(run), list(names))
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.5", "map", "recip_rank", "P.5"})
        theirs = evaluator.evaluate({query_id: dict(each) for query_id, each in run.items()})
        for name, trec_name in names.items():
            expected = {query_id: theirs.get(query_id, {}).get(trec_name, 0.0) for query_id in qrels}
            assert ours.scores[name].per_query == pytest.approx(expected, abs=1e-12)
            assert ours.scores[name].mean == pytest.approx(sum(expected.values()) / len(qrels), abs=1e-12)


def test_every_measure_sees_the_same_order_of_ties():
    # ir-measures computes RR@10 with a provider that breaks ties by ascending id; ours must follow trec_eval here as well.
    score = evaluate({"1": {"b": 1}}, run_of({"1": [("a", 1.0), ("b", 1.0)]}), ["RR@10", "RR", "nDCG@10"]).scores
    assert [score[name].mean for name in ("RR@10", "RR", "nDCG@10")] == [1.0, 1.0, 1.0]


def test_the_same_call_twice_gives_the_same_values():
    assert evaluate(QRELS, RUN) == evaluate(QRELS, RUN)


def test_names_are_normalised_and_unknown_ones_refused():
    assert list(evaluate(QRELS, RUN, ["MRR@10", "NDCG@5", "Recall@3"]).scores) == ["RR@10", "nDCG@5", "R@3"]
    for name in ("foo@10", "nDCG@x", "nDCG@10,RR", "", "nDCG(@"):
        with pytest.raises(InputError, match="unknown measure"):
            parse_measure(name)


def test_empty_qrels_and_repeated_documents_are_refused():
    with pytest.raises(InputError, match="hold no judgement"):
        evaluate({}, RUN)
    with pytest.raises(InputError, match="is in lines 1 and 2"):
        evaluate(QRELS, run_of({"1": [("a", 2.0), ("a", 1.0)]}))


def test_without_ir_measures_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtra, match=r"pip install 'lateint\[eval\]'"):
        evaluate(QRELS, RUN)


BAD = "nDCG@0 P@0 RR@0 Success@0 Judged@0 RR@10.5 P@1e3 BPM INST ERR IPrec@2 RBP(p=1) P(rel=0)@5 AP(rel=99999999999)"


@pytest.mark.parametrize("name", BAD.split())
def test_a_measure_that_cannot_be_computed_is_refused_with_those_that_can(name):
    with pytest.raises(InputError, match=r"expected one of AP, AP@100, .*nDCG@10") as caught:
        evaluate(QRELS, RUN, [name])
    assert "\n" not in str(caught.value) and "object object" not in str(caught.value)


@pytest.mark.parametrize("name", VALID.split(", "))
def test_the_measures_of_that_list_are_computed(name):
    assert math.isfinite(evaluate(QRELS, RUN, [name]).scores[name].mean)


def test_ids_that_tools_cannot_read_change_nothing():
    odd = {"1": "q 1\n", "2": "\x00", "3": "Ä\t", "9": "9"} | {doc_id: f"{doc_id}\x00 \n" for doc_id in "abcx"} | {"y": "y"}
    qrels = {odd[query]: {odd[doc]: label for doc, label in labels.items()} for query, labels in QRELS.items()}
    run = run_of({odd[query]: [(odd[e.doc_id], e.score) for e in entries] for query, entries in RUN.items()})
    plain, renamed = (evaluate(*pair, ["ERR@10", "nDCG@10", "AP"]).scores for pair in ((QRELS, RUN), (qrels, run)))
    assert [score.mean for score in plain.values()] == [score.mean for score in renamed.values()]
    assert plain["ERR@10"].mean > 0


def test_labels_out_of_range_are_refused_and_no_later_query_scores_nothing():
    with pytest.raises(InputError, match=r"label 300000000 of document 'a'.*columns swapped"):
        evaluate({"1": {"a": 300_000_000}, "2": {"x": 1}}, RUN, ["nDCG@10"])


def test_a_value_that_is_not_finite_is_an_error_and_not_zero(monkeypatch):
    real = ir_measures.iter_calc

    def lost(*arguments):
        return (metric for metric in real(*arguments) if metric.query_id != "2")

    monkeypatch.setattr(ir_measures, "iter_calc", lost)
    with pytest.raises(InputError, match="cannot compute P@1 of query '2'"):
        evaluate(QRELS, RUN, ["P@1"])
