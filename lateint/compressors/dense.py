"""A dense layer with a bias and an activation, without a way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from lateint.compressors._validation import check_width
from lateint.compressors.base import Compressor
from lateint.errors import InputError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "none": torch.Tensor.contiguous}


class Dense(Compressor):
    """z = f(A x + a), where f is the `activation`: "tanh", "relu" or "none". Source: arXiv:2203.07687, Sec. 3 (Tanh).

    With "tanh" every number lies in (-1, 1). Cost: h·c multiply-adds per vector.
    """

    def __init__(self, states_width: int, *, width: int = 128, activation: Literal["tanh", "relu", "none"] = "tanh") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise InputError(f"activation={activation!r}; expected one of {', '.join(ACTIVATIONS)}")
        self.width, self.activation = check_width("dense", width), activation
        self.down = nn.Linear(states_width, width)

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states or vectors [..., h] to [..., c]."""
        return ACTIVATIONS[self.activation](self.down(states))


PART = Dense
