"""The store: compressed arrays of documents in sharded LMDB. No torch here."""

from lateint_store.codec import known_codecs
from lateint_store.entry import Entry
from lateint_store.fetched import Fetched
from lateint_store.manifest import Manifest
from lateint_store.merge import merge
from lateint_store.opening import create_store, open_store
from lateint_store.part import Part, part
from lateint_store.pipeline import Pipeline
from lateint_store.ragged import Ragged
from lateint_store.spec import ArraySpec
from lateint_store.state import Progress
from lateint_store.store import Store
from lateint_store.syntax import format_codecs, parse_codecs
from lateint_store.verify import Problem, Report, verify_store

__all__ = [
    "ArraySpec",
    "Entry",
    "Fetched",
    "Manifest",
    "Part",
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
    "verify_store",
]
