"""Reads a corpus for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lateint.model.document import Document


def count_documents(corpus: str) -> int | None:
    """Count the documents, to estimate the time left; None if a second pass is impossible or too slow."""
    if corpus == "-" or corpus.startswith("irds:"):
        return None
    return sum(1 for _ in read_documents(corpus))


@contextmanager
def explained_duplicates(corpus: str) -> Iterator[None]:
    """Name both lines of a repeated id in its error. Reads the corpus again, which standard input does not allow."""
    from lateint.errors import DuplicateDocument

    try:
        yield
    except DuplicateDocument as error:
        if corpus != "-" and (message := _find_repeated(corpus)):
            raise DuplicateDocument(message) from error
        raise


def _find_repeated(corpus: str) -> str:
    """A message with the lines of the first repeated id; empty if there is none."""
    from lateint_eval.formats import read_corpus

    lines: dict[str, int] = {}
    for doc in read_corpus(corpus):
        if (first := lines.setdefault(doc.id, doc.line)) != doc.line:
            return f"{corpus}: id {doc.id!r} stands in line {first} and in line {doc.line}; expected each id once"
    return ""


def read_documents(corpus: str) -> Iterator[Document]:
    """Yield the documents of a corpus in any format."""
    from lateint.model.document import Document
    from lateint_eval.formats import read_corpus

    for doc in read_corpus(corpus):
        yield Document(doc.id, doc.text, doc.title)
