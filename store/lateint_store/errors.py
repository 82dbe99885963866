"""All errors that lateint raises on purpose, in one tree.

LateintError                     exit code 1
├── InputError (ValueError)      an invalid argument, document or line
│   ├── FormatError              a malformed line; names file and line number
│   ├── SpecError                codecs that do not fit each other or the array
│   └── DuplicateDocument        an id that exists already
├── MissingDocument (KeyError)   an id that the store or the corpus does not hold
├── StoreError                   an operation that the store cannot do
│   ├── StoreNotFound            (FileNotFoundError) no store at this path
│   ├── StoreLocked              it is open for writing, in another process or in this one
│   ├── SealedStore              a sealed store cannot change
│   ├── StoreFull                (OSError) no space left, on disk or in the map
│   ├── CodecError               bytes that the codec did not write; a store adds the location and raises DamagedStore
│   ├── DamagedStore             bytes differ from what was written
│   │   └── DamagedPublication   objects of a published store are missing, or differ from what was published
│   └── RemoteError              object storage refused a request
│       ├── RemoteDenied         credentials or rights are missing
│       └── RemoteUnreachable    it cannot be reached
├── StoreMismatch                exit code 3: store and model, or stores, do not belong together; a path holds another store now
├── ModelError                   a checkpoint that cannot be loaded or does not fit the method
│   └── DamagedCheckpoint        bytes of a checkpoint differ from what was written
├── TrainingError                a training run that diverged: its loss is not finite
├── ClusterError                 several machines: no answer, another token or version, work that fails on every one
└── MissingExtra (ImportError)   a missing optional dependency; names the pip command
"""


class LateintError(Exception):
    """Base of all errors raised on purpose. `exit_code`: exit code of the command line."""

    exit_code = 1

    def __str__(self) -> str:
        """The message without the quotes that KeyError would add."""
        return str(self.args[0]) if self.args else type(self).__name__


class InputError(LateintError, ValueError):
    """An invalid argument, document or line."""


class FormatError(InputError):
    """A malformed line of an input file; the message names file and line number."""

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(f"{source}, line {line}: {reason}")
        self.source, self.line, self.reason = source, line, reason


class SpecError(InputError):
    """Codecs that do not fit each other or the array."""


class DuplicateDocument(InputError):
    """A document id that exists already."""


class MissingDocument(LateintError, KeyError):
    """A document id that does not exist."""


class StoreError(LateintError):
    """An operation that the store cannot do."""


class StoreNotFound(StoreError, FileNotFoundError):
    """No store at this path."""


class StoreLocked(StoreError):
    """The store is open for writing, in another process or in this one."""


class SealedStore(StoreError):
    """A sealed store cannot change."""


class StoreFull(StoreError, OSError):
    """No space left, on disk or in the map; what was committed is intact."""


class CodecError(StoreError):
    """Encoded bytes that the codec did not write: truncated, altered, or of another length than the record states."""


class DamagedStore(StoreError):
    """Bytes of a store differ from what was written.

    Attributes give the location as far as it is known: `store` path, `shard` number, `ordinal` and `doc_id`.
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
        super().__init__(f"damaged store {store}{where}: {reason}; run `lateint store verify {store}` to list all damage")
        self.store, self.reason, self.shard, self.ordinal, self.doc_id = store, reason, shard, ordinal, doc_id


class DamagedPublication(DamagedStore):
    """Objects of a published store are missing, or differ from what was published. `store`: its URL."""

    def __init__(self, url: str, reason: str) -> None:
        StoreError.__init__(
            self,
            f"damaged publication {url}: {reason}; delete the damaged object and publish the store again from an intact copy: "
            f"`lateint store publish STORE {url}` uploads what is missing",
        )
        self.store, self.reason, self.shard, self.ordinal, self.doc_id = url, reason, None, None, None


class RemoteError(StoreError):
    """Object storage refused a request; the message names the URL and the next step."""


class RemoteDenied(RemoteError):
    """Credentials or rights for object storage are missing."""


class RemoteUnreachable(RemoteError):
    """Object storage cannot be reached."""


class StoreMismatch(LateintError):
    """A store and a model that do not belong together: the message names both and both digests.

    Also: the folder of an open store holds another store now; stores of a set do not belong together.
    """

    exit_code = 3


class ModelError(LateintError):
    """A checkpoint that cannot be loaded, or does not fit the method."""


class DamagedCheckpoint(ModelError):
    """Bytes of a checkpoint differ from what was written."""


class TrainingError(LateintError):
    """A training run diverged: its loss is not finite."""


class ClusterError(LateintError):
    """Several machines do not work together: no answer, another token or version, or work that fails on each of them."""


class MissingExtra(LateintError, ImportError):
    """A missing optional dependency; the message has the pip command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'lateint[{extra}]'")
        self.package, self.extra = package, extra
