"""`Towers`: the encoders of a model in the precision that it computes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from lateint.backbone.base import Backbone
from lateint.backbone.reduced import Precision, fastest, reduced
from lateint.model.changes import Watched

Wanted = Precision | Literal["auto"]


def query_precision(wanted: Wanted, backbone: Backbone) -> Precision:
    """Return what the layers of a query compute in."""
    if wanted == "float32" or not _is_plain(backbone):
        return "float32"
    return fastest(backbone.width) if wanted == "auto" else wanted


def document_precision(wanted: Wanted, backbone: Backbone) -> Precision:
    """Return what the layers of a document compute in."""
    return "bfloat16" if wanted == "bfloat16" and _is_plain(backbone) else "float32"


def _is_plain(backbone: Backbone) -> bool:
    """True for float32 weights on a processor, which a lower precision can replace."""
    weight = backbone.word_embeddings
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


class Towers:
    """Encoders with layers in a lower precision, made when they are first used, and again once weights have changed.

    Safe to use from many threads: two that come at once make the same. A copy or a pickle of a model makes its own.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Backbone, Precision, int, Watched, Backbone]] = {}

    def get(self, backbone: Backbone, precision: Precision, depth: int) -> Backbone:
        """Return the encoder with its first `depth` layers in a precision. Cost: some microseconds, see `Watched`."""
        if precision == "float32":
            return backbone
        kept = self._kept.get(id(backbone))
        if kept is not None:
            original, made_in, layers, watched, made = kept
            if original is backbone and made_in == precision and layers >= depth and not watched.changed():
                return made
        watched = Watched([backbone.bare])  # before the copy: what changes during it is noticed by the next call
        made = reduced(backbone, precision, depth)
        self._kept[id(backbone)] = backbone, precision, depth, watched, made
        return made

    def __reduce__(self) -> tuple[Callable[[], Towers], tuple[()]]:
        """Leave copies of weights behind."""
        return Towers, ()
