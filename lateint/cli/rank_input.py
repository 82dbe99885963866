"""The queries and candidates of `lateint rank`, all checked before the first is ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lateint.cli.options import refuse_shared_streams

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.model.document import Document
    from lateint.ranking.ranker import Missing
    from lateint_eval.formats import CandidateList

Ranked = tuple[str, "CandidateList", "list[Document] | None"]  # a query's text, its candidates, and documents to encode


@dataclass(frozen=True, slots=True)
class RankInput:
    """The options that name what is ranked."""

    corpus: str | None
    queries: str | None
    candidates: str
    missing: Missing
    depth: int | None  # most documents of a query that the run can hold

    def check(self, stored: bool) -> None:
        """Refuse inputs that contradict each other (usage error, exit code 2)."""
        if stored and self.corpus is not None and self.missing != "encode":
            raise click.UsageError("--store and --corpus exclude each other, except with --missing encode")
        if self.missing == "encode" and not stored:
            raise click.UsageError("--missing encode needs --store; without a store, all documents are encoded")
        refuse_shared_streams(self.corpus, self.queries, self.candidates)

    def read(self, store: Store | None) -> Iterator[Ranked]:
        """Yield each query's text, its candidates, and the documents that are to be encoded (None: all are in the store).

        Raises, before the first: click.UsageError for candidates without text; InputError for a query without text, a name
        that a run cannot hold, or no candidates; MissingDocument with `missing="error"`.
        """
        from lateint_eval.formats import opened_candidates, read_queries

        texts = {} if self.queries is None else read_queries(self.queries)
        with opened_candidates(self.candidates) as read:
            kept, ids = self._checked(read(), texts, store)
            corpus = None if self.corpus is None else self._corpus(ids, store)
            if corpus is not None and store is None and self.missing == "error":
                _refuse_absent(self._again(kept, read), corpus, "are not in the corpus")
            for entry in self._again(kept, read):
                yield _query(entry, texts, self.candidates), entry, self._documents(entry, corpus, store)

    def _again(self, kept: list[CandidateList] | None, read: Callable[[], Iterator[CandidateList]]) -> Iterable[CandidateList]:
        return read() if kept is None else kept

    def _checked(
        self, entries: Iterable[CandidateList], texts: dict[str, str], store: Store | None
    ) -> tuple[list[CandidateList] | None, set[str]]:
        """Check all candidates. Returns: them, or None if they hold texts, which memory should not; and ids for a corpus."""
        from lateint.errors import InputError

        kept: list[CandidateList] | None = []
        ids, found = set[str](), False
        for entry in entries:
            found = True
            _query(entry, texts, self.candidates)
            self._check_names(entry)
            if entry.texts is None and self.corpus is None and (store is None or self.missing == "encode"):
                raise click.UsageError(f"candidates carry no text: give {'--store or ' if store is None else ''}--corpus")
            if store is not None and self.missing == "error":
                _refuse_absent([entry], store.held(entry.doc_ids), f"are not in {store.path}")
            if self.corpus is not None:
                ids.update(entry.doc_ids)
            if entry.texts is not None:
                kept = None
            elif kept is not None:
                kept.append(entry)
        if not found:
            raise InputError(f"{self.candidates} holds no candidates; expected at least one query with documents")
        return kept, ids

    def _check_names(self, entry: CandidateList) -> None:
        from lateint.errors import InputError
        from lateint_eval.formats import check_name

        check_name(entry.query_id, "query id")
        for doc_id in entry.doc_ids:
            check_name(doc_id, "document id")
        if self.depth is not None and len(entry.doc_ids) > self.depth:
            n = len(entry.doc_ids)
            raise InputError(f"query {entry.query_id!r} has {n} candidates; an MS MARCO run holds {self.depth}: add --top-k")

    def _corpus(self, ids: set[str], store: Store | None) -> dict[str, Document]:
        """Read these documents from the corpus, except those that the store holds."""
        from lateint.cli.corpus import read_documents

        if store is not None:
            ids = ids - store.held(sorted(ids))
        return {document.id: document for document in read_documents(self.corpus or "") if document.id in ids}

    def _documents(
        self, entry: CandidateList, corpus: dict[str, Document] | None, store: Store | None
    ) -> list[Document] | None:
        """The candidates' documents: from the corpus if there is one, else with the texts of the candidates file."""
        from lateint.model.document import Document

        if store is not None and self.missing != "encode":
            return None
        if corpus is not None:
            return [corpus[doc_id] for doc_id in entry.doc_ids if doc_id in corpus]
        return [Document(doc_id, text) for doc_id, text in zip(entry.doc_ids, entry.texts or (), strict=True)]


def _query(entry: CandidateList, texts: dict[str, str], source: str) -> str:
    """The text of a query. Raises: InputError if there is none."""
    from lateint.errors import InputError

    text = texts.get(entry.query_id, entry.query_text)
    if text is None or not text.strip():
        raise InputError(f"{source}: no text for query {entry.query_id!r}; give it in --queries")
    return text


def _refuse_absent(entries: Iterable[CandidateList], held: Iterable[str], where: str) -> None:
    """Refuse candidates that are not among the ids `held`. Raises: MissingDocument."""
    from lateint.errors import MissingDocument

    known = held if isinstance(held, (set, dict)) else set(held)
    for entry in entries:
        if absent := [doc_id for doc_id in entry.doc_ids if doc_id not in known]:
            message = f"query {entry.query_id!r}: {len(absent)} of the candidates {where}: {absent[:3]!r}"
            raise MissingDocument(message)
