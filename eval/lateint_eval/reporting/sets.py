"""The sets of the evaluation protocol: fixed samples of queries, with the same candidates for every system."""

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
_OTHER_DOMAINS = ("cranfield", "vaswani")  # scientific abstracts, where a ranker of web pages can fall below a cosine
_OFFICIAL_FILES = {"run": "firststage.bm25.top100.trec.gz", "qrels": "official.full.trec.gz"}


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """A set to evaluate on; `test` sets are run once per checkpoint and never used for selection."""

    name: str
    split: Split
    measures: tuple[str, str]
    test: bool

    def corpus(self) -> list[Document]:
        """Return the candidates of all queries, each once, sorted by id."""
        from lateint.model.document import Document

        wanted = sorted({doc_id for ids in self.split.candidates.values() for doc_id in ids})
        return [Document(i, self.split.documents[i].text, self.split.documents[i].title) for i in wanted]

    def digest(self) -> str:
        """Return the BLAKE2b-256 digest of queries, candidates, first-stage scores, judgements, measures and texts."""
        state = hashlib.blake2b(digest_size=32)
        for query_id, text in self.split.queries.items():
            judged = sorted(self.split.qrels[query_id].items())
            candidates = list(zip(self.split.candidates[query_id], self.split.scores[query_id], strict=True))
            state.update(repr((query_id, text, judged, candidates, self.measures)).encode(errors="surrogatepass"))
        for document in self.corpus():
            state.update(repr((document.id, document.title, document.text)).encode(errors="surrogatepass"))
        return state.hexdigest()

    def first(self, queries: int) -> EvaluationTask:
        """Return the set with its first queries only, for a quick look; the new name says so."""
        chosen = list(self.split.queries)[:queries]
        named = f"{self.name}, first {len(chosen)} of {len(self.split.queries)} queries"
        return replace(self, name=named, split=self.split.only(chosen, max(map(len, self.split.candidates.values()))))


def tasks(data: Path, depth: int = 50) -> list[EvaluationTask]:
    """Return all sets in the data folder that a checkpoint is evaluated on, test sets first.

    Raises: InputError for a missing set.
    """
    found = []
    for name, split in _SAMPLED:
        chosen = read_split(data / name, split).only(sampled_queries(name, split), depth)
        found.append(EvaluationTask(f"{name} {split}", chosen, BINARY, test=split == "test"))
    official = read_split(data / "msmarco-dl19", "test", run=_OFFICIAL_FILES["run"], qrels=_OFFICIAL_FILES["qrels"])
    found.insert(2, EvaluationTask("msmarco-dl19", official.only(sorted(official.candidates), 100), _GRADED, test=True))
    judged = read_split(data / "msmarco-dl21", "dev", run=_OFFICIAL_FILES["run"], qrels=_OFFICIAL_FILES["qrels"])
    found.append(EvaluationTask("msmarco-dl21", judged.only(sorted(judged.candidates), 100), _GRADED, test=False))
    for name in _OTHER_DOMAINS:
        whole = read_split(data / name, "test")  # their only split; nothing is reported as a test on them
        found.append(EvaluationTask(name, whole.only(sorted(whole.candidates), depth), BINARY, test=False))
    return found


def demo_task(split: str) -> EvaluationTask:
    """Return the demo's questions over the standard library's documentation, with BM25's top 20 as candidates."""
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
    """Return the development sets with these names, or all if there are no names. Raises: InputError for other names."""
    from lateint_store.errors import InputError

    development = {task.name: task for task in found if not task.test}
    if unknown := [name for name in names if name not in development]:
        raise InputError(f"{unknown[0]!r} is not a development set; expected one of: {', '.join(development)}")
    return [development[name] for name in names or development]
