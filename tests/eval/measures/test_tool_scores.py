"""Predicted scores against the tools themselves, on 500 random runs with all quirks; for BEIR, against a model of it."""

import math
import random

import ir_measures
import pytest
import pytrec_eval

from lateint_eval.formats.records import Run, RunEntry
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.tool_scores import tool_scores
from lateint_store.errors import InputError, LateintError
from tests.eval.measures.test_agreement import beir_mrr
from tests.support import official

PAIRS = 500


def quirky(generator):
    """Qrels and a run: ties, repetitions, infinities, odd ranks, missing and unjudged queries, labels from -1 to 3."""
    ids = [str(n) for n in range(30)]
    odd = generator.choice([0.0, 0.0, 0.1])
    labels = generator.choice([[1], [0, 1], [-1, 0, 1, 2, 3]])
    queries = range(100, 101 + generator.randint(0, 5))
    qrels = {str(q): {d: generator.choice(labels) for d in generator.sample(ids, 6)} for q in queries}
    held = [query for query in qrels if generator.random() < 0.85] + [str(200 + n) for n in range(generator.choice([0, 0, 2]))]
    levels = [0.0, 1.0, 1.0 + 1e-9, 1.0 + 1e-7, -2.5, 3e38] + ([math.inf, -math.inf] if generator.random() < 0.1 else [])
    run, line = Run("random"), 0
    for query in held or list(qrels)[:1]:
        pool = [*ids, query] if generator.random() < 0.2 else ids
        found = generator.sample(pool, generator.randint(1, 20))
        found += [generator.choice(found)] if generator.random() < odd else []
        for rank, doc_id in enumerate(found, 1):
            line += 1
            score = generator.choice(levels) if generator.random() < 0.7 else generator.gauss(0, 3)
            off = generator.choice([0, 31, rank]) if generator.random() < odd else rank
            run.queries.setdefault(query, []).append(RunEntry(doc_id, off, score, line))
    return qrels, run


@pytest.fixture(scope="module")
def pairs():
    generator = random.Random(11)
    return [quirky(generator) for _ in range(PAIRS)]


def as_dict(run):
    found = {}
    for query_id, entries in run.items():
        for entry in entries:
            found.setdefault(query_id, {})[entry.doc_id] = entry.score
    return found


def twice(run):
    return any(len({entry.doc_id for entry in entries}) < len(entries) for _, entries in run.items())


def same(first, second):
    return first is second is None or (first is not None and second is not None and math.isclose(first, second, abs_tol=1e-12))


def by_tool(qrels, run):
    return {score.tool: score for score in tool_scores(qrels, run)}


def trec_eval(qrels, run):
    """Return MRR@10 and nDCG@10 per query; reciprocal ranks below 0.1 belong to ranks after 10."""
    found = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank", "ndcg_cut_10"}).evaluate(run)
    return {
        query: (each["recip_rank"] if each["recip_rank"] >= 0.1 else 0.0, each["ndcg_cut_10"]) for query, each in found.items()
    }


def test_trec_eval(pairs):
    refused = 0
    for qrels, run in pairs:
        found, per_query = by_tool(qrels, run), trec_eval(qrels, as_dict(run))
        if twice(run) or not per_query:
            refused += 1
            assert found["trec_eval"].mrr is None and found["trec_eval -c"].ndcg is None
            continue
        for place, name in enumerate(("mrr", "ndcg")):
            total = sum(values[place] for values in per_query.values())
            assert same(getattr(found["trec_eval -c"], name), total / len(qrels))
            assert same(getattr(found["trec_eval"], name), total / len(per_query))
    assert 10 < refused < PAIRS / 2


def test_ir_measures(pairs):
    for qrels, run in pairs:
        found = by_tool(qrels, run)["ir_measures"]
        real = ir_measures.calc_aggregate([ir_measures.RR @ 10, ir_measures.nDCG @ 10], qrels, as_dict(run))
        assert same(found.mrr, real[ir_measures.RR @ 10]) and same(found.ndcg, real[ir_measures.nDCG @ 10])


def test_beir(pairs):
    for qrels, run in pairs:
        found = by_tool(qrels, run)["BEIR"]
        kept = {q: {d: s for d, s in scores.items() if d != q} for q, scores in as_dict(run).items()}
        per_query = trec_eval(qrels, kept)
        assert same(found.ndcg, round(sum(n for _, n in per_query.values()) / len(per_query), 5) if per_query else None)
        if any(query not in qrels for query in kept):
            assert found.mrr is None
        else:
            assert found.mrr == beir_mrr(qrels, kept)


def test_ms_marco_eval(pairs):
    for qrels, run in pairs:
        found = by_tool(qrels, run)["ms_marco_eval"]
        judged = "".join(f"{q}\t0\t{d}\t{n}\n" for q, labels in qrels.items() for d, n in labels.items())
        ranked = "".join(f"{q}\t{e.doc_id}\t{e.rank}\n" for q, entries in run.items() for e in entries)
        try:
            lines, _ = official.score(judged, ranked)
        except official.Rejected:
            assert found.mrr is None
            continue
        printed = next(line for line in lines if line.startswith("MRR"))
        assert printed == f"MRR @10: {found.mrr}"


def test_our_own(pairs):
    for qrels, run in pairs:
        found = by_tool(qrels, run)["lateint eval"]
        if twice(run) or any(not math.isfinite(entry.score) for _, entries in run.items() for entry in entries):
            assert found.mrr is None
            continue
        real = evaluate(qrels, run, ["RR@10", "nDCG@10"]).scores
        assert same(found.mrr, real["RR@10"].mean) and same(found.ndcg, real["nDCG@10"].mean)


def test_the_tools_do_differ_on_these_runs(pairs):
    """Check that the tools differ on these runs; otherwise one formula would pass the tests of all of them."""
    differ = sum(len({score.mrr for score in tool_scores(qrels, run)}) > 2 for qrels, run in pairs)
    assert differ > PAIRS / 2


@pytest.mark.parametrize("score", [None, math.nan])
def test_where_there_is_no_figure_the_reason_is_said(score):
    run = Run("r", {"1": [RunEntry("a", 1, score, 1)]})
    found = by_tool({"1": {"a": 1}}, run)
    assert found["trec_eval"].mrr is found["BEIR"].ndcg is None and found["trec_eval"].note
    assert (found["lateint eval"].mrr is None) == (score is not None)
    assert found["ms_marco_eval"].mrr is None and "integers" in found["ms_marco_eval"].note


def test_what_our_model_refuses_evaluation_refuses(pairs):
    for qrels, run in pairs:
        if twice(run):
            with pytest.raises(LateintError):
                evaluate(qrels, run)
            return
    raise AssertionError("no run with a repetition")


def test_without_judgements_there_is_nothing_to_predict():
    with pytest.raises(InputError, match="no judgement"):
        tool_scores({}, Run("r", {"1": [RunEntry("a", 1, 1.0, 1)]}))
