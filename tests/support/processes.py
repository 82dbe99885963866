"""Work in processes of their own, which can be killed: forked from a server that has imported the engine already.

A new Python would import torch and transformers first, which takes seconds of processor time for each process.
"""

import multiprocessing
import os
import sys
from unittest.mock import patch

from lateint_store.disk import killpoints
from tests.support.paths import python_environment

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "lateint.cli.main",
        "lateint_eval.studies.run",
        "transformers.models.bert.modeling_bert",
        "uvicorn",
        "lateint.serving.rerank",
    ]
)


def start(*arguments, kill_at=""):
    """Start `lateint` with these arguments, silently; returns the process. Its `exitcode` is -9 after SIGKILL."""
    return fork(_run, [str(argument) for argument in arguments], kill_at)


def call(function, *arguments):
    """What a function of a module returns in another process. Raises: AssertionError with the exit code if it fails."""
    answers, written = pipe()
    process = fork(_answer, written, function, arguments)
    written.close()
    try:
        return answers.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"{function.__name__} ended with exit code {process.exitcode}") from None


def pipe():
    """A connection to receive from and one to send to, which is closed here once a process has it."""
    return _CONTEXT.Pipe(duplex=False)


def fork(target, *arguments):
    """Start a process that calls a function of a module."""
    process = _CONTEXT.Process(target=target, args=arguments, daemon=True)
    with patch.dict(os.environ, python_environment()):  # the server, started by the first process, imports as tests do
        process.start()
    return process


def _answer(written, function, arguments):
    written.send(function(*arguments))


def _run(arguments, kill_at):
    from lateint.cli.main import run

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    killpoints.arm(kill_at)
    sys.exit(run(arguments))
