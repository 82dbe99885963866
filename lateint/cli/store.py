"""`lateint store`: manage a store. Only `add` and the comparison of `recode` load a model; the rest needs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lateint.cli.corpus import Corpus, corpus_options
from lateint.cli.options import ModelChoice, model_options
from lateint.cli.printing import echo, on_one_line

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.ranking.drift import Drift


@click.group("store")
def command() -> None:
    """Manage a store."""


@command.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with everything that the store records.")
def info(path: str, as_json: bool) -> None:
    """Print the contents of a store, the model that encoded it, and its content digest.

    \b
    Example:
      lateint store info my-store
    """
    from lateint.indexing.store import open_store

    with open_store(path) as store:
        found = store.info()
    if as_json:
        echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            value = " ".join(f"{key}={_short(each)}" for key, each in value.items())
        echo(f"{name:<20} {on_one_line(_short(value))}")


def _short(value: object) -> str:
    """A value on one line; the name alone of a part that has one."""
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@command.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: documents and blocks that were read, and all problems.")
def verify(path: str, as_json: bool) -> int:
    """Read every byte of a store, or of the local copy of a published one, and list all damage; exit code 1 if there is any.

    \b
    Example:
      lateint store verify my-store
    """
    from lateint_store import verify_store
    from lateint_store.arguments import is_url

    if is_url(path):
        from lateint_store.remote.local_copies import local_copy

        path = str(local_copy(path))
    report = verify_store(path)
    if as_json:
        echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        for problem in report.problems:
            places = (("shard", problem.shard), ("ordinal", problem.ordinal), ("document", problem.doc_id))
            where = ", ".join(f"{name} {on_one_line(value)}" for name, value in places if value is not None)
            echo(f"{where or 'store'}: {on_one_line(problem.reason)}")
        echo(f"{report.documents} documents in {report.blocks} blocks are intact, {len(report.problems)} problems")
    return 0 if report.ok else 1


@command.command()
@click.argument("path")
@corpus_options
@model_options
def add(choice: ModelChoice, path: str, corpus: Corpus) -> None:
    """Encode more documents into a store, by default with the model that the store records.

    To continue after an interruption, repeat the command.

    \b
    Example:
      lateint store add my-store --corpus new.jsonl
    """
    from lateint.indexing.store import open_store

    documents = list(corpus.open())
    with open_store(path, write=True) as store, corpus.explained_duplicates():
        before = len(store)
        store.add(documents, choice.load_for(store), partial=not corpus.is_complete, again=True)
        echo(f"{len(store)} {_entries(store)} in {path}, {len(store) - before} of them new", err=True)
    corpus.check_end()


@command.command()
@click.argument("path")
@click.argument("ids", nargs=-1)
@click.option("--ids-from", metavar="FILE", help="File with one id per line, or -.")
def delete(path: str, ids: tuple[str, ...], ids_from: str | None) -> None:
    """Delete documents by id. `lateint store compact` frees their bytes.

    To continue after an interruption, repeat the command.

    \b
    Example:
      lateint store delete my-store id17 id18
    """
    from lateint.indexing.store import open_store
    from lateint_eval.formats import read_ids

    wanted = [*ids, *([] if ids_from is None else read_ids(ids_from))]
    if not wanted:
        raise click.UsageError("no ids to delete: name them, or give --ids-from")
    with open_store(path, write=True) as store:
        before = len(store)
        store.delete(wanted, again=True)
        echo(f"{before - len(store)} {_entries(store)} deleted, {len(store)} left in {path}", err=True)


def _entries(store: Store) -> str:
    """The noun for the entries of a store."""
    return "documents" if store.chunks is None else "chunks"


@command.command()
@click.argument("path")
def compact(path: str) -> None:
    """Rewrite a store without gaps to free the bytes of deleted documents; needs disk space for a copy.

    \b
    Example:
      lateint store compact my-store
    """
    _rewrite(path, "compact")


@command.command()
@click.argument("path")
def seal(path: str) -> None:
    """Make a store immutable: compact it, verify every byte, record digests, make files read-only.

    \b
    Example:
      lateint store seal my-store
    """
    from lateint_store.opening import finish_sealing

    if finish_sealing(path):
        echo(f"{path} is sealed", err=True)
    else:
        _rewrite(path, "seal")


def _rewrite(path: str, verb: str) -> None:
    from lateint.indexing.store import open_store

    with open_store(path, write=True) as store:
        before = store.info()["bytes"]
        getattr(store, verb)()
        found = store.info()
    echo(f"{found['documents']} documents in {path}, {before:,} bytes before, {found['bytes']:,} now", err=True)


@command.command()
@click.argument("path")
@click.argument("shards", nargs=-1, required=True)
def merge(path: str, shards: tuple[str, ...]) -> None:
    """Join the stores of `lateint index --shard 0/N` to N-1/N into a new store at PATH.

    \b
    Example:
      lateint store merge whole shard-0 shard-1
    """
    from lateint_store import merge as merge_stores

    with merge_stores(shards, path) as store:
        echo(f"{len(store)} documents in {path}", err=True)


@command.command("set")
@click.argument("path")
@click.argument("members", nargs=-1, required=True)
@click.option("--extend", is_flag=True, help="Add the stores to a set that is published at PATH.")
def publish(path: str, members: tuple[str, ...], extend: bool) -> None:
    """Publish stores of one model as a set at PATH, which opens as one store; they stay where they are.

    `info`, `verify`, `add`, `delete`, `compact`, `seal`, and every command with --store, take the set as they take a store.

    \b
    Example:
      lateint store set whole shard-0 shard-1
      lateint rank --store whole --queries queries.tsv --candidates top1000.trec --output mine.trec
    """
    from lateint.indexing.store import open_store
    from lateint_store import create_set, extend_set

    (extend_set if extend else create_set)(path, members)
    with open_store(path) as store:
        echo(f"{len(store)} {_entries(store)} in {path}, a set of {len(store.info()['members'])} stores", err=True)


@command.command("publish")
@click.argument("path")
@click.argument("url")
def upload(path: str, url: str) -> None:
    """Publish a sealed store, or a set of sealed stores, at URL, from where every command with --store can read it.

    URL names a folder of objects: s3://bucket/path/name, file:///folder/name, or what else obstore reads. To continue after an
    interruption, repeat the command. What is published once is never overwritten. Needs the extra `remote`.

    \b
    Example:
      lateint store publish my-store s3://bucket/stores/my-store
    """
    from lateint_store import publish_store

    done = publish_store(path, url)
    state = "published at" if done.created else "is published already at"
    echo(f"{done.publication.kind} [{done.publication.content_digest[:12]}] {state} {done.url}", err=True)
    echo(f"{done.publication.documents} entries, {done.uploaded:,} bytes sent, {done.kept:,} were there", err=True)


@command.command()
@click.argument("url")
@click.argument("path")
def fetch(url: str, path: str) -> None:
    """Fetch a published store or set to the folder PATH, and check every byte.

    To continue after an interruption, repeat the command. Needs the extra `remote`.

    \b
    Example:
      lateint store fetch s3://bucket/stores/my-store my-store
    """
    from lateint.indexing.store import open_store
    from lateint_store import fetch_store

    with open_store(fetch_store(url, path)) as store:
        echo(f"{len(store)} {_entries(store)} in {path} [{store.content_digest()[:12]}]", err=True)


@command.command()
@click.argument("path")
@click.option("--by-id", required=True, type=click.IntRange(1, 65536), metavar="N", help="Number of members.")
@click.option("--output", required=True, type=click.Path(), help="Folder of the set; the store does not change.")
def split(path: str, by_id: int, output: str) -> None:
    """Copy a store into a set of N stores by ranges of the id hash, so that the store which holds a document can be computed.

    To continue after an interruption, repeat the command. `lateint_store.owner_of(doc_id, N)` is the number of the member.

    \b
    Example:
      lateint store split my-store --by-id 4 --output my-set
    """
    from lateint.indexing.store import open_store
    from lateint_store import split as split_store

    with open_store(path) as store:
        chunked = store.chunks is not None
    split_store(path, output, by_id, by="document" if chunked else "id")
    with open_store(output) as made:
        sizes = " ".join(str(member["documents"]) for member in made.info()["members"])
        echo(f"{len(made)} {_entries(made)} in {output}, by member: {sizes}", err=True)


@command.command()
@click.argument("path")
@click.option("--codecs", required=True, metavar="SPEC", help='New codecs, e.g. "states=drive:bits=4;vector=int8".')
@click.option("--output", required=True, type=click.Path(), help="Folder of the new store; the old store does not change.")
@click.option("--finer", is_flag=True, help="Allow codecs with a higher precision than the stored arrays.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: errors of arrays and scores, bytes before and after.")
def recode(path: str, codecs: str, output: str, finer: bool, as_json: bool) -> None:
    """Copy a store with other codecs, without encoding documents again, and report the loss.

    If the model that the store records is found, scores of 100 documents for fixed queries are compared too.

    \b
    Example:
      lateint store recode my-store --codecs "states=int8;vector=int8" --output small-store
    """
    from lateint_store import parse_codecs
    from lateint_store import recode as recode_store

    made, losses = recode_store(path, output, parse_codecs(codecs), finer=finer)
    made.close()
    sizes, drift = _compare(path, output)
    if as_json:
        loss = {name: {"largest": each.largest, "mean": each.mean, "numbers": each.numbers} for name, each in losses.items()}
        scores = {"unknown": drift} if isinstance(drift, str) else asdict(drift)
        echo(json.dumps({"loss": loss} | sizes | {"scores": scores}, indent=2, ensure_ascii=False))
        return
    for name, each in losses.items():
        echo(f"{name}: changed by {each.largest:.3g} at most, {each.mean:.3g} on average, over {each.numbers:,} numbers")
    echo(_drift_text(drift))
    echo(f"{sizes['documents']} documents, {sizes['bytes_before']:,} bytes before, {sizes['bytes']:,} now")


def _compare(path: str, output: str) -> tuple[dict[str, int], Drift | str]:
    """Sizes of two stores of the same documents, and how scores changed, or why they could not be compared."""
    from lateint.errors import LateintError
    from lateint.indexing.store import open_store, recorded_model

    with open_store(path) as before, open_store(output) as after:
        sizes = {"documents": len(after), "bytes_before": before.info()["bytes"], "bytes": after.info()["bytes"]}
        try:
            model = recorded_model(before)
            from lateint.ranking.drift import drift

            return sizes, drift(model, before, after)
        except LateintError as error:
            return sizes, str(error)


def _drift_text(drift: Drift | str) -> str:
    if isinstance(drift, str):
        return f"scores: not compared, because {drift}"
    return (
        f"scores: changed by {drift.largest:.3g} at most, {drift.mean:.3g} on average, over {drift.pairs} pairs "
        f"whose scores have a standard deviation of {drift.spread:.3g} per query"
    )
