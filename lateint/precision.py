"""Similarities in float32 also where the layers around them run in mixed precision: scores differ by less than its steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def in_float32(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run a function of tensors with autocast off: what it casts to float32 stays so."""

    @wraps(compute)
    def run(*given: Any, **named: Any) -> Tensor:
        kinds = {value.device.type for value in (*given, *named.values()) if isinstance(value, Tensor)}
        with torch.autocast(next(iter(kinds), "cpu"), enabled=False):
            return compute(*given, **named)

    return run
