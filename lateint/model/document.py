"""`Document`: a text to rank, with its id and title."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text to rank. A title is put before the text, with one space between."""

    id: str
    text: str
    title: str = ""

    @property
    def full_text(self) -> str:
        """The text that the encoder reads."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


def as_documents(documents: Iterable[Document | str] | None) -> list[Document]:
    """Turn texts into documents; the id of a str is its index."""
    return [d if isinstance(d, Document) else Document(str(i), d) for i, d in enumerate(documents or ())]
