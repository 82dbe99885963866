import runpy
from pathlib import Path

import pytest

from lateint_eval.formats import read_candidates, read_corpus, read_qrels, read_queries, read_run

TOY = Path(__file__).parent
DERIVED = ("run.beir.trec", "candidates.jsonl", "collection.tsv", "queries.tsv", "qrels.tsv", "top1000.tsv", "run.trec")


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    runpy.run_path(str(TOY / "build.py"))["build"](folder)
    return folder


@pytest.mark.parametrize("name", [*DERIVED, "run.msmarco.tsv"])
def test_derived_file_is_up_to_date(rebuilt, name):
    assert (rebuilt / name).read_bytes() == (TOY / name).read_bytes()


def test_passages_have_twenty_to_sixty_words_and_unique_ids():
    docs = list(read_corpus(TOY))
    assert len(docs) == len({doc.id for doc in docs}) == 62
    assert all(20 <= len(doc.text.split()) <= 60 for doc in docs)
    assert {"tea-🍵", "note with space"} <= {doc.id for doc in docs}


def test_every_judgement_has_its_passage_and_query_and_every_query_a_positive():
    ids, queries, qrels = {doc.id for doc in read_corpus(TOY)}, read_queries(TOY), read_qrels(TOY)
    assert qrels.keys() == queries.keys() and len(queries) == 20
    assert all(labels.keys() <= ids and max(labels.values()) >= 2 for labels in qrels.values())
    assert {label for labels in qrels.values() for label in labels.values()} == {0, 1, 2, 3}


def test_first_stage_holds_the_best_answer_of_most_queries_but_not_of_all():
    qrels, found = read_qrels(TOY), []
    for candidates in read_candidates(TOY / "run.beir.trec"):
        best = max(qrels[candidates.query_id], key=qrels[candidates.query_id].get)
        assert len(candidates.doc_ids) == 15
        found.append(best in candidates.doc_ids)
    assert 0.8 * len(found) <= sum(found) < len(found)


def test_both_forms_say_the_same():
    beir, msmarco = read_qrels(TOY), read_qrels(TOY / "qrels.tsv")
    pids = {doc.id: str(at) for at, doc in enumerate(read_corpus(TOY))}
    assert [doc.full_text for doc in read_corpus(TOY)] == [doc.text for doc in read_corpus(TOY / "collection.tsv")]
    assert list(read_queries(TOY).values()) == list(read_queries(TOY / "queries.tsv").values())
    assert [{pids[name]: label for name, label in each.items()} for each in beir.values()] == list(msmarco.values())
    ranked = [[entry.doc_id for entry in entries] for _, entries in read_run(TOY / "run.trec").items()]
    named = [[pids[entry.doc_id] for entry in entries] for _, entries in read_run(TOY / "run.beir.trec").items()]
    assert ranked == named == [each.doc_ids for each in read_candidates(TOY / "top1000.tsv")]
