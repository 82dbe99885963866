"""Re-export of the error classes, which are defined in `lateint_store.errors`."""

from lateint_store.errors import (
    DamagedCheckpoint,
    DamagedStore,
    DuplicateDocument,
    FormatError,
    InputError,
    LateintError,
    MissingDocument,
    MissingExtra,
    ModelError,
    SealedStore,
    SpecError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMismatch,
    StoreNotFound,
)

__all__ = [
    "DamagedCheckpoint",
    "DamagedStore",
    "DuplicateDocument",
    "FormatError",
    "InputError",
    "LateintError",
    "MissingDocument",
    "MissingExtra",
    "ModelError",
    "SealedStore",
    "SpecError",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreMismatch",
    "StoreNotFound",
]
