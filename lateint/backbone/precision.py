"""Similarities in float32 under mixed precision: scores of candidates can differ by less than bfloat16 resolves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_float32(compute: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function of tensors to run with autocast disabled: tensors that it casts to float32 stay float32."""

    @wraps(compute)
    def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        devices = {value.device.type for value in (*arguments, *named.values()) if isinstance(value, Tensor)}
        with torch.autocast(next(iter(devices), "cpu"), enabled=False):
            return compute(*arguments, **named)

    return run


def way_out(dtype: torch.dtype) -> str:
    """Name what helps where a model of this dtype gives numbers that are not finite."""
    if dtype in (torch.float32, torch.float64):
        return "replace its damaged weights, or, if stored numbers are the cause, index again"
    return "load it with dtype='float32', or replace its damaged weights"
