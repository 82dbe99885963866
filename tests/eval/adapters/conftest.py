import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "lateint"))  # tiny models
torch.set_num_threads(1)  # as in tests/lateint: with more, equal texts of a batch may differ in the last bits of their scores
TOY = Path(__file__).parents[2] / "toy"


@dataclass(frozen=True)
class Toy:
    """The toy collection, its first stage, and rankers of a tiny model with a store of it and without one."""

    documents: dict
    queries: dict
    qrels: dict
    candidates: dict
    stored: object
    plain: object

    def scores(self, query_id):
        """What the engine itself gives for a query."""
        ranking = self.stored.rank(self.queries[query_id], self.candidates[query_id])
        return {hit.doc_id: hit.score for hit in ranking}


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    import making

    from lateint import Document, Ranker
    from lateint_eval.formats import read_corpus, read_qrels, read_queries, read_run

    documents = {doc.id: Document(doc.id, doc.text, doc.title) for doc in read_corpus(TOY)}
    run = {query_id: [entry.doc_id for entry in entries] for query_id, entries in read_run(TOY / "run.beir.trec").items()}
    with making.store(tmp_path_factory.mktemp("toy"), documents=list(documents.values())) as store:
        rankers = Ranker(making.model(), store), Ranker(making.model())
        yield Toy(documents, read_queries(TOY), read_qrels(TOY), run, *rankers)
