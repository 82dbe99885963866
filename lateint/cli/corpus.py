"""Reads a corpus for the command line; `lateint corpus` plans its windows, or writes it in blocks that can be planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from lateint.cli.options import add_options, gathered

if TYPE_CHECKING:
    from lateint.indexing.windows import PlannedDocuments, Window, WindowPlan
    from lateint.model.document import Document
    from lateint_eval.formats.records import Doc

C = TypeVar("C", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "--corpus", required=True, metavar="FILE", help="MS MARCO TSV (passages or documents), BEIR, JSONL, irds:ID or -."
    ),
    click.option("--documents", type=click.IntRange(min=1), metavar="N", help="Number of documents that the corpus must have."),
    click.option("--allow-eof", is_flag=True, help="Take the end of a pipe for the end of the corpus, without --documents."),
)


class Corpus:
    """The documents of one call, read as a stream. A pipe is read once, and its end may be that of a failed command.

    Args: the options of the call: `corpus`, its path; `documents`, the number that it must have; `allow_eof`, True if a pipe
    may end.
    """

    def __init__(self, corpus: str, documents: int | None, allow_eof: bool) -> None:
        self.path, self.expected, self.allow_eof = corpus, documents, allow_eof
        self.read = 0  # documents that were read so far
        self._planned: PlannedDocuments | None = None

    @property
    def can_reread(self) -> bool:
        """True if the corpus can be read twice: not a pipe, and no device."""
        from lateint_eval.formats.irds import is_irds
        from lateint_eval.formats.lines import can_reread

        return is_irds(self.path) or can_reread(self.path)

    def open(self, plan: str | None = None) -> Iterable[Document]:
        """Read the first document, and return all, to be read once, or again if that is possible.

        `plan`: a file of `lateint corpus windows`; then they are read window by window.
        Raises: InputError for a path that holds no document, and for a plan that does not fit it.
        """
        if plan is not None:
            return self._plan(plan)
        documents = self._documents()
        whole = chain([next(documents)], documents)
        return _Rereadable(whole, self._documents) if self.can_reread else whole

    def _documents(self) -> Iterator[Document]:
        doubtful = not self.allow_eof and not self.can_reread
        for document in read_documents(self.path, whole=doubtful):
            self.read += 1
            yield document

    @property
    def window(self) -> int | None:
        """The number of documents of a planned window; None without a plan."""
        return None if self._planned is None else self._planned.plan.size

    def _plan(self, path: str) -> PlannedDocuments:
        """Return the documents of a corpus whose windows were planned in the file `path`, to be read window by window.

        Raises: InputError if the file is no plan, the corpus has another size, or --documents another number.
        """
        from lateint.indexing.windows import WindowPlan

        return self.planned(WindowPlan.load(path), path)

    def planned(self, plan: WindowPlan, path: str) -> PlannedDocuments:
        """Return the documents by a plan, which the file `path` has. Raises: as `open`."""
        from lateint.errors import InputError
        from lateint.indexing.windows import PlannedDocuments
        from lateint_eval.formats.windows import seekable_file

        file = seekable_file(self.path)
        if self.expected not in (None, plan.documents):
            raise InputError(f"{path} plans {plan.documents} documents; expected {self.expected} (--documents)")

        self.read = plan.documents
        self._planned = PlannedDocuments(plan, file, partial(read_planned, file, plan.layout))
        return self._planned

    @property
    def is_complete(self) -> bool:
        """True after the last document if the corpus has the expected number, or an end that can be trusted."""
        return self.read == self.expected if self.expected is not None else self.allow_eof or self.can_reread

    def check_end(self) -> None:
        """Check after the last document that the corpus is complete. Raises: InputError; what was stored is kept."""
        from lateint.errors import InputError
        from lateint_eval.formats.lines import source_name

        name = source_name(self.path)
        if self.is_complete:
            return
        if self.expected is not None:
            raise InputError(f"{name} has {self.read} documents; expected {self.expected} (--documents)")
        raise InputError(
            f"{name} ended after {self.read} documents, which are stored; a pipe also ends where its command fails: if it "
            "was complete, repeat this command with --allow-eof, or next time state the number with --documents"
        )

    def is_larger_than(self, number: int) -> bool:
        """True if the corpus has more documents; False if finding out would use them up."""
        if self._planned is not None:
            return len(self._planned) > number
        return self.can_reread and sum(1 for _ in islice(read_documents(self.path), number + 1)) > number

    def count(self) -> int | None:
        """Count the documents, to estimate the time left; None if a second pass is impossible or too slow."""
        if self._planned is not None:
            return len(self._planned)
        if self.expected is not None or not self.can_reread or self.path.startswith("irds:"):
            return self.expected
        return sum(1 for _ in read_documents(self.path))

    @contextmanager
    def explained_duplicates(self) -> Iterator[None]:
        """Name both lines of a repeated id in its error, by reading the corpus again where that is possible."""
        from lateint.errors import DuplicateDocument

        try:
            yield
        except DuplicateDocument as error:
            if self.can_reread and (message := _find_repeated(self.path)):
                raise DuplicateDocument(message) from error
            raise


class _Rereadable:
    """Documents whose first reader continues a stream that was begun; each later reader begins anew."""

    def __init__(self, begun: Iterator[Document], again: Callable[[], Iterator[Document]]) -> None:
        self._begun: Iterator[Document] | None = begun
        self._again = again

    def __iter__(self) -> Iterator[Document]:
        begun, self._begun = self._begun, None
        return self._again() if begun is None else begun


def corpus_options(command: C) -> C:
    """Add the options of a corpus; the command gets them as one `corpus`."""
    return add_options(_OPTIONS, gathered(Corpus, "corpus")(command))


def _find_repeated(path: str) -> str:
    """A message with the lines of the first repeated id; empty if there is none."""
    from lateint_eval.formats import read_corpus

    lines: dict[str, int] = {}
    for doc in read_corpus(path):
        if (first := lines.setdefault(doc.id, doc.line)) != doc.line:
            return f"{path}: id {doc.id!r} stands in line {first} and in line {doc.line}; expected each id once"
    return ""


def read_documents(path: str, *, whole: bool = False) -> Iterator[Document]:
    """Yield the documents of a corpus in any format; `whole` refuses a last line without a line end."""
    from lateint_eval.formats import read_corpus

    for doc in read_corpus(path, whole=whole):
        yield from as_documents([doc])


def as_documents(docs: Iterable[Doc]) -> list[Document]:
    """Return what the readers give as documents to encode."""
    from lateint.model.document import Document

    return [Document(doc.id, doc.text, doc.title) for doc in docs]


def read_planned(file: Path, layout: str, window: Window) -> list[Document]:
    """Read the documents of one planned window."""
    from lateint_eval.formats.windows import WindowStart, read_window

    start = WindowStart(window.offset, window.skip, window.line)
    return as_documents(read_window(file, layout, start, window.documents))


def make_plan(corpus: str, window: int) -> WindowPlan:
    """Read a corpus once to find its windows. Raises: InputError for one that cannot be read from a place within."""
    from lateint.indexing.windows import plan_windows
    from lateint_eval.formats.windows import corpus_windows, seekable_file

    found = (
        (layout, (start.offset, start.skip, start.line), as_documents(docs))
        for layout, start, docs in corpus_windows(corpus, window)
    )
    return plan_windows(seekable_file(corpus), window, found)


@click.group("corpus")
def command() -> None:
    """Plan a corpus for many machines."""


@command.command()
@click.argument("corpus")
@click.option("--output", required=True, metavar="FILE", help="Plan to write.")
@click.option("--window", type=click.IntRange(min=1), default=512, show_default=True, help="Documents of one commit.")
def windows(corpus: str, output: str, window: int) -> None:
    """Read a corpus once, and write where each of its windows begins: `lateint index --windows` then reads only its own.

    The corpus is a plain file, or one that is compressed in blocks; others are told to be written in blocks first.

    \b
    Example:
      lateint corpus windows collection.tsv --output collection.windows
      lateint index --corpus collection.tsv --windows collection.windows --store shard-0 --shard 0/8
    """
    from lateint.cli.printing import echo

    plan = make_plan(corpus, window)
    plan.save(output)
    echo(f"{plan.documents} documents in {len(plan.windows)} windows of {corpus}, planned in {output}", err=True)


@command.command()
@click.argument("corpus")
@click.option("--output", required=True, metavar="FILE", help="File to write, named .jsonl.zst.")
@click.option("--block", type=click.IntRange(min=1), default=512, show_default=True, help="Documents of a block.")
def split(corpus: str, output: str, block: int) -> None:
    """Write any corpus as JSON lines in compressed blocks, so that reading can begin at each of them.

    \b
    Example:
      lateint corpus split collection.tsv.gz --output collection.jsonl.zst
      lateint corpus windows collection.jsonl.zst --output collection.windows
    """
    from lateint.cli.printing import echo
    from lateint_eval.formats import read_corpus
    from lateint_eval.formats.blocks import write_blocks

    total = write_blocks(output, read_corpus(corpus, whole=not Corpus(corpus, None, False).can_reread), block)
    echo(f"{total} documents in {output}, {block} in each block", err=True)
