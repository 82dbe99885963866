"""Progress of a build: one line on stderr with documents/s, MB/s and time left, or the caller's own callable."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lateint.errors import InputError
from lateint_store.arguments import shown


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """State of a build after one window.

    `position`: source documents read so far; `documents`, `tokens`, `cut`: of this window, the documents read, their
    tokens, and how many documents were truncated; `bytes_written`: size of the store. In a window of another shard, zero
    documents are read. `again`: documents of this window that the store held already, in a last window that was shorter.
    """

    position: int
    documents: int
    tokens: int
    cut: int
    bytes_written: int
    again: int = 0


Reporter = Callable[[BuildProgress], None]
ProgressLike = bool | Reporter | None


def check_progress(wanted: object) -> None:
    """Refuse what is neither a bool nor a callable. Raises: InputError."""
    if wanted is not None and not isinstance(wanted, bool) and not callable(wanted):
        raise InputError(f"progress is {shown(wanted)}; expected True, None, or a callable that takes a BuildProgress")


@contextlib.contextmanager
def reporter(wanted: ProgressLike, total: int | None) -> Iterator[Reporter]:
    """Give the callable for the progress of each window; with `total` documents it shows the time left."""
    if callable(wanted):
        yield wanted
    elif wanted:
        with _bar(total) as report:
            yield report
    else:
        yield lambda _: None


@contextlib.contextmanager
def _bar(total: int | None) -> Iterator[Reporter]:
    from tqdm import tqdm

    started = time.monotonic()
    seen = cut = 0
    first_bytes: int | None = None
    with tqdm(total=total, unit=" documents", file=sys.stderr, mininterval=1.0, dynamic_ncols=True) as bar:

        def report(now: BuildProgress) -> None:
            nonlocal seen, cut, first_bytes
            first_bytes = now.bytes_written if first_bytes is None else first_bytes
            seen, cut = seen + now.documents, cut + now.cut
            speed = (now.bytes_written - first_bytes) / 1e6 / max(1e-9, time.monotonic() - started)
            bar.set_postfix_str(f"{speed:.1f} MB/s, {100 * cut / max(1, seen):.1f} % cut", refresh=False)
            bar.update(now.position - bar.n)

        yield report
