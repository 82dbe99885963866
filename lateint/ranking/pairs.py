"""Arguments and results of the calls that follow sentence-transformers' CrossEncoder: pairs, activations, conversions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypedDict, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lateint.errors import InputError
from lateint.model.activation import Activation, find_activation
from lateint.model.model import Model
from lateint_store.arguments import as_count, as_list, check_text, shown

TextPair = tuple[str, str]


class CrossEncoderOptions(TypedDict, total=False):
    """Further keyword arguments of CrossEncoder's `predict` and `rank`.

    Without effect: `num_workers`, `chunk_size`. Refused if set, because ignoring them would change results or promises:
    `apply_softmax` (over one label it is 1 for every pair), `prompt`, `prompt_name`, `device`, `pool`.
    """

    num_workers: int
    chunk_size: int | None
    apply_softmax: bool | None
    prompt: str | None
    prompt_name: str | None
    device: object
    pool: object


_REFUSED = {
    "apply_softmax": "a pair has one score, whose softmax is 1",
    "prompt": "put it before the query yourself",
    "prompt_name": "put the prompt before the query yourself",
    "device": "load the model with device=",
    "pool": "pickle the ranker to your own processes",
}


def check_options(options: CrossEncoderOptions) -> None:
    """Refuse options that cannot be honoured. Raises: InputError; TypeError for an unknown one."""
    for name, value in options.items():
        if name not in CrossEncoderOptions.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
        if value and name in _REFUSED:
            raise InputError(f"{name}={value!r} is not supported: {_REFUSED[name]}")


def as_pairs(pairs: Iterable[Sequence[str]], name: str = "pairs") -> list[TextPair]:
    """Read (query, text) pairs once, by position. Raises: InputError naming the pair that is none."""
    return [_pair(row, f"{name}[{index}]") for index, row in enumerate(as_list(pairs, name, "(query, text) pairs", table=True))]


def is_single(pairs: object) -> bool:
    """True for one pair of two texts in place of a list of pairs."""
    return _is_ordered(pairs) and len(pairs) == 2 and isinstance(pairs[0], str)


def _is_ordered(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _pair(row: Iterable[str], name: str) -> TextPair:
    values = list(row) if _is_ordered(row) else []
    if len(values) != 2:
        raise InputError(f"{name} is {shown(row)}; expected a pair (query, text)")
    for side, value in zip(("query", "text"), values, strict=True):
        check_text(value, f"the {side} of {name}")
    return values[0], values[1]


def group_by_query(pairs: Sequence[TextPair], of_text: Sequence[list[int]]) -> dict[str, dict[int, list[int]]]:
    """Return for each query its texts, by number, and the indices of the pairs of both.

    `of_text`: the indices of all pairs of each text. A pair that is given several times is there once, with its indices.
    """
    places: dict[str, dict[int, list[int]]] = {}
    for number, indices in enumerate(of_text):
        for index in indices:
            places.setdefault(pairs[index][0], {}).setdefault(number, []).append(index)
    return places


@contextlib.contextmanager
def progress_bar(total: int | None) -> Iterator[Callable[[int], object]]:
    """Give the callable that counts texts on stderr; None for a total counts silently."""
    if total is None:
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=" texts", file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar.update


def activate(model: Model, logits: NDArray[np.float32], activation_fn: Activation | None) -> Tensor:
    """Apply an activation to logits, by default the model's own: float32 [n].

    Raises: InputError for what is no function, or does not return one score per logit.
    """
    activation = find_activation(model.activation) if activation_fn is None else activation_fn
    if not callable(activation):
        raise InputError(f"activation_fn is {shown(activation)}; expected a function of a tensor, such as torch.sigmoid")
    with torch.no_grad():
        try:
            scores = torch.as_tensor(activation(torch.from_numpy(logits)), device="cpu")
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"activation_fn={activation!r} cannot be applied to logits: {error}") from error
    if scores.shape != logits.shape:
        raise InputError(f"activation_fn returns shape {tuple(scores.shape)} for logits {logits.shape}; expected the same")
    return scores


def split_positional(activation_fn: Activation | int | None, batch_size: int) -> Activation | None:
    """Return the activation; a whole number in its place is the batch size, as in earlier CrossEncoders.

    Batches are sized by tokens, so a batch size is only checked. Raises: InputError.
    """
    if isinstance(activation_fn, int):
        as_count(activation_fn, "batch_size")
        return None
    as_count(batch_size, "batch_size")
    return activation_fn
