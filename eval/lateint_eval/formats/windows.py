"""Where the windows of a corpus begin in its file, so that a reader of some of them reads nothing else."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lateint_eval.formats.archives import HEAD
from lateint_eval.formats.beir import beir_file
from lateint_eval.formats.blocks import BlockReader
from lateint_eval.formats.compression import Buffered, compression
from lateint_eval.formats.corpora import PARSERS, layout_of
from lateint_eval.formats.irds import is_irds
from lateint_eval.formats.lines import can_reread, is_folder, numbered, open_plain, source_name, stripped
from lateint_eval.formats.records import Doc
from lateint_store.errors import InputError

_SKIP = 1 << 20  # bytes at a time
WAY_OUT = "write it in blocks first: lateint corpus split {} --output corpus.jsonl.zst"


@dataclass(frozen=True, slots=True)
class WindowStart:
    """Where a window begins: `offset` of a line, or of a compressed block, in the file; plain bytes to `skip`; line number."""

    offset: int
    skip: int
    line: int


def seekable_file(path: str | Path) -> Path:
    """Return the file of a corpus that can be read at a place. Raises: InputError for `irds:`, `-`, pipes and devices."""
    if is_irds(path) or not can_reread(path):
        reason = f"{source_name(path)} cannot be read from a place within it; {WAY_OUT.format(path)}"
        raise InputError(reason)
    return Path(beir_file(path, "corpus.jsonl") if is_folder(path) else path)


def corpus_windows(path: str | Path, size: int) -> Iterator[tuple[str, WindowStart, list[Doc]]]:
    """Yield the layout, the start and the documents of each window of `size` documents (the last may be shorter).

    Reads plain files, and compressed ones that consist of several blocks. Raises: as `read_corpus`; InputError at the end for
    a file that is compressed as one block.
    """
    file = seekable_file(path)
    layout, start, batch = "", WindowStart(0, 0, 1), list[Doc]()
    with _opened(file) as (stream, blocks), _read_errors(file):
        place = 0
        for number, raw in numbered(stream, str(file)):
            at, place = place, place + len(raw)
            if not (line := stripped(number, raw)):
                continue
            layout = layout or layout_of(file, line)
            if len(batch) == size:
                yield layout, start, batch
                batch = []
            if not batch:
                start = WindowStart(*((at, 0) if blocks is None else blocks.place_of(at)), number)
            batch.append(PARSERS[layout](line, str(file), number))
        if blocks is not None and blocks.blocks == 1 and start.line > 1:
            raise InputError(f"{file} is compressed as one block, so its windows cannot be found; {WAY_OUT.format(path)}")
    if not batch:
        raise InputError(f"{file} holds no document; expected at least one")
    yield layout, start, batch


def read_window(file: Path, layout: str, start: WindowStart, size: int) -> list[Doc]:
    """Read the documents of one window; fewer if the file ends. Raises: as `read_corpus`."""
    found: list[Doc] = []
    with _opened(file, start.offset) as (stream, _), _read_errors(file):
        left = start.skip
        while left and (skipped := len(stream.read(min(left, _SKIP)))):
            left -= skipped
        for number, raw in numbered(stream, str(file), start.line):
            if line := stripped(number, raw):
                found.append(PARSERS[layout](line, str(file), number))
                if len(found) == size:
                    break
    return found


@contextmanager
def _opened(file: Path, offset: int = 0) -> Iterator[tuple[Buffered, BlockReader | None]]:
    """Open a file at the offset of a line or a block; the second value is None for plain text."""
    with open_plain(file) as raw:
        suffix = compression(raw.read(HEAD), file, str(file))
        raw.seek(offset)
        if suffix is None:
            yield raw, None
        else:
            blocks = BlockReader(raw, suffix)
            yield io.BufferedReader(blocks), blocks


@contextmanager
def _read_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot read further: {error}; is the file cut short?") from error
