"""Similarities in float32 also where the layers around them run in mixed precision: scores differ by less than its steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Given = ParamSpec("Given")
Found = TypeVar("Found")


def in_float32(compute: Callable[Given, Found]) -> Callable[Given, Found]:
    """Run a function of tensors with autocast off: what it casts to float32 stays so."""

    @wraps(compute)
    def run(*given: Given.args, **named: Given.kwargs) -> Found:
        kinds = {value.device.type for value in (*given, *named.values()) if isinstance(value, Tensor)}
        with torch.autocast(next(iter(kinds), "cpu"), enabled=False):
            return compute(*given, **named)

    return run
