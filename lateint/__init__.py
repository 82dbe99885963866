"""Late-interaction ranking: the first layers of a transformer run once per document, the rest with the query.

>>> import lateint
>>> model = lateint.load_model()                                    # doctest: +SKIP
>>> store = lateint.build_store(model, documents, "my-store")       # doctest: +SKIP
>>> lateint.Ranker(model, store).rank("a question", ["id1", "id2"]) # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lateint.cascade import Cascade
    from lateint.checkpoint import load_model
    from lateint.chunks import Chunks
    from lateint.encode import build_store
    from lateint.errors import LateintError
    from lateint.method import Layout, Method, Stage
    from lateint.model import Document, Model
    from lateint.parts import Part, part
    from lateint.presets import PRESETS, preset
    from lateint.rank import Hit, Ranker, Ranking
    from lateint.retrieve import Retriever
    from lateint.store import Store, open_store
    from lateint.timing import Timing

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Cascade",
    "Chunks",
    "Document",
    "Hit",
    "LateintError",
    "Layout",
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

_WHERE = {
    "Cascade": "cascade",
    "LateintError": "errors",
    "Chunks": "chunks",
    "Document": "model",
    "Model": "model",
    "load_model": "checkpoint",
    "build_store": "encode",
    "Layout": "method",
    "Method": "method",
    "Stage": "method",
    "Part": "parts",
    "part": "parts",
    "PRESETS": "presets",
    "preset": "presets",
    "Hit": "rank",
    "Ranker": "rank",
    "Ranking": "rank",
    "Timing": "timing",
    "Retriever": "retrieve",
    "Store": "store",
    "open_store": "store",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: `import lateint` alone takes no torch."""
    if name not in _WHERE:
        raise AttributeError(f"module 'lateint' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lateint.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
