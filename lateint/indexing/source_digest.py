"""The running digest of documents from a source or a list: it tells whether they are those that a store has committed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lateint_store.format.state import AddProgress

if TYPE_CHECKING:
    from lateint.model.document import Document

_FORM = ":documents"  # end of a digest that chains documents; in earlier versions digests chained windows


@dataclass(frozen=True, slots=True)
class SourceDigest:
    """A digest of ids, titles and texts, chained document by document. `former`: window by window, as earlier versions did."""

    value: str = ""
    former: bool = False

    def extended(self, documents: Sequence[Document]) -> SourceDigest:
        """The digest after more documents; in the former form, those of one window."""
        if self.former:
            return SourceDigest(_digest(self.value.encode(), documents).hex(), former=True)
        value = bytes.fromhex(self.value.removesuffix(_FORM))
        for document in documents:
            value = _digest(value, (document,))
        return SourceDigest(value.hex() + _FORM) if documents else self


def is_former(value: str) -> bool:
    """True for a recorded digest that chains windows."""
    return bool(value) and not value.endswith(_FORM)


def committed(texts: Sequence[Document], note: bytes | None) -> int:
    """The number of documents at the start of a list that an interrupted `add` of the same list has committed."""
    recorded = None if note is None else AddProgress.from_bytes(note)
    if recorded is None or not 0 <= recorded.documents <= len(texts):
        return 0
    same = SourceDigest().extended(texts[: recorded.documents]).value == recorded.digest
    return recorded.documents if same else 0


def _digest(before: bytes, documents: Iterable[Document]) -> bytes:
    state = hashlib.blake2b(before, digest_size=16)
    for document in documents:
        for field in (document.id, document.title, document.text):
            data = str(field).encode(errors="surrogatepass")
            state.update(len(data).to_bytes(8, "little") + data)
    return state.digest()
