"""`lateint index`: a corpus into a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lateint.cli.options import ModelChoice, model_options, parse_shard

if TYPE_CHECKING:
    from lateint.model import Document
    from lateint.progress import Progress


@click.command("index")
@click.option("--corpus", required=True, metavar="FILE", help="MS MARCO TSV, BEIR folder or file, JSONL, irds:ID, or -.")
@click.option("--store", required=True, type=click.Path(), help="Folder of the store; an unfinished one is continued.")
@click.option("--codecs", metavar="SPEC", help='E.g. "states=cast:float16+zstd;vector=int8".')
@click.option("--shard", metavar="I/N", help="Encode every N-th window from window I; `lateint store merge` joins them.")
@click.option("--progress/--no-progress", default=None, help="Default: on at a terminal.")
@click.option("--yes", is_flag=True, help="Do not stop to ask. (This command never asks without a terminal.)")
@model_options
def command(
    choice: ModelChoice, corpus: str, store: str, codecs: str | None, shard: str | None, progress: bool | None, yes: bool
) -> None:
    """Run the document layers once over a corpus and keep what comes out.

    Killed at any point, the same command continues where the last window was committed.

    \b
    Example:
      lateint index --corpus collection.tsv --store my-store
      lateint index --model all-MiniLM-L6-v2 --method mice --corpus beir-folder --store mice-store
    """
    from lateint.encode import build_store
    from lateint.progress import reporter
    from lateint_store import parse_codecs

    chosen, part = None if codecs is None else parse_codecs(codecs), parse_shard(shard)
    model = choice.load()
    encoded = cut = 0
    wanted = sys.stderr.isatty() if progress is None else progress
    with reporter(wanted, _count(corpus) if wanted else None) as report:

        def watch(now: Progress) -> None:
            nonlocal encoded, cut
            encoded, cut = encoded + now.documents, cut + now.cut
            report(now)

        documents = read_documents(corpus)
        with explained_duplicates(corpus), build_store(model, documents, store, chosen, watch, shard=part) as built:
            total = len(built)
    click.echo(f"{total} documents in {store}, {encoded} of them new", err=True)
    if cut:
        longest = model.method.document.max_length
        click.echo(f"{cut} documents ({100 * cut / encoded:.1f} %) were cut at {longest} tokens (--doc-max-length)", err=True)


def _count(corpus: str) -> int | None:
    """How many documents there are, for the time left; None where a second pass is not possible or too slow."""
    if corpus == "-" or corpus.startswith("irds:"):
        return None
    return sum(1 for _ in read_documents(corpus))


@contextmanager
def explained_duplicates(corpus: str) -> Iterator[None]:
    """Name both lines of a repeated id, found by reading the corpus again; standard input cannot be."""
    from lateint.errors import DuplicateDocument

    try:
        yield
    except DuplicateDocument as error:
        if corpus != "-" and (places := _repeated(corpus)):
            raise DuplicateDocument(places) from error
        raise


def _repeated(corpus: str) -> str:
    from lateint_eval.formats import read_corpus

    lines: dict[str, int] = {}
    for doc in read_corpus(corpus):
        if (first := lines.setdefault(doc.id, doc.line)) != doc.line:
            return f"{corpus}: id {doc.id!r} stands in line {first} and in line {doc.line}; expected each id once"
    return ""


def read_documents(corpus: str) -> Iterator[Document]:
    """Stream the documents of any corpus format."""
    from lateint.model import Document
    from lateint_eval.formats import read_corpus

    for doc in read_corpus(corpus):
        yield Document(doc.id, doc.text, doc.title)
