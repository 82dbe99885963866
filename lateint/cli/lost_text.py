"""Says how many texts a model did not read to their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lateint.cli.printing import echo

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.methods.method import Layout
    from lateint.model.document import Document
    from lateint.model.model import Model


class CutCounter:
    """Counts texts of one side of a model, and those that were cut.

    Args: `model`; `side`, "query" or "document"; `noun`, the word for the texts in the message; `chunks`, how documents are
    cut, None for whole ones.
    """

    def __init__(self, model: Model, side: str, noun: str, chunks: Chunks | None = None) -> None:
        self.model, self.noun, self.chunks = model, noun, chunks
        self.layout: Layout = model.method.query if side == "query" else model.method.document
        self.option = "--query-max-length" if side == "query" else "--doc-max-length"
        self.seen = self.cut = 0

    def count(self, seen: int, cut: int) -> None:
        """Count texts that another part has tokenised."""
        self.seen += seen
        self.cut += cut

    def add(self, texts: Sequence[str]) -> None:
        """Count texts. Cost: tokenises them."""
        self.count(len(texts), sum(self.model.texts.tokenise(texts, self.layout).cut))

    def add_documents(self, documents: Sequence[Document]) -> None:
        """Count documents, whole or in chunks. Cost: tokenises them, unless they are in chunks without a limit."""
        from lateint.indexing.chunks import cut

        if self.chunks is None:
            self.add([document.full_text for document in documents])
        else:
            self.count(len(documents), 0 if self.chunks.limit is None else cut(self.chunks, self.model, documents).cut)

    def report(self) -> None:
        """Print a line if any text was cut."""
        if self.cut:
            echo(f"{self.cut} {self.noun} ({100 * self.cut / self.seen:.1f} %) were cut {self._where()}", err=True)

    def _where(self) -> str:
        if self.chunks is not None and self.chunks.limit is not None:
            return f"after {self.chunks.limit} chunks (--max-chunks)"
        return f"at {self.layout.max_length} tokens ({self.option})"
