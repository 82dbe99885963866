"""The demo: index, rank and evaluate the Python standard library's documentation on the user's machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.datasets.bm25 import Bm25
from lateint_eval.datasets.stdlib.passages import build_passages
from lateint_eval.datasets.stdlib.questions import Questions, load_questions
from lateint_eval.formats.records import Json
from lateint_eval.systems import Outcome, System, cached, cascaded, measure

if TYPE_CHECKING:
    from lateint.indexing.progress import ProgressLike
    from lateint.indexing.store import Store
    from lateint.model.document import Document
    from lateint.model.model import Model
    from lateint.results import Explanation

_DEPTH = 20
_TOKENS = 96
_SECOND = 10  # candidates that the cross-encoder ranks again
_BASELINE, _CROSS_ENCODER = "all-MiniLM-L6-v2", "reranker"
_MEASURES = ("nDCG@10", "RR@10")
NAMES = {
    "bm25": "BM25",
    "cosine": f"cosine of {_BASELINE}",
    "cached": "latent, from its store",
    "cascade": f"latent, then {_CROSS_ENCODER} over its best {_SECOND}",
}


@dataclass(frozen=True, slots=True)
class Demo:
    """Results of the demo."""

    outcomes: list[Outcome]
    questions: Questions
    passages: int
    index_seconds: float
    seconds: float

    def to_json(self) -> Json:
        """Return the table as JSON with full precision; bytes are None for systems without a store."""
        systems = [
            {
                "name": outcome.system.name,
                "ndcg10": outcome.evaluation.scores["nDCG@10"].mean,
                "rr10": outcome.evaluation.scores["RR@10"].mean,
                "ms_p50": outcome.percentile(0.5),
                "ms_p95": outcome.percentile(0.95),
                "bytes_per_passage": outcome.system.bytes_per_document,
            }
            for outcome in self.outcomes
        ]
        return {
            "systems": systems,
            "questions": len(self.questions.kept),
            "questions_dropped": self.questions.dropped,
            "passages": self.passages,
            "index_seconds": self.index_seconds,
            "seconds": self.seconds,
        }


def home() -> Path:
    """Return the demo's folder: `$LATEINT_HOME/demo`, by default in the user's cache folder."""
    chosen = os.environ.get("LATEINT_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lateint"
    return Path(chosen) / "demo"


def documents() -> dict[str, Document]:
    """Return the passages by id, in a fixed order."""
    from lateint.model.document import Document

    return {p.id: Document(p.id, p.text, p.title) for p in build_passages()}


def load(name: str = "default", method: str | None = None) -> Model:
    """Load a model with the demo's maximum document length."""
    from lateint.loading.load import load_model

    return load_model(name, method, doc_max_length=_TOKENS)


def build(model: Model, corpus: dict[str, Document], progress: ProgressLike = None, name: str = "store") -> Store:
    """Build a new store of the passages; an existing one is deleted."""
    from lateint.indexing.build import build_store

    shutil.rmtree(home() / name, ignore_errors=True)
    return build_store(model, list(corpus.values()), home() / name, progress=progress)


def run(split: str = "test", progress: ProgressLike = None, say: Callable[[str], None] = lambda _: None) -> Demo:
    """Index, rank and evaluate: four systems re-rank the same BM25 top 20."""
    started = time.perf_counter()
    corpus = documents()
    say(f"{len(corpus)} passages of the standard library's documentation")
    questions = load_questions(split, corpus)  # type: ignore[arg-type]
    first = Bm25(list(corpus), [document.full_text for document in corpus.values()])
    model = load()
    begun = time.perf_counter()
    with ExitStack() as stack:
        store = stack.enter_context(build(model, corpus, progress))
        index_seconds = time.perf_counter() - begun
        say(f"indexed in {index_seconds:.0f} s: {store.info()['bytes'] / 1e6:.1f} MB in {store.path}")
        base, second = load(_BASELINE, "cosine"), load(_CROSS_ENCODER)
        vectors = stack.enter_context(build(base, corpus, progress, "cosine"))
        tokens = stack.enter_context(build(second, corpus, progress, _CROSS_ENCODER))
        lists = {q.id: [doc_id for doc_id, _ in first.search(q.text, _DEPTH)] for q in questions.kept}
        outcomes = []
        for system in (
            System("bm25", lambda text, _: first.search(text, _DEPTH)),
            replace(cached(base, vectors), name="cosine"),
            cached(model, store),
            cascaded(model, store, second, tokens, _SECOND),
        ):
            say(f"ranking with {NAMES[system.name]}")
            texts = {q.id: q.text for q in questions.kept}
            outcomes.append(measure(system, texts, lists, questions.qrels, _MEASURES))
    return Demo(outcomes, questions, len(corpus), index_seconds, time.perf_counter() - started)


def ask(question: str, k: int = 3) -> list[tuple[Document, Explanation]]:
    """Return the best passages for a question, and what their scores are made of.

    They come from the demo's store, which is built if it is missing or does not match.
    """
    from lateint.errors import StoreMismatch, StoreNotFound
    from lateint.indexing.store import open_store
    from lateint.ranking.ranker import Ranker

    corpus, model = documents(), load()
    first = Bm25(list(corpus), [document.full_text for document in corpus.values()])
    try:
        store = open_store(home() / "store")
        ranker = Ranker(model, store)
    except (StoreNotFound, StoreMismatch):
        build(model, corpus).close()
        store = open_store(home() / "store")
        ranker = Ranker(model, store)
    with store:
        ids = [doc_id for doc_id, _ in first.search(question, 5 * _DEPTH)]
        hits = ranker.rank(question, ids, top_k=k) if ids else ()
        return [(corpus[hit.doc_id], ranker.explain(question, hit.doc_id)) for hit in hits]
