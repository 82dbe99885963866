"""The store: compressed arrays of documents in sharded LMDB. Needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lateint_store.part import Part, part

if TYPE_CHECKING:
    from lateint_store.codecs.codec import known_codecs
    from lateint_store.codecs.pipeline import Pipeline
    from lateint_store.codecs.syntax import format_codecs, parse_codecs
    from lateint_store.derive.merge import merge
    from lateint_store.derive.publish import create_set, extend_set
    from lateint_store.derive.recode import RecodingLoss as Loss
    from lateint_store.derive.recode import recode
    from lateint_store.derive.split import split
    from lateint_store.format.manifest import Manifest
    from lateint_store.format.set_manifest import owner_of
    from lateint_store.format.state import SourceProgress as Progress
    from lateint_store.opening import create_store, open_store
    from lateint_store.ragged import Payloads, Ragged
    from lateint_store.reading.fetch import Fetched
    from lateint_store.reading.verify import Problem, Report, verify_store
    from lateint_store.reading.view import View
    from lateint_store.remote.fetch import fetch_store
    from lateint_store.remote.publication import Publication
    from lateint_store.remote.publish import PublishResult, publish_store, read_publication
    from lateint_store.remote.publish_set import publish_set
    from lateint_store.spec import ArraySpec
    from lateint_store.store import Store, StoreSet
    from lateint_store.writing.entry import Entry

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
    "Publication",
    "PublishResult",
    "Ragged",
    "Report",
    "Store",
    "StoreSet",
    "View",
    "create_set",
    "create_store",
    "extend_set",
    "fetch_store",
    "format_codecs",
    "known_codecs",
    "merge",
    "open_store",
    "owner_of",
    "parse_codecs",
    "part",
    "publish_set",
    "publish_store",
    "read_publication",
    "recode",
    "split",
    "verify_store",
]

# Module of each public name, and after a colon the name of its class there if that is another.
_WHERE = {
    "ArraySpec": "spec",
    "Entry": "writing.entry",
    "Fetched": "reading.fetch",
    "Loss": "derive.recode:RecodingLoss",
    "Manifest": "format.manifest",
    "Payloads": "ragged",
    "Pipeline": "codecs.pipeline",
    "Problem": "reading.verify",
    "Progress": "format.state:SourceProgress",
    "Publication": "remote.publication",
    "PublishResult": "remote.publish",
    "Ragged": "ragged",
    "Report": "reading.verify",
    "Store": "store",
    "StoreSet": "store",
    "View": "reading.view",
    "create_set": "derive.publish",
    "create_store": "opening",
    "extend_set": "derive.publish",
    "fetch_store": "remote.fetch",
    "format_codecs": "codecs.syntax",
    "known_codecs": "codecs.codec",
    "merge": "derive.merge",
    "open_store": "opening",
    "owner_of": "format.set_manifest",
    "parse_codecs": "codecs.syntax",
    "publish_set": "remote.publish_set",
    "publish_store": "remote.publish",
    "read_publication": "remote.publish",
    "recode": "derive.recode",
    "split": "derive.split",
    "verify_store": "reading.verify",
}


def __getattr__(name: str) -> object:
    """Import public names on first use, so that the errors, which every command needs, load neither numpy nor lmdb."""
    if name not in _WHERE:
        raise AttributeError(f"module 'lateint_store' has no attribute {name!r}")
    module, _, defined_as = _WHERE[name].partition(":")
    return getattr(importlib.import_module(f"lateint_store.{module}"), defined_as or name)


def __dir__() -> list[str]:
    return sorted(__all__)
