"""Says how many texts a model did not read to their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lateint.cli.printing import echo

if TYPE_CHECKING:
    from lateint.methods.method import Layout
    from lateint.model.model import Model


class CutCounter:
    """Counts texts of one side of a model, and those that were cut.

    Args: `model`; `side`, "query" or "document"; `noun`, the word for the texts in the message.
    """

    def __init__(self, model: Model, side: str, noun: str) -> None:
        self.model, self.noun = model, noun
        self.layout: Layout = model.method.query if side == "query" else model.method.document
        self.option = "--query-max-length" if side == "query" else "--doc-max-length"
        self.seen = self.cut = 0

    def add(self, texts: Sequence[str]) -> None:
        """Count texts. Cost: tokenises them."""
        self.seen += len(texts)
        self.cut += sum(self.model.texts.tokenise(texts, self.layout).cut)

    def report(self) -> None:
        """Print a line if any text was cut."""
        if self.cut:
            where = f"at {self.layout.max_length} tokens ({self.option})"
            echo(f"{self.cut} {self.noun} ({100 * self.cut / self.seen:.1f} %) were cut {where}", err=True)
