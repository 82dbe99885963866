"""Weights and trainings that depend on a fixed seed alone, whatever the caller has set in torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_turn = threading.RLock()  # torch has one generator for all threads: two that draw at once get other numbers


def _renew_turn() -> None:
    """Let a forked child draw: the thread that had its turn in the parent does not exist here."""
    global _turn
    _turn = threading.RLock()


os.register_at_fork(after_in_child=_renew_turn)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random numbers on the CPU inside the block, under torch's own defaults; restore the caller's state after it.

    One thread at a time is inside. Numbers that the caller draws meanwhile in another thread still change those in here.
    `torch.manual_seed` would also seed accelerators, whose state is not restored.
    """
    with _turn, own_defaults(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def own_defaults() -> Iterator[None]:
    """Create tensors on the CPU in float32 inside the block, as torch does where the caller has not chosen otherwise.

    Under another default dtype the same seed gives other random numbers. The default dtype is one for all threads.
    """
    with ExitStack() as stack:
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if (dtype := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield
