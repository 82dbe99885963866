"""`lateint serve`: rerank over HTTP, in the formats that existing clients speak."""

from __future__ import annotations

import os

import click

from lateint.cli.options import PRECISION
from lateint.cli.printing import echo

_TEXT_MIB = "MiB that the cache may take on disk.  [default: 1024]"


def _read_config(context: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """Take the options of a TOML file as defaults; the environment and the command line go before them."""
    from lateint.serving.options import check_environment, read_config

    check_environment(os.environ)
    if path is not None:
        context.default_map = {**(context.default_map or {}), **read_config(path)}
    return path


@click.command("serve")
@click.option("--config", type=click.Path(), is_eager=True, callback=_read_config, help="TOML file with any of these options.")
@click.option("--store", required=True, type=click.Path(), help="Store that holds the document states.")
@click.option(
    "--engine",
    metavar="ENGINE",
    help="Who scores: local (default), or owners on the nodes of ray, ray:auto or ray://HOST[:PORT].",
)
@click.option(
    "--replicas", type=click.IntRange(min=1), metavar="N", help="With ray: owners of each member of the set.  [default: 1]"
)
@click.option("--model", metavar="NAME", help="Checkpoint, folder or hub name. Default: the one that the store records.")
@click.option("--device", metavar="DEVICE", help="Device in torch's notation. Default: cpu.")
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="Type of the weights. Default: that of the store."
)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "int8"]), help=PRECISION)
@click.option(
    "--then",
    multiple=True,
    metavar="STORE:DEPTH",
    help="Re-rank the best DEPTH documents with another store and the model that it records; repeatable.",
)
@click.option(
    "--aggregate", metavar="HOW", help="Score of a document from its chunks: max (default), first, mean_top:K or mean_cls."
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1, this machine alone]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for any that is free.  [default: 8080]")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes that serve.  [default: 1]")
@click.option(
    "--scorers", type=click.IntRange(min=1), metavar="N", help="Threads that rank. Default: processors / workers + 1."
)
@click.option("--api-key-file", type=click.Path(), help="File with one key a line; clients send one as a bearer token.")
@click.option("--id-prefix", metavar="TEXT", help="Texts that begin with this are ids, e.g. id: for clients without ids.")
@click.option("--cache", type=click.Path(), help="Folder that keeps encoded texts for later requests.")
@click.option("--cache-mib", type=click.IntRange(min=4), metavar="N", help=_TEXT_MIB)
@click.option("--max-documents", type=click.IntRange(min=1), metavar="N", help="Candidates of a request.  [default: 10000]")
@click.option("--max-texts", type=click.IntRange(min=1), metavar="N", help="Texts among them.  [default: 1000]")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Tokens encoded for a request.  [default: 500000]")
@click.option("--max-body-mib", type=click.IntRange(min=1), metavar="N", help="MiB of a request's body.  [default: 8]")
@click.option("--max-requests", type=click.IntRange(min=1), metavar="N", help="Requests at work in a worker.  [default: 256]")
@click.option("--timeout-ms", type=click.IntRange(min=1), metavar="MS", help="Longest time for an answer.  [default: 30000]")
@click.option(
    "--latency-ms", type=click.IntRange(min=1), metavar="MS", help="Under load, rank as deep as it allows.  [default: 1000]"
)
@click.option("--gather-ms", type=click.IntRange(min=0), metavar="MS", help="Wait for queries to batch.  [default: 3]")
@click.option("--drain-ms", type=click.IntRange(min=0), metavar="MS", help="From unready to the end.  [default: 500]")
def command(config: str | None, **given: object) -> int:
    """Serve a reranker over HTTP: /v2/rerank and /v1/rerank as Cohere, /rerank as Jina, vLLM and text-embeddings-inference.

    Documents are texts, {"id": ...} of the store, or both. Every option can also stand in the environment, as
    LATEINT_SERVE_PORT, and in the TOML file of --config; the command line goes first, then the environment, then the file.

    \b
    Example:
      lateint serve --store my-store
      lateint serve --store my-store --host 0.0.0.0 --api-key-file keys.txt --workers 4 --id-prefix id:
      lateint serve --store my-set --engine ray://10.0.0.1:6379 --replicas 2
      lateint serve --config serve.toml
    """
    from lateint.serving.options import ServeOptions
    from lateint.serving.run import serve

    options = ServeOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    return serve(options, lambda line: echo(f"lateint: {line}", err=True))
