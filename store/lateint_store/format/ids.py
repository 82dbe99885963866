"""Ids of documents as the bytes that are stored."""

from __future__ import annotations

from collections.abc import Sequence

from lateint_store.errors import InputError
from lateint_store.format.block import MAX_ID_BYTES


def encode_id(doc_id: object) -> bytes:
    """An id as UTF-8; any string but the empty one, lone surrogates, and more than 65,535 bytes. No normalisation.

    Raises: InputError.
    """
    if not isinstance(doc_id, str):
        raise InputError(f"document id {doc_id!r} is of type {type(doc_id).__name__}, expected str")
    try:
        encoded = doc_id.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"document id {doc_id!r} holds a lone surrogate, which is no text") from error
    if not 1 <= len(encoded) <= MAX_ID_BYTES:
        shown = doc_id if len(doc_id) <= 40 else doc_id[:40] + "..."
        raise InputError(f"document id {shown!r} has {len(encoded)} bytes, expected 1 to {MAX_ID_BYTES}")
    return encoded


def encode_all(doc_ids: Sequence[str]) -> list[bytes]:
    """`encode_id` of many. Raises: InputError for the first that cannot be one."""
    try:
        encoded = list(map(str.encode, doc_ids))
        if all(1 <= size <= MAX_ID_BYTES for size in map(len, encoded)):
            return encoded
    except (TypeError, UnicodeEncodeError):
        pass
    return [encode_id(doc_id) for doc_id in doc_ids]  # which says what is wrong
