"""Reading a corpus for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lateint.model.document import Document


def _count(corpus: str) -> int | None:
    """How many documents there are, for the time left; None where a second pass is not possible or too slow."""
    if corpus == "-" or corpus.startswith("irds:"):
        return None
    return sum(1 for _ in read_documents(corpus))


@contextmanager
def explained_duplicates(corpus: str) -> Iterator[None]:
    """Name both lines of a repeated id, found by reading the corpus again; standard input cannot be."""
    from lateint.errors import DuplicateDocument

    try:
        yield
    except DuplicateDocument as error:
        if corpus != "-" and (places := _repeated(corpus)):
            raise DuplicateDocument(places) from error
        raise


def _repeated(corpus: str) -> str:
    from lateint_eval.formats import read_corpus

    lines: dict[str, int] = {}
    for doc in read_corpus(corpus):
        if (first := lines.setdefault(doc.id, doc.line)) != doc.line:
            return f"{corpus}: id {doc.id!r} stands in line {first} and in line {doc.line}; expected each id once"
    return ""


def read_documents(corpus: str) -> Iterator[Document]:
    """Stream the documents of any corpus format."""
    from lateint.model.document import Document
    from lateint_eval.formats import read_corpus

    for doc in read_corpus(corpus):
        yield Document(doc.id, doc.text, doc.title)
