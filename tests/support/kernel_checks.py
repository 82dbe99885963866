"""Kernels as they are compiled, and as plain Python that checks every index."""

from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np

from lateint_store.kernels import dispatch as loading

COUNTS = np.array([3, 0, 1, 40, 0, 0, 7, 1, 0])
"""Rows of documents: empty ones between others and at the end, single rows, more blocks than are looked up together."""


@contextmanager
def kernels(used):
    """Use them whatever the work, or never."""
    with mock.patch.object(loading, "pays", lambda saved: used):
        yield


@contextmanager
def checked(*modules):
    """Run the kernels of these modules as Python: an index beyond an array raises, where machine code would not notice."""
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
    """An array that has no places below 0."""

    def __getitem__(self, key):
        refuse_negative(key)
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        refuse_negative(key)
        super().__setitem__(key, value)


def refuse_negative(key):
    for one in key if isinstance(key, tuple) else (key,):
        if isinstance(one, int | np.integer) and one < 0:
            raise IndexError(f"place {one}")


def assert_same(found, expected):
    """Equal to the bit: zeros have signs."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.flags.c_contiguous and found.tobytes() == expected.tobytes()
