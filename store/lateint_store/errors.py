"""Every error that lateint raises on purpose, in one tree.

LateintError                     exit code 1
├── InputError (ValueError)      an argument, a document or a line is not what it must be
│   ├── FormatError              a malformed line; names file and line number
│   ├── SpecError                codecs that do not fit each other or the array
│   └── DuplicateDocument        an id that is already there
├── MissingDocument (KeyError)   an id that the store or the corpus does not hold
├── StoreError                   a store cannot do what was asked
│   ├── StoreNotFound            (FileNotFoundError) no store at this path
│   ├── StoreLocked              another writer is at work
│   ├── SealedStore              a sealed store does not change
│   ├── StoreFull                (OSError) no space left, on disk or in the map
│   ├── CodecError               bytes that a codec did not write; a store adds the place and raises DamagedStore
│   └── DamagedStore             bytes are not what was written
├── StoreMismatch                exit code 3: store and model do not belong together
├── ModelError                   a checkpoint cannot be loaded or does not fit the method
│   └── DamagedCheckpoint        bytes of a checkpoint are not what was written
├── TrainingError                a training run diverged: its loss is not finite
└── MissingExtra (ImportError)   an optional dependency is absent; names the pip line
"""


class LateintError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1

    def __str__(self) -> str:
        """The plain message (a KeyError would quote it)."""
        return str(self.args[0]) if self.args else type(self).__name__


class InputError(LateintError, ValueError):
    """An argument, a document or a line is not what it must be."""


class FormatError(InputError):
    """A malformed line of an input file; the message names file and line number."""

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(f"{source}, line {line}: {reason}")
        self.source, self.line, self.reason = source, line, reason


class SpecError(InputError):
    """Codecs that do not fit each other or the array that they are given."""


class DuplicateDocument(InputError):
    """A document id that is already there."""


class MissingDocument(LateintError, KeyError):
    """A document id that is not there."""


class StoreError(LateintError):
    """A store cannot do what was asked."""


class StoreNotFound(StoreError, FileNotFoundError):
    """No store at this path."""


class StoreLocked(StoreError):
    """Another writer is at work on this store."""


class SealedStore(StoreError):
    """A sealed store does not change."""


class StoreFull(StoreError, OSError):
    """No space is left, on disk or in the map; what was committed is intact."""


class CodecError(StoreError):
    """Encoded bytes that the codec did not write: truncated, altered, or of another length than the record says."""


class DamagedStore(StoreError):
    """Bytes of a store are not what was written.

    Attributes name the place as far as it is known: `store` path, `shard` number, `ordinal` and `doc_id`.
    """

    def __init__(
        self,
        store: str,
        reason: str,
        *,
        shard: int | None = None,
        ordinal: int | None = None,
        doc_id: str | None = None,
    ) -> None:
        places = (("shard", shard), ("ordinal", ordinal), ("document", None if doc_id is None else repr(doc_id)))
        where = "".join(f", {name} {value}" for name, value in places if value is not None)
        super().__init__(f"damaged store {store}{where}: {reason}; run `lateint store verify {store}` for the whole list")
        self.store, self.reason, self.shard, self.ordinal, self.doc_id = store, reason, shard, ordinal, doc_id


class StoreMismatch(LateintError):
    """A store and a model do not belong together; the message names both and both digests."""

    exit_code = 3


class ModelError(LateintError):
    """A checkpoint cannot be loaded, or does not fit the method."""


class DamagedCheckpoint(ModelError):
    """Bytes of a checkpoint are not what was written."""


class TrainingError(LateintError):
    """A training run diverged: its loss is not finite."""


class MissingExtra(LateintError, ImportError):
    """An optional dependency is absent; the message holds the pip line that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'lateint[{extra}]'")
        self.package, self.extra = package, extra
