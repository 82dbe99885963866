"""Documents as callers give them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text to rank, with its id; a title is put before the text with one space."""

    id: str
    text: str
    title: str = ""

    @property
    def full_text(self) -> str:
        """What the encoder reads."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


def as_documents(documents: Iterable[Document | str] | None) -> list[Document]:
    """Texts as documents; a str is given its place as id."""
    return [d if isinstance(d, Document) else Document(str(i), d) for i, d in enumerate(documents or ())]
