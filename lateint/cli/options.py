"""Options that several verbs share, and how a model is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lateint.model import Model

F = TypeVar("F", bound=Callable[..., Any])

_MODEL = (
    click.option("--model", metavar="NAME", help="A checkpoint, folder or hub name. Default: what ships with lateint."),
    click.option("--method", metavar="NAME", help="A preset; see `lateint methods`."),
    click.option("--offline-layers", metavar="L", help="Layers run per document: a number, or e.g. T/2, T-2."),
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
    query_max_length: int | None
    doc_max_length: int | None
    device: str | None
    dtype: str | None
    threads: int | None

    def load(self) -> Model:
        """Load the model; the default checkpoint if none is named."""
        from lateint.checkpoint import load_model

        name = self.model or ("default" if self.method is None else "all-MiniLM-L6-v2")
        return load_model(
            name,
            self.method,
            offline_layers=self.offline_layers,
            query_max_length=self.query_max_length,
            doc_max_length=self.doc_max_length,
            device=self.device,
            dtype=self.dtype,
            threads=self.threads,
        )

    def load_for(self, store: Any) -> Model:
        """Load the model that fills or filled a store: the one named here, else the one that the store records."""
        from lateint.store import recorded_model

        if self.model is not None or self.method is not None:
            return self.load()
        for name in ("offline_layers", "query_max_length", "doc_max_length"):
            if getattr(self, name) is not None:
                option = "--" + name.replace("_", "-")
                raise click.UsageError(f"{option} belongs to --model or --method; the model that the store records has its own")
        model: Model = recorded_model(store, device=self.device, dtype=self.dtype, threads=self.threads)
        return model


def model_options(command: F) -> F:
    """Add the model options; the command gets them as one `choice`."""

    def wrapped(**options: Any) -> Any:
        picked = {name: options.pop(name) for name in ModelChoice.__dataclass_fields__}
        return command(choice=ModelChoice(**picked), **options)

    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_MODEL):
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
