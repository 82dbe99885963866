"""The command line: one file per verb, imported when the verb is called. Nothing imports this package."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from lateint import __version__
from lateint.cli.printing import echo, replace_closed_streams, show_usage, use_utf8
from lateint_store.disk.files import FULL
from lateint_store.errors import LateintError

_NO_OUTPUT = (errno.EBADF, errno.EIO)  # standard output was opened for reading alone; its terminal is no more
VERBS = {
    "demo": "Index, rank and evaluate the documentation of Python's standard library.",
    "methods": "List the published methods, what each stores, and its source.",
    "train": "Train a method on ranking lists, sentence pairs or texts.",
    "plan": "Estimate bytes, hours and milliseconds before a corpus is encoded.",
    "index": "Encode a corpus into a store.",
    "corpus": "Plan a corpus for many machines: windows, split.",
    "rank": "Rank the candidates of queries.",
    "serve": "Rerank over HTTP, for the clients of Cohere, Jina, vLLM and text-embeddings-inference.",
    "retrieve": "Find the documents of a store whose vectors are nearest to queries.",
    "eval": "Evaluate runs against relevance judgements.",
    "eval-pairs": "Score sentence pairs and measure them against labels.",
    "study": "Measure quality, bytes and milliseconds of many settings.",
    "store": "Manage a store: info, verify, add, delete, compact, seal, recode, merge, set, split, publish, fetch.",
}


class ReaderGone(Exception):
    """The reader of the output has closed it, as `head` does."""


@contextmanager
def _past_click() -> Iterator[None]:
    """Let `run` see a closed output, which is no error: click would end with 1 by itself."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


class LazyGroup(click.Group):
    """A group that imports a verb when it is called; `--help` imports none."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Read the arguments; `--help` prints."""
        with _past_click():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Call the verb."""
        with _past_click():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of a first session."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb; None for an unknown word."""
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
@click.option("--line-limit", type=click.IntRange(min=1), metavar="MIB", help="Longest line of an input file.  [default: 128]")
@click.pass_context
def group(context: click.Context, line_limit: int | None) -> None:
    """Rank documents with a cross-encoder whose document layers are computed once, compressed and stored in LMDB.

    Data goes to stdout, progress and messages to stderr. Exit codes: 0 success, 1 user error or damage found, 2 wrong
    usage, 3 store and model do not match, 130 interrupted.
    """
    if line_limit is not None:
        from lateint_eval.formats.lines import limited_lines

        context.with_resource(limited_lines(line_limit << 20))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    replace_closed_streams()
    use_utf8()
    code = run(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # otherwise Python flushes again at exit, and prints an error
        code = code or (0 if isinstance(error, BrokenPipeError) else _not_written(error))
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns: the exit code."""
    try:
        result: object = group.main(args=arguments, prog_name="lateint", standalone_mode=False)
    except LateintError as error:
        echo(f"lateint: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        show_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # click takes it for an interruption; it is a damaged file
            raise error.__cause__ from None
        echo("lateint: interrupted; committed work is kept, the same command continues", err=True)
        return 130
    except ReaderGone:
        sys.stderr.close()  # no message, not even from Python at exit
        return 0
    except OSError as error:
        if error.errno not in FULL and (error.filename is not None or error.errno not in _NO_OUTPUT):
            raise
        return _not_written(error)
    return result if isinstance(result, int) else 0


def _not_written(error: OSError) -> int:
    """Report an output that cannot be written, which no other part of the program has reported. Returns: the exit code."""
    where = error.filename or "the output"
    if error.errno in FULL:
        echo(f"lateint: no space to write {where}: {error.strerror}; free some space and repeat the command", err=True)
    else:
        echo(f"lateint: cannot write {where}: {error.strerror}; give standard output a place that can be written", err=True)
    return 1
