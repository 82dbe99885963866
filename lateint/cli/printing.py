"""The one place where the command line prints: no control character of data reaches a terminal."""

from __future__ import annotations

import io
import os
import sys

import click

from lateint_store.arguments import escaped


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text with its control characters escaped as in JSON, so that printed JSON keeps its meaning."""
    click.echo(escaped(text), err=err, nl=nl)


def warn(text: str) -> None:
    """Print a warning to standard error, in red at a terminal."""
    click.secho(f"warning: {escaped(text)}", fg="red", err=True)


def on_one_line(value: object) -> str:
    """Format a value of data so that it cannot pass for lines of the program."""
    return str(value).replace("\n", "\\n").replace("\t", "\\t")


def show_usage(error: click.ClickException) -> None:
    """Print click's own message about wrong usage."""
    message = io.StringIO()
    error.show(file=message)
    echo(message.getvalue(), err=True, nl=False)


def replace_closed_streams() -> None:
    """Let standard streams that the caller has closed lead nowhere; a file of a store would get their descriptor."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def use_utf8() -> None:
    """Write UTF-8 to standard output, whatever the locale says: data has one encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
