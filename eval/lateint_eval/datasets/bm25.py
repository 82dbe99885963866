"""BM25 in memory, as a first stage, through the package bm25s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateint_store.errors import MissingExtra


class Bm25:
    """BM25 with Lucene's scoring (k1 0.9, b 0.4), English stop words and Snowball stemming.

    Args: `ids` and `texts` of the documents. Raises: MissingExtra without bm25s and PyStemmer.
    """

    def __init__(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        try:
            import bm25s
            import Stemmer
        except ImportError as error:
            raise MissingExtra("bm25s", "retrieve") from error
        self.ids = list(ids)
        self._tokenize = bm25s.tokenize
        self._stemmer = Stemmer.Stemmer("english")
        self._index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
        self._index.index(self._tokens(list(texts)), show_progress=False)

    def _tokens(self, texts: list[str]) -> Any:
        return self._tokenize(texts, stopwords="en", stemmer=self._stemmer, show_progress=False)

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """Return the best k documents with a score above zero, best first; equal scores in corpus order."""
        found, scores = self._index.retrieve(self._tokens([query]), k=min(k, len(self.ids)), show_progress=False)
        pairs = sorted(zip(found[0].tolist(), scores[0].tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        return [(self.ids[index], score) for index, score in pairs if score > 0]
