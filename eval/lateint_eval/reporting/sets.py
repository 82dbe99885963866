"""The sets of the evaluation protocol: fixed samples of queries, the same candidates for every system."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.datasets.folder import Split, read_split, sampled_queries

if TYPE_CHECKING:
    from lateint.model.document import Document

MAIN = "nDCG@10"
_GRADED = (MAIN, "RR(rel=2)@10")
BINARY = (MAIN, "RR@10")
_SAMPLED = (("squad", "test"), ("medquad", "test"), ("squad", "dev"), ("medquad", "dev"), ("selqa", "dev"))
_OFFICIAL_FILES = {"run": "firststage.bm25.top100.trec.gz", "qrels": "official.full.trec.gz"}


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """A set to evaluate on: `test` sets are run once per checkpoint and never used to choose."""

    name: str
    split: Split
    measures: tuple[str, str]
    test: bool

    def corpus(self) -> list[Document]:
        """The candidates of all its queries, each once."""
        from lateint.model.document import Document

        wanted = sorted({doc_id for ids in self.split.candidates.values() for doc_id in ids})
        return [Document(i, self.split.documents[i].text, self.split.documents[i].title) for i in wanted]

    def digest(self) -> str:
        """BLAKE2b-256 over everything that a score on this set depends on: queries, candidates, judgements, texts."""
        state = hashlib.blake2b(digest_size=32)
        for query_id, text in self.split.queries.items():
            judged = sorted(self.split.qrels[query_id].items())
            candidates = list(zip(self.split.candidates[query_id], self.split.scores[query_id], strict=True))
            state.update(repr((query_id, text, judged, candidates, self.measures)).encode(errors="surrogatepass"))
        for document in self.corpus():
            state.update(repr((document.id, document.title, document.text)).encode(errors="surrogatepass"))
        return state.hexdigest()

    def first(self, queries: int) -> EvaluationTask:
        """The same set cut to its first queries, under a name that says so: for a quick look, never a result."""
        chosen = list(self.split.queries)[:queries]
        named = f"{self.name}, first {len(chosen)} of {len(self.split.queries)} queries"
        return replace(self, name=named, split=self.split.only(chosen, max(map(len, self.split.candidates.values()))))


def tasks(data: Path, depth: int = 50) -> list[EvaluationTask]:
    """Every set below the data folder that a checkpoint is evaluated on, those for tests first.

    Raises: InputError for a set that is not there.
    """
    found = []
    for name, split in _SAMPLED:
        chosen = read_split(data / name, split).only(sampled_queries(name, split), depth)
        found.append(EvaluationTask(f"{name} {split}", chosen, BINARY, test=split == "test"))
    official = read_split(data / "msmarco-dl19", "test", **_OFFICIAL_FILES)
    found.insert(2, EvaluationTask("msmarco-dl19", official.only(sorted(official.candidates), 100), _GRADED, test=True))
    pool = read_split(data / "msmarco-dl21", "dev", run=_OFFICIAL_FILES["run"])
    found.append(EvaluationTask("msmarco-dl21 dev", pool.only(sorted(pool.candidates), 100), _GRADED, test=False))
    return found


def demo_task(split: str) -> EvaluationTask:
    """The demo's questions over the standard library's documentation, BM25's top 20."""
    from lateint_eval.datasets.bm25 import Bm25
    from lateint_eval.datasets.stdlib.passages import build_passages
    from lateint_eval.datasets.stdlib.questions import load_questions
    from lateint_eval.formats import Doc

    corpus = {p.id: Doc(p.id, p.title, p.text, 0) for p in build_passages()}
    questions = load_questions(split, corpus)  # type: ignore[arg-type]
    first = Bm25(list(corpus), [doc.full_text for doc in corpus.values()])
    lists = {q.id: first.search(q.text, 20) for q in questions.kept}
    split_data = Split(
        f"demo {split}",
        {q.id: q.text for q in questions.kept},
        questions.qrels,
        {key: [doc_id for doc_id, _ in pairs] for key, pairs in lists.items()},
        {key: [score for _, score in pairs] for key, pairs in lists.items()},
        corpus,
    )
    return EvaluationTask(f"demo {split}", split_data, BINARY, test=split == "test")


def named(found: Sequence[EvaluationTask], names: Sequence[str]) -> list[EvaluationTask]:
    """The development sets of these names; all of them without names. Raises: InputError for any other name."""
    from lateint_store.errors import InputError

    open_to_all = {task.name: task for task in found if not task.test}
    if odd := [name for name in names if name not in open_to_all]:
        raise InputError(f"{odd[0]!r} is no development set; there are: {', '.join(open_to_all)}")
    return [open_to_all[name] for name in names or open_to_all]
