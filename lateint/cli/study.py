"""`lateint study`: quality, bytes and milliseconds of many settings on the same data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lateint_eval.studies.spec import Data, Study

GRID = ("method", "offline_layers", "pool", "codecs", "doc_max_length", "query_max_length", "depth", "threads", "device")


@click.command("study")
@click.argument("file", required=False, type=click.Path())
@click.option("--output", required=True, type=click.Path(), help="Folder of the study; an unfinished one is continued.")
@click.option("--model", help="A checkpoint, folder or hub name.")
@click.option("--method", multiple=True, metavar="NAME", help="Repeatable, as are those below: all combinations are run.")
@click.option("--offline-layers", multiple=True, metavar="L", help="Layers run per document: a number, or T/2, T-2.")
@click.option("--pool", multiple=True, metavar="PART", help="In place of the method's: all_tokens, no_punctuation, ...")
@click.option("--codecs", multiple=True, metavar="SPEC", help='E.g. "states=cast:float16", "states=drive:bits=4".')
@click.option("--doc-max-length", multiple=True, type=click.IntRange(min=3), metavar="N", help="Longest document in tokens.")
@click.option("--query-max-length", multiple=True, type=click.IntRange(min=3), metavar="N", help="Longest query in tokens.")
@click.option("--depth", multiple=True, type=click.IntRange(min=1), help="Candidates a query.  [default: 50]")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), help="CPU threads of torch.  [default: 1]")
@click.option("--device", multiple=True, help="cpu or cuda.  [default: cpu]")
@click.option("--data", multiple=True, metavar="SET", help="A BEIR-like folder with runs/, or key=value,...: see below.")
@click.option("--measures", multiple=True, metavar="NAME", help="The first is the main one.  [default: nDCG@10 RR@10]")
@click.option("--baseline", metavar="LABEL", help="The point that others are tested against.  [default: the first stage]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of samples of queries.")
def command(file: str | None, output: str, **options: Any) -> None:
    """Run all combinations of settings and write results.json, results.csv, report.html and the runs into a folder.

    FILE is TOML with [[data]] and [[grids]]; options describe a study of one grid instead. Documents are encoded once for
    every model, method, L and pool; codecs are changed without encoding again. Killed at any point, the same command
    goes on. --data takes a folder, or name=N,folder=F,split=dev,sample=100, or name=N,corpus=..,queries=..,qrels=..,run=..

    \b
    Example:
      lateint study --model all-MiniLM-L6-v2 --method mice --method prettr --offline-layers 2 --offline-layers 4 \\
        --codecs states=cast:float16 --codecs states=int8 --data squad --output my-study
    """
    from lateint_eval.studies.run import run_study
    from lateint_eval.studies.spec import read_study

    if (file is None) == (options["model"] is None):
        raise click.UsageError("give FILE, or --model and --data")
    if file is not None and any(options[name] for name in (*GRID, "data", "measures", "baseline")):
        raise click.UsageError("FILE says everything; leave the other options out")
    study = _from_options(options) if file is None else read_study(file)
    run_study(study, Path(output), lambda line: click.echo(line, err=True), " ".join(["lateint", *sys.argv[1:]]))
    click.echo(str(Path(output) / "report.html"))


def _from_options(options: dict[str, Any]) -> Study:
    from lateint_eval.studies.spec import Grid, Study

    if not options["data"]:
        raise click.UsageError("--model needs --data")
    grid = Grid(model=options["model"], **{name: options[name] for name in GRID if options[name]})
    given = {name: options[name] for name in ("measures", "baseline") if options[name]}
    return Study(data=tuple(map(_data, options["data"])), grids=(grid,), seed=options["seed"], **given)


def _data(text: str) -> Data:
    """Read `--data`: a folder, or keys and values."""
    from lateint_eval.studies.spec import Data, made

    if "=" not in text:
        return Data(name=Path(text).name, folder=text)
    pairs = [piece.partition("=") for piece in text.split(",")]
    table: dict[str, Any] = {key.strip(): value for key, _, value in pairs}
    if "sample" in table and str(table["sample"]).isdigit():
        table["sample"] = int(table["sample"])
    return made(Data, table, f"--data {text}")
