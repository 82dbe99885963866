"""Run kernels compiled, or as plain Python that checks every index."""

from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np

from lateint_store.kernels import dispatch

COUNTS = np.array([3, 0, 1, 40, 0, 0, 7, 1, 0])
"""Rows of documents: empty ones in the middle and at the end, single rows, more blocks than one tile of look-ups."""


@contextmanager
def kernels(used):
    """Use kernels for all work, however small, or for none."""
    with mock.patch.object(dispatch, "worth_compiling", lambda saved: used):
        yield


@contextmanager
def checked(*modules):
    """Run the kernels of these modules as Python: an index out of bounds raises, which machine code would not notice."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "compiled", plain))
        yield


def plain(kernel):
    return lambda *given: kernel(*map(watched, given))


def watched(given):
    if isinstance(given, tuple):
        return tuple(map(watched, given))
    return given.view(Checked) if isinstance(given, np.ndarray) else given


class Checked(np.ndarray):
    """An array that refuses negative indices."""

    def __getitem__(self, key):
        refuse_negative(key)
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        refuse_negative(key)
        super().__setitem__(key, value)


def refuse_negative(key):
    for index in key if isinstance(key, tuple) else (key,):
        if isinstance(index, int | np.integer) and index < 0:
            raise IndexError(f"index {index}")


def assert_same(found, expected):
    """Equal dtype, shape and bits; +0 and -0 differ."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.flags.c_contiguous and found.tobytes() == expected.tobytes()
