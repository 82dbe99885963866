"""Encode document ids to the bytes that are stored."""

from __future__ import annotations

from collections.abc import Sequence

from lateint_store.errors import InputError
from lateint_store.format.block import MAX_ID_BYTES


def encode_id(doc_id: object) -> bytes:
    """Encode an id as UTF-8, without normalisation.

    Raises: InputError for an empty string, a lone surrogate, more than 65,535 bytes, or another type.
    """
    if not isinstance(doc_id, str):
        raise InputError(f"document id {doc_id!r} is of type {type(doc_id).__name__}, expected str")
    try:
        encoded = doc_id.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"document id {doc_id!r} holds a lone surrogate, which UTF-8 cannot encode") from error
    if not 1 <= len(encoded) <= MAX_ID_BYTES:
        shown = doc_id if len(doc_id) <= 40 else doc_id[:40] + "..."
        raise InputError(f"document id {shown!r} has {len(encoded)} bytes, expected 1 to {MAX_ID_BYTES}")
    return encoded


def encode_all(doc_ids: Sequence[str]) -> list[bytes]:
    """Encode many ids. Raises: InputError for the first impossible one."""
    try:
        encoded = list(map(str.encode, doc_ids))
        if all(1 <= size <= MAX_ID_BYTES for size in map(len, encoded)):
            return encoded
    except (TypeError, UnicodeEncodeError):
        pass
    return [encode_id(doc_id) for doc_id in doc_ids]  # raises, and says what is wrong
