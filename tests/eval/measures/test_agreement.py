"""All tools print the same MRR@10 for runs that lateint writes, on 200 runs with many ties."""

import random

import ir_measures
import pytest
from ir_measures.providers import registry

from lateint_eval.formats import read_qrels, read_run, write_qrels, write_run
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.msmarco import compatible, strict
from tests.support import official

PRINTED = "{:.5f}"  # BEIR rounds to five digits, the others print four


def tied_run(generator):
    qrels, rankings = {}, {}
    for query in range(1, generator.randint(2, 7)):
        documents = generator.sample(range(1, 40), 20)
        qrels[str(query)] = {str(d): generator.choice([0, 1, 2]) for d in generator.sample(range(1, 40), 5)}
        qrels[str(query)][str(documents[generator.randrange(20)])] = 1
        levels = [0.0, 1.0, 1.0 + 1e-9, 1.0 + 1e-7, -2.5, 1e-40, generator.gauss(0, 3)]
        scores = sorted((generator.choice(levels) for _ in documents), reverse=True)
        rankings[str(query)] = [(str(d), score) for d, score in zip(documents, scores, strict=True)]
    return qrels, rankings


def beir_mrr(qrels, run, cutoff=10):
    """Compute MRR@10 as BEIR does: sort the dictionary by score, average over judged queries, round to five digits."""
    total = 0.0
    for query_id in run:
        hits = sorted(run[query_id].items(), key=lambda item: item[1], reverse=True)[:cutoff]
        positive = {doc_id for doc_id, label in qrels[query_id].items() if label > 0}
        total += next((1.0 / (place + 1) for place, (doc_id, _) in enumerate(hits) if doc_id in positive), 0)
    return round(total / len(qrels), 5)


def provider_mrr(name, measure, qrels, run):
    values = [each.value for each in registry[name].iter_calc([measure], qrels, run)]
    return sum(value if value >= 0.1 else 0.0 for value in values) / len(values)


@pytest.fixture(scope="module")
def pairs():
    generator = random.Random(7)
    return [tied_run(generator) for _ in range(200)]


def test_all_tools_print_the_same_mrr(tmp_path, pairs):
    values = set()
    for qrels, rankings in pairs:
        write_qrels(tmp_path / "qrels.tsv", qrels, "msmarco")
        write_run(tmp_path / "run.trec", rankings)
        write_run(tmp_path / "run.tsv", rankings, format="msmarco")
        mrrs = mrr_everywhere(tmp_path)
        assert len({PRINTED.format(value) for value in mrrs.values()}) == 1, mrrs
        values.add(mrrs["lateint eval"])
    assert len(values) > 50, "the runs differ"


def mrr_everywhere(folder):
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels.tsv")))
    run = list(ir_measures.read_trec_run(str(folder / "run.trec")))
    by_query, labels = {}, {}
    for each in run:
        by_query.setdefault(each.query_id, {})[each.doc_id] = each.score
    for each in qrels:
        labels.setdefault(each.query_id, {})[each.doc_id] = each.relevance
    relevant = "".join(f"{each.query_id}\t0\t{each.doc_id}\t1\n" for each in qrels if each.relevance > 0)
    lines, _ = official.score(relevant, (folder / "run.tsv").read_text())
    ours, ranked = read_qrels(folder / "qrels.tsv"), read_run(folder / "run.tsv")
    positive = {query_id: {d: n for d, n in each.items() if n > 0} for query_id, each in ours.items()}
    return {
        "trec_eval": provider_mrr("pytrec_eval", ir_measures.RR, qrels, run),
        "ir-measures msmarco": provider_mrr("msmarco", ir_measures.RR @ 10, qrels, run),
        "BEIR": beir_mrr(labels, by_query),
        "ms_marco_eval": float(lines[1].removeprefix("MRR @10: ")),
        "lateint eval": evaluate(ours, read_run(folder / "run.trec"), ["RR@10"]).scores["RR@10"].mean,
        "lateint eval, MS MARCO run": evaluate(ours, ranked, ["RR@10"]).scores["RR@10"].mean,
        "lateint compatible": compatible(positive, ranked).mrr,
        "lateint strict": strict(ours, ranked).mrr,
    }


def test_without_the_writer_the_tools_do_disagree(tmp_path, pairs):
    different = 0
    for qrels, rankings in pairs[:40]:
        plain = {query_id: dict(ranking) for query_id, ranking in rankings.items()}
        trec_eval = provider_mrr("pytrec_eval", ir_measures.RR, qrels, plain)
        different += trec_eval != provider_mrr("msmarco", ir_measures.RR @ 10, qrels, plain)
    assert different > 5, "else the agreement above would prove nothing"
