"""`lateint store`: look after a store. Only `add` loads a model; the rest needs no torch."""

from __future__ import annotations

import json
from typing import Any

import click

from lateint.cli.options import ModelChoice, model_options


@click.group("store")
def command() -> None:
    """Look after a store."""


@command.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="JSON with everything that the store records.")
def info(path: str, as_json: bool) -> None:
    """Print what a store holds, which model made it, and its content digest.

    \b
    Example:
      lateint store info my-store
    """
    from lateint.indexing.store import open_store

    with open_store(path) as store:
        found = store.info()
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            value = " ".join(f"{key}={_short(each)}" for key, each in value.items())
        click.echo(f"{name:<20} {_short(value)}")


def _short(value: Any) -> str:
    """A value on one line; what has a name stands for itself."""
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@command.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="JSON: documents and blocks that were read, and every problem.")
def verify(path: str, as_json: bool) -> int:
    """Read every byte and list what is not what was written; exit code 1 if anything is damaged.

    \b
    Example:
      lateint store verify my-store
    """
    from pathlib import Path

    from lateint_store import verify_store

    report = verify_store(Path(path))
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        for problem in report.problems:
            places = (("shard", problem.shard), ("ordinal", problem.ordinal), ("document", problem.doc_id))
            where = ", ".join(f"{name} {value}" for name, value in places if value is not None)
            click.echo(f"{where or 'store'}: {problem.reason}")
        click.echo(f"{report.documents} documents in {report.blocks} blocks are sound, {len(report.problems)} problems")
    return 0 if report.ok else 1


@command.command()
@click.argument("path")
@click.option("--corpus", required=True, metavar="FILE", help="Documents to add: as for `lateint index`.")
@model_options
def add(choice: ModelChoice, path: str, corpus: str) -> None:
    """Encode more documents into a store, with the model that it records unless another is named.

    \b
    Example:
      lateint store add my-store --corpus new.jsonl
    """
    from lateint.cli.corpus import explained_duplicates, read_documents
    from lateint.indexing.store import open_store

    with open_store(path, write=True) as store, explained_duplicates(corpus):
        before = len(store)
        store.add(read_documents(corpus), choice.load_for(store))
        click.echo(f"{len(store)} {_entries(store)} in {path}, {len(store) - before} of them new", err=True)


@command.command()
@click.argument("path")
@click.argument("ids", nargs=-1)
@click.option("--ids-from", type=click.File(encoding="utf-8"), metavar="FILE", help="A file with one id a line, or -.")
def delete(path: str, ids: tuple[str, ...], ids_from: Any) -> None:
    """Delete documents by id; their bytes are freed by `compact`.

    \b
    Example:
      lateint store delete my-store id17 id18
    """
    from lateint.indexing.store import open_store

    listed = [] if ids_from is None else [line.rstrip("\r\n") for line in ids_from]
    wanted = [*ids, *(line for line in listed if line)]
    if not wanted:
        raise click.UsageError("no id to delete: name some, or give --ids-from")
    with open_store(path, write=True) as store:
        before = len(store)
        store.delete(wanted)
        click.echo(f"{before - len(store)} {_entries(store)} deleted, {len(store)} left in {path}", err=True)


def _entries(store: Any) -> str:
    """What the entries of a store are."""
    return "documents" if store.chunks is None else "chunks"


@command.command()
@click.argument("path")
def compact(path: str) -> None:
    """Rewrite the documents densely and free the bytes of deleted ones; needs room for a copy.

    \b
    Example:
      lateint store compact my-store
    """
    _rewrite(path, "compact")


@command.command()
@click.argument("path")
def seal(path: str) -> None:
    """Make a store immutable: compacted, every byte verified, digests recorded, files read-only.

    \b
    Example:
      lateint store seal my-store
    """
    _rewrite(path, "seal")


def _rewrite(path: str, verb: str) -> None:
    from lateint.indexing.store import open_store

    with open_store(path, write=True) as store:
        before = store.info()["bytes"]
        getattr(store, verb)()
        found = store.info()
    click.echo(f"{found['documents']} documents in {path}, {before:,} bytes before, {found['bytes']:,} now", err=True)


@command.command()
@click.argument("path")
@click.argument("shards", nargs=-1, required=True)
def merge(path: str, shards: tuple[str, ...]) -> None:
    """Join the stores of `lateint index --shard 0/N` to N-1/N into a new one at PATH.

    \b
    Example:
      lateint store merge whole shard-0 shard-1
    """
    from lateint_store import merge as merge_stores

    with merge_stores(shards, path) as store:
        click.echo(f"{len(store)} documents in {path}", err=True)


@command.command()
@click.argument("path")
@click.option("--codecs", required=True, metavar="SPEC", help='Of the arrays that change: "states=drive:bits=4;vector=int8".')
@click.option("--output", required=True, type=click.Path(), help="Folder of the new store; the old one stays as it is.")
@click.option("--finer", is_flag=True, help="Allow codecs that keep more than the store still has.")
@click.option("--json", "as_json", is_flag=True, help="JSON: what each array lost, how scores moved, bytes before and now.")
def recode(path: str, codecs: str, output: str, finer: bool, as_json: bool) -> None:
    """Write a store in other codecs, without encoding a document again, and say what that loses.

    Scores of 100 documents under fixed queries tell what the loss means, if the model that the store records is here.

    \b
    Example:
      lateint store recode my-store --codecs "states=int8;vector=int8" --output small-store
    """
    from lateint_store import parse_codecs
    from lateint_store import recode as recode_store

    made, losses = recode_store(path, output, parse_codecs(codecs), finer=finer)
    made.close()
    found = {name: {"largest": loss.largest, "mean": loss.mean, "numbers": loss.numbers} for name, loss in losses.items()}
    report = {"loss": found} | _compared(path, output)
    if as_json:
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    for name, loss in losses.items():
        click.echo(f"{name}: moved by {loss.largest:.3g} at most, {loss.mean:.3g} on average, over {loss.numbers:,} numbers")
    click.echo(_moved(report["scores"]))
    click.echo(f"{report['documents']} documents, {report['bytes_before']:,} bytes before, {report['bytes']:,} now")


def _compared(path: str, output: str) -> dict[str, Any]:
    """Sizes of two stores of the same documents, and how the scores moved; why not, if the model is not here."""
    from dataclasses import asdict

    from lateint.errors import LateintError
    from lateint.indexing.store import open_store, recorded_model

    with open_store(path) as before, open_store(output) as after:
        sizes = {"documents": len(after), "bytes_before": before.info()["bytes"], "bytes": after.info()["bytes"]}
        try:
            model = recorded_model(before)
            from lateint.ranking.drift import drift

            return sizes | {"scores": asdict(drift(model, before, after))}
        except LateintError as error:
            return sizes | {"scores": {"unknown": str(error)}}


def _moved(scores: dict[str, Any]) -> str:
    if "unknown" in scores:
        return f"scores: not compared, because {scores['unknown']}"
    return (
        f"scores: moved by {scores['largest']:.3g} at most, {scores['mean']:.3g} on average, over {scores['pairs']} pairs "
        f"whose scores spread over {scores['spread']:.3g}"
    )
