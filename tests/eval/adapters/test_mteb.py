"""MTEB's own evaluation of a lateint ranker, on a task that is built here."""

import functools
import inspect
from importlib.util import find_spec

import pytest

from lateint import Chunks, Ranker
from lateint.errors import InputError, MissingDocument
from lateint_eval.adapters.mteb import SearchModel
from lateint_eval.formats.records import Run, RunEntry
from lateint_eval.measures.metrics import evaluate
from tests.support import engine

pytestmark = pytest.mark.skipif(find_spec("mteb") is None, reason="the extra `mteb` is not installed")

CALL = {"hf_split": "test", "hf_subset": "default", "encode_kwargs": {}, "num_proc": None}


@functools.cache  # mteb is imported by the first test, not by every process that collects tests: this takes seconds
def toy_reranking():
    """Return the class of the toy collection as an MTEB task, without downloads."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class ToyReranking(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="ToyReranking", description="The toy collection", type="Reranking", category="t2t", modalities=["text"],
            dataset={"path": "none", "revision": "none"}, eval_splits=["test"], eval_langs=["eng-Latn"],
            main_score="ndcg_at_10", reference=None, date=None, domains=None, task_subtypes=None, license=None,
            annotations_creators=None, dialect=None, sample_creation=None, bibtex_citation=None,
        )  # fmt: skip

    return ToyReranking


def dataset(rows):
    """Return rows as MTEB keeps them."""
    from datasets import Dataset

    return Dataset.from_list(rows)


def task(toy, candidates):
    """Return the task with the candidates of some queries; None gives a retrieval task."""
    made = toy_reranking()()
    corpus = [{"id": doc.id, "title": doc.title, "text": doc.text} for doc in toy.documents.values()]
    split = {
        "corpus": dataset(corpus),
        "queries": dataset([{"id": query_id, "text": text} for query_id, text in toy.queries.items()]),
        "relevant_docs": {query_id: dict(labels) for query_id, labels in toy.qrels.items()},
        "top_ranked": candidates,
    }
    made.dataset, made.data_loaded = {"default": {"test": split}}, True
    return made


def evaluated(model, made, **options):
    import mteb

    results = mteb.evaluate(model, made, cache=None, co2_tracker=False, show_progress_bar=False, **options)
    return results[0].scores["test"][0]


def searched(model, made, top_k=1000, **changes):
    split = made.dataset["default"]["test"] | changes
    model.index(split["corpus"], task_metadata=made.metadata, **CALL)
    return model.search(split["queries"], task_metadata=made.metadata, top_k=top_k, top_ranked=split["top_ranked"], **CALL)


@pytest.mark.parametrize("kind", ["stored", "plain"])
def test_the_main_score_is_that_of_our_evaluation(toy, kind):
    scores = evaluated(SearchModel(getattr(toy, kind)), task(toy, toy.candidates))
    run = Run("ours", {q: [RunEntry(d, 0, s, 0) for d, s in toy.scores(q).items()] for q in toy.candidates})
    ours = evaluate(toy.qrels, run, ["nDCG@10", "RR@10"]).scores
    assert scores["main_score"] == scores["ndcg_at_10"] == round(ours["nDCG@10"].mean, 5), "MTEB rounds to 5 places"
    first = Run("first", {q: [RunEntry(d, 0, -float(at), 0) for at, d in enumerate(ids)] for q, ids in toy.candidates.items()})
    assert scores["main_score"] != round(evaluate(toy.qrels, first, ["nDCG@10"]).scores["nDCG@10"].mean, 5)


def test_scores_are_those_of_the_ranker(toy):
    made = task(toy, toy.candidates)
    expected = {query_id: toy.scores(query_id) for query_id in toy.queries}
    assert searched(SearchModel(toy.stored), made) == expected, "bit for bit"
    plain = searched(SearchModel(toy.plain), made)
    assert all(engine.close(plain[query_id], expected[query_id]) for query_id in expected)
    pairs = [(text, toy.documents["bread-proof"].full_text) for text in toy.queries.values()]
    alone = {query_id: ["bread-proof"] for query_id in toy.queries}
    found = searched(SearchModel(toy.plain), made, top_ranked=alone)
    assert [scores["bread-proof"] for scores in found.values()] == toy.plain.logits(pairs).tolist()
    assert plain.keys() == toy.queries.keys() and len({s for scores in plain.values() for s in scores.values()}) > 100


def test_the_best_are_kept_and_a_query_without_candidates_stays_empty(toy):
    some = {"q-proof": toy.candidates["q-proof"] * 2}
    for ranker in (toy.stored, toy.plain):
        found = searched(SearchModel(ranker), task(toy, some), top_k=3)
        assert list(found["q-proof"]) == list(toy.scores("q-proof"))[:3]
        assert found.keys() == toy.queries.keys() and not any(found[query_id] for query_id in toy.queries.keys() - some.keys())


def test_an_instruction_stands_behind_the_query(toy):
    made = task(toy, toy.candidates)
    told = {"q-proof": "in the oven"}
    rows = [{"id": key, "text": text, "instruction": told.get(key)} for key, text in toy.queries.items()]
    found = searched(SearchModel(toy.stored), made, queries=dataset(rows))
    hits = toy.stored.rank(toy.queries["q-proof"] + " in the oven", toy.candidates["q-proof"])
    assert found["q-proof"] == {hit.doc_id: hit.score for hit in hits} != toy.scores("q-proof")
    assert all(found[query_id] == toy.scores(query_id) for query_id in toy.queries.keys() - {"q-proof"})
    talk = dataset([{"id": "q-proof", "text": ["hello", "bread"]}])
    with pytest.raises(InputError, match="a query is list, not text"):
        searched(SearchModel(toy.stored), made, queries=talk)


def test_a_store_of_another_corpus_is_refused_unless_told_otherwise(toy, tmp_path):
    few = list(toy.documents.values())[:30]
    with engine.store(tmp_path, documents=few) as store:
        ranker, made = Ranker(engine.model(), store), task(toy, toy.candidates)
        with pytest.raises(MissingDocument):
            searched(SearchModel(ranker), made)
        encoded = searched(SearchModel(ranker, missing="encode"), made)
        skipped = searched(SearchModel(ranker, missing="skip"), made)
    assert all(engine.close(encoded[query_id], toy.scores(query_id)) for query_id in toy.queries)
    held = {document.id for document in few}
    assert all(set(skipped[query_id]) == held & set(toy.candidates[query_id]) for query_id in toy.queries)


def test_candidates_outside_the_corpus_and_tasks_without_candidates_are_refused(toy):
    with pytest.raises(MissingDocument, match="1 candidates are not in the task's corpus: \\['gone'\\]"):
        searched(SearchModel(toy.plain), task(toy, {"q-proof": ["gone"]}))
    with pytest.raises(InputError, match=r"task ToyReranking has no candidates to re-rank; .*convert_to_reranking"):
        evaluated(SearchModel(toy.plain), task(toy, None))


def test_a_retrieval_task_is_ranked_once_another_model_gave_candidates(toy, tmp_path):
    evaluated(SearchModel(toy.stored), task(toy, toy.candidates), prediction_folder=tmp_path)
    made = task(toy, None).convert_to_reranking(tmp_path, top_k=4)
    found = searched(SearchModel(toy.stored), made)
    assert all(list(found[query_id]) == list(toy.scores(query_id))[:4] for query_id in toy.queries)


def test_it_is_the_protocol_of_mteb_to_the_letter(toy):
    from mteb.models import SearchProtocol

    model = SearchModel(toy.plain)
    assert isinstance(model, SearchProtocol)
    for name in ("index", "search"):
        theirs, ours = (inspect.signature(getattr(kind, name)).parameters for kind in (SearchProtocol, SearchModel))
        assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()]


def test_results_of_rankers_that_differ_are_filed_apart(toy, tmp_path):
    model = engine.model()
    meta = SearchModel(toy.plain).mteb_model_meta
    assert meta.name == "lateint/prettr" and meta.max_tokens == 48
    assert meta.n_parameters == sum(parameter.numel() for parameter in model.parameters())
    cut = Ranker(model, chunks=Chunks(20, 6))
    first = Ranker(model, chunks=Chunks(20, 6), aggregate="first")
    other = Ranker(engine.fresh_model(query_max_length=20))
    spoilt = engine.fresh_model()
    [*spoilt.parameters()][-1].data.add_(1.0)
    codecs = {"states": (engine.part("int8"),)}
    with engine.store(tmp_path, codecs=codecs) as lossy:
        rankers = [toy.plain, cut, first, other, Ranker(spoilt), Ranker(model, lossy)]
        assert len({SearchModel(ranker).mteb_model_meta.revision for ranker in rankers}) == len(rankers)
    assert SearchModel(toy.stored).mteb_model_meta.revision == meta.revision, "the same numbers, stored or not"
    told = SearchModel(toy.plain, "us/ours", revision="1").mteb_model_meta
    assert (told.name, told.revision) == ("us/ours", "1")
    for name in ("ours", "a/b/c", "/ours"):
        with pytest.raises(InputError, match="expected organization/name"):
            SearchModel(toy.plain, name)
