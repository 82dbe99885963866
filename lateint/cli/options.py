"""Options that several verbs share, and how a model is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.model.model import Model

F = TypeVar("F", bound=Callable[..., Any])

_CHUNKS = (
    click.option("--chunk-tokens", type=click.IntRange(min=1), metavar="N", help="Cut documents into chunks of N tokens."),
    click.option("--chunk-overlap", type=click.IntRange(min=0), metavar="M", help="Tokens that two chunks share. Default: 0."),
    click.option("--max-chunks", type=click.IntRange(min=1), metavar="K", help="Keep the first K chunks of a document."),
)
_MODEL = (
    click.option("--model", metavar="NAME", help="A checkpoint, folder or hub name. Default: what ships with lateint."),
    click.option("--method", metavar="NAME", help="A preset; see `lateint methods`."),
    click.option("--offline-layers", metavar="L", help="Layers run per document: a number, or e.g. T/2, T-2."),
    click.option("--compressor", metavar="SPEC", help='Fresh, to be trained: e.g. "bottleneck:width=128"; or none.'),
    click.option("--query-max-length", type=click.IntRange(min=3), metavar="N", help="Longest query in tokens."),
    click.option("--doc-max-length", type=click.IntRange(min=3), metavar="N", help="Longest document in tokens."),
    click.option("--device", metavar="DEVICE", help="As torch spells it. Default: cpu."),
    click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="Default: float32."),
    click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads of torch."),
)


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

    def load(self) -> Model:
        """Load the model; the default checkpoint if none is named."""
        from lateint.loading.load import load_model

        name = self.model or ("default" if self.method is None else "all-MiniLM-L6-v2")
        return load_model(
            name,
            self.method,
            offline_layers=self.offline_layers,
            compressor=self.compressor,
            query_max_length=self.query_max_length,
            doc_max_length=self.doc_max_length,
            device=self.device,
            dtype=self.dtype,
            threads=self.threads,
        )

    def load_for(self, store: Any) -> Model:
        """Load the model that fills or filled a store: the one named here, else the one that the store records."""
        from lateint.indexing.store import recorded_model

        if self.model is not None or self.method is not None:
            return self.load()
        for name in ("offline_layers", "compressor", "query_max_length", "doc_max_length"):
            if getattr(self, name) is not None:
                option = "--" + name.replace("_", "-")
                raise click.UsageError(f"{option} belongs to --model or --method; the model that the store records has its own")
        model: Model = recorded_model(store, device=self.device, dtype=self.dtype, threads=self.threads)
        return model


@dataclass(frozen=True, slots=True)
class ChunkChoice:
    """The options of one call that say how documents are cut."""

    chunk_tokens: int | None
    chunk_overlap: int | None
    max_chunks: int | None

    def make(self) -> Chunks | None:
        """How documents are cut; None where they are not. Raises: click.UsageError for an overlap of nothing."""
        from lateint.indexing.chunks import Chunks

        if self.chunk_tokens is not None:
            return Chunks(self.chunk_tokens, self.chunk_overlap or 0, self.max_chunks)
        for name in ("chunk_overlap", "max_chunks"):
            if getattr(self, name) is not None:
                raise click.UsageError(f"--{name.replace('_', '-')} belongs to --chunk-tokens")
        return None


def model_options(command: F) -> F:
    """Add the model options; the command gets them as one `choice`."""
    return _grouped(command, _MODEL, ModelChoice, "choice")


def chunk_options(command: F) -> F:
    """Add the options that cut documents; the command gets them as one `cutting`."""
    return _grouped(command, _CHUNKS, ChunkChoice, "cutting")


def _grouped(command: F, options: tuple[Callable[[Any], Any], ...], kind: Any, name: str) -> F:
    """Add options of which the command gets one value."""

    def wrapped(**given: Any) -> Any:
        picked = {each: given.pop(each) for each in kind.__dataclass_fields__}
        return command(**{name: kind(**picked)}, **given)

    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """`i/n` as two numbers. Raises: click.BadParameter."""
    if text is None:
        return None
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise click.BadParameter(f"{text!r}; expected i/n with 0 <= i < n, such as 0/4", param_hint="--shard")
    return int(first), int(second)
