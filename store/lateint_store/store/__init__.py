"""An open store: a single one, or a set of several that opens as one."""

from lateint_store.store.store import Store
from lateint_store.store.store_set import StoreSet

__all__ = ["Store", "StoreSet"]
