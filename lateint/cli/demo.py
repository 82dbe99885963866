"""`lateint demo`: index, rank and evaluate the documentation of Python's standard library."""

from __future__ import annotations

import json
import sys
import textwrap
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from lateint.cli.printing import echo

if TYPE_CHECKING:
    from lateint_eval.demo import Demo

_EXAMPLE = "how do I run a function again every few seconds without blocking"


@click.command("demo")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(dir_okay=False), help="Write the table to a JSON file.")
@click.option("--ask", metavar="QUESTION", help="Answer one question from the store of an earlier demo.")
def command(json_file: str | None, ask: str | None) -> None:
    """Index the documentation of Python's standard library, rank it for programmers' questions, and compare four systems.

    \b
    Example:
      lateint demo
      lateint demo --ask "how do I keep only the last ten lines of a stream"
    """
    from lateint_eval import demo
    from lateint_eval.formats.output import replacing

    if ask is not None:
        _answer(ask)
        return
    with nullcontext() if json_file is None else replacing(json_file) as write:
        found = demo.run(progress=sys.stderr.isatty(), say=lambda line: echo(line, err=True))
        if write is not None:
            write(json.dumps(found.to_json(), indent=2) + "\n")
    _print_table(found)
    _answer(_EXAMPLE)


def _print_table(found: Demo) -> None:
    from lateint_eval.demo import NAMES

    questions = found.questions
    echo(f"\n{len(questions.kept)} test questions ({questions.dropped} dropped), {found.passages} passages,", nl=False)
    echo(f" indexed in {found.index_seconds:.0f} s; all systems re-rank BM25's top 20")
    echo(f"{'system':<42} {'nDCG@10':>8} {'RR@10':>7} {'ms p50':>8} {'ms p95':>8} {'bytes/passage':>14}")
    for row in found.to_json()["systems"]:
        stored = "-" if row["bytes_per_passage"] is None else f"{row['bytes_per_passage']:,.0f}"
        scores = f"{row['ndcg10']:8.3f} {row['rr10']:7.3f} {row['ms_p50']:8.1f} {row['ms_p95']:8.1f} {stored:>14}"
        echo(f"{NAMES[row['name']]:<42} {scores}")
    echo("bytes: allocated on disk, everything included; ms: re-ranking of one query")
    echo(f"{found.seconds:.0f} s in total\n")


def _answer(question: str) -> None:
    from lateint_eval import demo

    echo(f"Q: {question}")
    hits = demo.ask(question)
    if not hits:
        echo("   nothing in the documentation shares a word with this question; use other words")
    for rank, (document, explanation) in enumerate(hits, 1):
        echo(f"{rank}. {document.id}  ({explanation.score:.2f})")
        echo(textwrap.fill(document.text, 100, initial_indent="   ", subsequent_indent="   ", max_lines=3))
        echo(textwrap.fill(str(explanation), 100, initial_indent="   ", subsequent_indent="   "))
