from dataclasses import dataclass

import pytest

from tests.support.paths import TOY


@dataclass(frozen=True)
class Toy:
    """The toy collection, its first stage, and rankers of a tiny model with and without a store."""

    documents: dict
    queries: dict
    qrels: dict
    candidates: dict
    stored: object
    plain: object

    def scores(self, query_id):
        """Return the scores of the engine itself for a query."""
        ranking = self.stored.rank(self.queries[query_id], self.candidates[query_id])
        return {hit.doc_id: hit.score for hit in ranking}


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    from lateint import Document, Ranker
    from lateint_eval.formats import read_corpus, read_qrels, read_queries, read_run
    from tests.support import engine

    documents = {doc.id: Document(doc.id, doc.text, doc.title) for doc in read_corpus(TOY)}
    run = {query_id: [entry.doc_id for entry in entries] for query_id, entries in read_run(TOY / "run.beir.trec").items()}
    with engine.store(tmp_path_factory.mktemp("toy"), documents=list(documents.values())) as store:
        rankers = Ranker(engine.model(), store), Ranker(engine.model())
        yield Toy(documents, read_queries(TOY), read_qrels(TOY), run, *rankers)
