"""`Document`: a text to rank, with its id and title."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lateint.errors import InputError
from lateint_store.arguments import as_list, check_text, shown


@dataclass(frozen=True, slots=True)
class Document:
    """A text to rank. A title is put before the text, with one space between."""

    id: str
    text: str
    title: str = ""

    @property
    def full_text(self) -> str:
        """The text that the encoder reads. Raises: InputError for a text or title that is no str."""
        self.check_texts(f"document {self.id!r}")
        return f"{self.title} {self.text}".strip() if self.title else self.text

    def check_texts(self, name: str) -> None:
        """Refuse a text or title that is no str: it would be formatted as a word, such as "nan". Raises: InputError."""
        check_text(self.text, f"the text of {name}")
        check_text(self.title, f"the title of {name}")


def as_document(document: Document | str, index: int, name: str = "documents") -> Document:
    """Return one item of an argument as a document; the id of a str is its index. Raises: InputError naming the item."""
    if isinstance(document, str):
        return Document(str(index), document)
    if not isinstance(document, Document):
        raise InputError(f"document {index} of {name} is {shown(document)}; expected a str or a lateint.Document")
    if not isinstance(document.id, str):
        raise InputError(f"document {index} of {name} has the id {document.id!r}, a {type(document.id).__name__}; expected str")
    document.check_texts(f"document {index} of {name} (id {document.id!r})")
    return document


def as_documents(documents: Iterable[Document | str] | None, name: str = "documents") -> list[Document]:
    """Read an argument of texts and documents once. Raises: InputError naming the item that is neither."""
    if documents is None:
        return []
    given = as_list(documents, name, "texts or Documents")
    return [as_document(document, index, name) for index, document in enumerate(given)]
