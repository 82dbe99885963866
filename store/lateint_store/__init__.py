"""The store: compressed arrays of documents in sharded LMDB. No torch here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lateint_store.part import Part, part

if TYPE_CHECKING:
    from lateint_store.codec import known_codecs
    from lateint_store.entry import Entry
    from lateint_store.fetched import Fetched, Payloads
    from lateint_store.manifest import Manifest
    from lateint_store.merging import merge
    from lateint_store.opening import create_store, open_store
    from lateint_store.pipeline import Pipeline
    from lateint_store.ragged import Ragged
    from lateint_store.recoding import Loss, recode
    from lateint_store.spec import ArraySpec
    from lateint_store.state import Progress
    from lateint_store.store import Store
    from lateint_store.syntax import format_codecs, parse_codecs
    from lateint_store.verify import Problem, Report, verify_store

__all__ = [
    "ArraySpec",
    "Entry",
    "Fetched",
    "Loss",
    "Manifest",
    "Part",
    "Payloads",
    "Pipeline",
    "Problem",
    "Progress",
    "Ragged",
    "Report",
    "Store",
    "create_store",
    "format_codecs",
    "known_codecs",
    "merge",
    "open_store",
    "parse_codecs",
    "part",
    "recode",
    "verify_store",
]

_WHERE = {
    "ArraySpec": "spec",
    "Entry": "entry",
    "Fetched": "fetched",
    "Loss": "recoding",
    "Manifest": "manifest",
    "Payloads": "fetched",
    "Pipeline": "pipeline",
    "Problem": "verify",
    "Progress": "state",
    "Ragged": "ragged",
    "Report": "verify",
    "Store": "store",
    "create_store": "opening",
    "format_codecs": "syntax",
    "known_codecs": "codec",
    "merge": "merging",
    "open_store": "opening",
    "parse_codecs": "syntax",
    "recode": "recoding",
    "verify_store": "verify",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: the error tree alone, which every command needs, takes neither numpy nor lmdb."""
    if name not in _WHERE:
        raise AttributeError(f"module 'lateint_store' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lateint_store.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
