"""Check the arguments of a ranker and of its calls, and read each of them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from lateint.errors import InputError, StoreMismatch
from lateint.indexing.chunks import Chunks, check_chunks
from lateint.indexing.store import Store
from lateint.model.document import Document, as_documents
from lateint_store.arguments import as_count, as_strings, check_choice, check_kind

Missing = Literal["error", "skip", "encode"]
"""What to do with candidates that the store lacks."""


def resolve_chunks(chunks: Chunks | None, store: Store | None) -> Chunks | None:
    """Return the chunks of the store if there is one, else `chunks`. Raises: StoreMismatch if the two differ."""
    if chunks is not None:
        check_chunks(chunks)
    recorded = chunks if store is None else store.chunks
    if store is not None and chunks not in (None, recorded):
        held = "whole documents" if recorded is None else f"chunks {recorded}"
        raise StoreMismatch(f"{store.path} holds {held}, not chunks {chunks}; leave chunks= out, or index again")
    return recorded


def check_store(store: object) -> None:
    """Refuse what is no open store of this package. Raises: InputError."""
    check_kind(store, "store", Store, "an open store: lateint.open_store(path)")


def check_choices(top_k: int | None, missing: Missing) -> None:
    """Check the arguments that choose among hits and candidates. Raises: InputError."""
    if top_k is not None:
        as_count(top_k, "top_k")
    check_choice(missing, "missing", "error", "skip", "encode")


def read_candidates(
    doc_ids: Iterable[str] | None, documents: Iterable[Document | str] | None, missing: Missing
) -> tuple[list[str], list[Document]]:
    """Return the ids of all candidates, and the documents that are given as texts. Raises: InputError."""
    if doc_ids is None and documents is None:
        raise InputError("no candidates: give doc_ids, ids of the store, or documents, their texts")
    texts = as_documents(documents)
    text_ids = [document.id for document in texts]
    refuse_repeats(text_ids)
    if doc_ids is None:
        return text_ids, texts
    ids = as_strings(doc_ids, "doc_ids")
    refuse_repeats(ids)
    if texts and missing != "encode":
        raise InputError(
            f"missing={missing!r} would use none of the {len(texts)} documents=; to encode those that the store lacks, pass "
            "missing='encode' and all candidates in doc_ids, else leave documents= out"
        )
    return ids, texts


def refuse_repeats(ids: Sequence[str]) -> None:
    """Refuse a candidate that is given twice: it would come back twice. Raises: InputError."""
    if len(set(ids)) != len(ids):
        repeated = next(doc_id for doc_id, times in Counter(ids).items() if times > 1)
        raise InputError(f"candidate {repeated!r} is given twice; expected each id once")
