"""The command line: one file a verb, imported when the verb is called. Nothing imports this package."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from lateint import __version__
from lateint_store.disk.files import FULL
from lateint_store.errors import LateintError

VERBS = {
    "demo": "The main job on the Python standard library's own documentation.",
    "methods": "The published methods: what each stores, and its source.",
    "train": "Train a method on ranking data.",
    "plan": "Say what a corpus will take, before it is encoded.",
    "index": "Encode a corpus into a store.",
    "rank": "Rank the candidates of queries.",
    "retrieve": "Find the nearest documents of a store, by their vectors.",
    "eval": "Evaluate runs against judgements.",
    "eval-pairs": "Score sentence pairs and measure them against labels.",
    "study": "Quality, bytes and milliseconds of many settings on the same data.",
    "store": "Look after a store: info, verify, add, delete, compact, seal, recode, merge.",
}


class LazyGroup(click.Group):
    """Verbs by name; `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of a first tour."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb; None for a word that is none."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"lateint.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"auto_envvar_prefix": "LATEINT", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Cross-encoder ranking with document layers computed once, compressed and kept in LMDB.

    Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 1 user error or damage found, 2 usage,
    3 store and model do not belong together, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    code = run(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more on its way out, and prints
        code = code or (0 if isinstance(error, BrokenPipeError) else _no_room(error))
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        result: Any = group.main(args=arguments, prog_name="lateint", standalone_mode=False)
    except LateintError as error:
        click.echo(f"lateint: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("lateint: interrupted; what was committed is kept, the same command continues", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; nothing is left to tell
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        return _no_room(error)
    return result if isinstance(result, int) else 0


def _no_room(error: OSError) -> int:
    """Say that a disk is full where no part of the program could say it better."""
    where = error.filename or "the output"
    click.echo(f"lateint: no space to write {where}: {error.strerror}; free some, then run it again", err=True)
    return 1
