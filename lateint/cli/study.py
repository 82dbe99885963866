"""`lateint study`: measure quality, bytes and milliseconds of many settings on the same data."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lateint.cli.options import gathered
from lateint.cli.printing import echo
from lateint_store.arguments import parse_count

if TYPE_CHECKING:
    from lateint_eval.studies.spec import Data, Study

_GRID = ("method", "offline_layers", "pool", "codecs", "doc_max_length", "query_max_length", "depth", "threads", "device")


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """The options that describe a study of one grid, instead of a file."""

    model: str | None
    method: tuple[str, ...] = ()
    offline_layers: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    doc_max_length: tuple[int, ...] = ()
    query_max_length: tuple[int, ...] = ()
    depth: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    device: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    baseline: str | None = None
    seed: int = 0

    def check(self, file: str | None) -> None:
        """Refuse options next to a file, and neither of the two (usage error, exit code 2)."""
        if (file is None) == (self.model is None):
            raise click.UsageError("give FILE, or --model and --data")
        if file is not None and any(getattr(self, name) for name in (*_GRID, "data", "measures", "baseline")):
            raise click.UsageError("FILE describes the whole study; leave the other options out")

    def study(self) -> Study:
        """The study of this grid. Raises: click.UsageError without data."""
        from lateint_eval.studies.spec import Grid, Study

        if self.model is None or not self.data:
            raise click.UsageError("--model needs --data")
        grid = Grid(model=self.model, **{name: getattr(self, name) for name in _GRID if getattr(self, name)})
        given = {name: getattr(self, name) for name in ("measures", "baseline") if getattr(self, name)}
        return Study(data=tuple(map(_data, self.data)), grids=(grid,), seed=self.seed, **given)


@click.command("study")
@click.argument("file", required=False, type=click.Path())
@click.option("--output", required=True, type=click.Path(), help="Folder of the study; an unfinished one is continued.")
@click.option("--model", help="Checkpoint, folder or hub name.")
@click.option(
    "--method", multiple=True, metavar="NAME", help="Preset; repeatable, like all up to --device: every combination runs."
)
@click.option("--offline-layers", multiple=True, metavar="L", help="Layers that run per document: a number, or T/2, T-2.")
@click.option("--pool", multiple=True, metavar="PART", help="Pool instead of the method's: all_tokens, no_punctuation, ...")
@click.option("--codecs", multiple=True, metavar="SPEC", help='Codecs, e.g. "states=cast:float16", "states=drive:bits=4".')
@click.option("--doc-max-length", multiple=True, type=click.IntRange(min=3), metavar="N", help="Longest document in tokens.")
@click.option("--query-max-length", multiple=True, type=click.IntRange(min=3), metavar="N", help="Longest query in tokens.")
@click.option("--depth", multiple=True, type=click.IntRange(min=1), help="Candidates per query.  [default: 50]")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), help="CPU threads of torch.  [default: 1]")
@click.option("--device", multiple=True, help="cpu or cuda.  [default: cpu]")
@click.option("--data", multiple=True, metavar="SET", help="BEIR-like folder with runs/, or key=value,... (see above).")
@click.option("--measures", multiple=True, metavar="NAME", help="Measures, the main one first.  [default: nDCG@10 RR@10]")
@click.option("--baseline", metavar="LABEL", help="Point that the others are compared with.  [default: the first stage]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples of queries.")
@gathered(StudyRequest, "request")
def command(file: str | None, output: str, request: StudyRequest) -> None:
    """Run all combinations of settings and write results.json, results.csv, report.html and the runs to a folder.

    FILE is TOML with [[data]] and [[grids]]; options describe a study of one grid instead. Documents are encoded once for
    each model, method, L and pool; other codecs need no new encoding. To resume an interrupted study, repeat the command.
    --data takes a folder, or name=N,folder=F,split=dev,sample=100, or name=N,corpus=..,queries=..,qrels=..,run=..

    \b
    Example:
      lateint study --model all-MiniLM-L6-v2 --method mice --method prettr --offline-layers 2 --offline-layers 4 \\
        --codecs states=cast:float16 --codecs states=int8 --data squad --output my-study
    """
    from lateint_eval.studies.run import run_study
    from lateint_eval.studies.spec import read_study

    request.check(file)
    study = request.study() if file is None else read_study(file)
    run_study(study, Path(output), lambda line: echo(line, err=True), " ".join(["lateint", *sys.argv[1:]]))
    echo(str(Path(output) / "report.html"))


def _data(text: str) -> Data:
    """Parse `--data`: a folder, or `key=value` pairs."""
    from lateint_eval.studies.spec import Data, made

    if "=" not in text:
        return Data(name=Path(text).name, folder=text)
    pairs = [piece.partition("=") for piece in text.split(",")]
    texts = {key.strip(): value for key, _, value in pairs}
    table: dict[str, str | int] = {**texts}
    if (sample := parse_count(texts.get("sample", ""))) is not None:
        table["sample"] = sample
    return made(Data, table, f"--data {text}")
