"""Options that several verbs share, and decorators that give a command its options as one value."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from lateint_store.arguments import parse_count

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.indexing.store import Store
    from lateint.model.model import Model

C = TypeVar("C", bound=Callable[..., object])

PRECISION = "What layers compute in: auto (default; bfloat16 for queries where it is faster), float32, bfloat16 or int8."
_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")

_CHUNKS = (
    click.option("--chunk-tokens", type=click.IntRange(min=1), metavar="N", help="Cut documents into chunks of N tokens."),
    click.option("--chunk-overlap", type=click.IntRange(min=0), metavar="M", help="Tokens that two chunks share. Default: 0."),
    click.option("--max-chunks", type=click.IntRange(min=1), metavar="K", help="Keep the first K chunks of a document."),
)
_MODEL = (
    click.option("--model", metavar="NAME", help="Checkpoint, folder or hub name. Default: the one that ships with lateint."),
    click.option("--method", metavar="NAME", help="Preset; see `lateint methods`."),
    click.option("--offline-layers", metavar="L", help="Layers that run per document: a number, or e.g. T/2, T-2."),
    click.option("--compressor", metavar="SPEC", help='Untrained compressor, e.g. "bottleneck:width=128"; or none.'),
    click.option("--query-max-length", type=click.IntRange(min=3), metavar="N", help="Longest query in tokens."),
    click.option("--doc-max-length", type=click.IntRange(min=3), metavar="N", help="Longest document in tokens."),
    click.option("--device", metavar="DEVICE", help="Device in torch's notation. Default: cpu."),
    click.option(
        "--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="Type of the weights. Default: float32."
    ),
    click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads of torch."),
    click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "int8"]), help=PRECISION),
)


class LoadingOptions(TypedDict):
    """What `load_model` and `recorded_model` both take."""

    device: str | None
    dtype: str | None
    threads: int | None
    precision: str | None


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model options of one call."""

    model: str | None
    method: str | None
    offline_layers: str | None
    compressor: str | None
    query_max_length: int | None
    doc_max_length: int | None
    device: str | None
    dtype: str | None
    threads: int | None
    precision: str | None

    def load(self) -> Model:
        """Load the named model; the default checkpoint if none is named."""
        from lateint.loading.load import load_model

        default = "default" if self.method is None else "all-MiniLM-L6-v2"
        return load_model(
            default if self.model is None else self.model,
            self.method,
            offline_layers=self.offline_layers,
            compressor=self.compressor,
            query_max_length=self.query_max_length,
            doc_max_length=self.doc_max_length,
            **self.loading(),
        )

    def loading(self) -> LoadingOptions:
        """How to load a model, whichever it is: arguments of `load_model` and `recorded_model`."""
        return {"device": self.device, "dtype": self.dtype, "threads": self.threads, "precision": self.precision}

    def load_for(self, store: Store) -> Model:
        """Load the model for a store: the model named here, else the one that the store records."""
        from lateint.indexing.store import recorded_model

        if self.model is not None or self.method is not None:
            return self.load()
        for name in ("offline_layers", "compressor", "query_max_length", "doc_max_length"):
            if getattr(self, name) is not None:
                option = "--" + name.replace("_", "-")
                raise click.UsageError(f"{option} belongs to --model or --method; a store records its own")
        model: Model = recorded_model(store, **self.loading())
        return model


@dataclass(frozen=True, slots=True)
class ChunkChoice:
    """The chunk options of one call."""

    chunk_tokens: int | None
    chunk_overlap: int | None
    max_chunks: int | None

    def make(self) -> Chunks | None:
        """The chunks of documents; None for whole documents. Raises: click.UsageError for options without --chunk-tokens."""
        from lateint.indexing.chunks import Chunks

        if self.chunk_tokens is not None:
            return Chunks(self.chunk_tokens, self.chunk_overlap or 0, self.max_chunks)
        for name in ("chunk_overlap", "max_chunks"):
            if getattr(self, name) is not None:
                raise click.UsageError(f"--{name.replace('_', '-')} belongs to --chunk-tokens")
        return None


def model_options(command: C) -> C:
    """Add the model options; the command gets them as one `choice`."""
    return add_options(_MODEL, gathered(ModelChoice, "choice")(command))


def chunk_options(command: C) -> C:
    """Add the chunk options; the command gets them as one `cutting`."""
    return add_options(_CHUNKS, gathered(ChunkChoice, "cutting")(command))


def gathered(kind: Callable[..., object], name: str) -> Callable[[C], C]:
    """Give a command the options named like the fields of the dataclass `kind` as one value, its argument `name`."""
    fields = list(signature(kind).parameters)

    def decorate(command: C) -> C:
        @wraps(command)
        def wrapped(**options: object) -> object:
            values = {field: options.pop(field) for field in fields}
            return command(**{name: kind(**values)}, **options)

        return wrapped  # type: ignore[return-value]

    return decorate


def add_options(options: tuple[Callable[[C], C], ...], command: C) -> C:
    """Add options to a command, shown in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def refuse_shared_streams(*paths: str | None) -> None:
    """Refuse a stream that is named twice, because it can be read once. Raises: click.UsageError."""
    from lateint_eval.formats.lines import is_stream

    stdin = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
    streams = [path for path in paths if path is not None and is_stream(path)]
    named = ["-" if path in stdin else path for path in streams]
    for path in named:
        if named.count(path) > 1:
            raise click.UsageError(f"{'standard input (-)' if path == '-' else path} can be read once")


def refuse_shared_outputs(**paths: str | None) -> None:
    """Refuse a file that two options would write, by name of the option: the second would replace the first.

    Raises: click.UsageError.
    """
    from lateint_eval.formats.lines import is_stream

    written: dict[str, str] = {}
    for option, path in paths.items():
        if path is None or (path not in _STDOUT and is_stream(path)):
            continue  # such as /dev/null
        target = "-" if path in _STDOUT else os.path.realpath(path)
        if (first := written.setdefault(target, option)) != option:
            named = " and ".join(f"--{name.replace('_', '-')}" for name in (first, option))
            raise click.UsageError(f"{named} write to one place, {path}; name two")


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Parse `i/n` into two numbers. Raises: click.BadParameter."""
    if text is None:
        return None
    first, slash, second = text.partition("/")
    number, of = parse_count(first), parse_count(second)
    if not slash or number is None or of is None or number >= of:
        raise click.BadParameter(f"{text!r}; expected i/n with 0 <= i < n, such as 0/4", param_hint="--shard")
    return number, of
