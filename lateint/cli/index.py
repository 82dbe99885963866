"""`lateint index`: a corpus into a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from lateint.cli.options import ModelChoice, model_options, parse_shard

if TYPE_CHECKING:
    from lateint.model import Document


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
    from lateint_store import parse_codecs

    from lateint.encode import build_store

    chosen = None if codecs is None else parse_codecs(codecs)
    wanted = sys.stderr.isatty() if progress is None else progress
    model = choice.load()
    counts: dict[str, int] = {"documents": 0, "cut": 0}

    def watch(now: Any) -> None:
        counts["documents"] += now.documents
        counts["cut"] += now.cut

    with build_store(model, read_documents(corpus), store, chosen, [wanted, watch], shard=parse_shard(shard)) as built:
        click.echo(f"{len(built)} documents in {store}, {counts['documents']} of them new", err=True)
    if counts["cut"]:
        share = 100 * counts["cut"] / counts["documents"]
        longest = model.method.document.max_length
        click.echo(f"{counts['cut']} documents ({share:.1f} %) were cut at {longest} tokens (--doc-max-length)", err=True)


def read_documents(corpus: str) -> Iterator[Document]:
    """Stream the documents of any corpus format."""
    from lateint_eval.formats import read_corpus

    from lateint.model import Document

    for doc in read_corpus(corpus):
        yield Document(doc.id, doc.text, doc.title)
