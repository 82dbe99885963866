"""Late-interaction ranking: the first transformer layers run once per document, the others with the query.

>>> import lateint
>>> model = lateint.load_model()                                    # doctest: +SKIP
>>> with lateint.build_store(model, documents, "my-store") as store: # doctest: +SKIP
...     lateint.Ranker(model, store).rank("a question", ["id1", "id2"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lateint.errors import LateintError
    from lateint.indexing.build import build_store
    from lateint.indexing.chunks import Chunks
    from lateint.indexing.store import Store, open_store
    from lateint.loading.load import load_model
    from lateint.methods.method import Layout, Method, Stage
    from lateint.methods.presets import PRESETS, preset
    from lateint.methods.registry import Part, part
    from lateint.model.document import Document
    from lateint.model.model import Model
    from lateint.ranking.cascade import Cascade
    from lateint.ranking.ranker import Ranker
    from lateint.results import Explanation, Hit, Match, Ranking, Timing
    from lateint.retrieval.retriever import Retriever

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Cascade",
    "Chunks",
    "Document",
    "Explanation",
    "Hit",
    "LateintError",
    "Layout",
    "Match",
    "Method",
    "Model",
    "Part",
    "Ranker",
    "Ranking",
    "Retriever",
    "Stage",
    "Store",
    "Timing",
    "build_store",
    "load_model",
    "open_store",
    "part",
    "preset",
]

_MODULES = {
    "Cascade": "ranking.cascade",
    "Chunks": "indexing.chunks",
    "Document": "model.document",
    "Explanation": "results",
    "Hit": "results",
    "LateintError": "errors",
    "Layout": "methods.method",
    "Match": "results",
    "Method": "methods.method",
    "Model": "model.model",
    "PRESETS": "methods.presets",
    "Part": "methods.registry",
    "Ranker": "ranking.ranker",
    "Ranking": "results",
    "Retriever": "retrieval.retriever",
    "Stage": "methods.method",
    "Store": "indexing.store",
    "Timing": "results",
    "build_store": "indexing.build",
    "load_model": "loading.load",
    "open_store": "indexing.store",
    "part": "methods.registry",
    "preset": "methods.presets",
}


def __getattr__(name: str) -> object:
    """Import public names on first use, so that `import lateint` does not import torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'lateint' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lateint.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
