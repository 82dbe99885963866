"""Commands in processes of their own, which can be killed: forked from a server that has imported the engine already.

A new Python would import torch and transformers first, which takes seconds of processor time for each command.
"""

import multiprocessing
import os
import sys
from unittest.mock import patch

from tests.support.paths import python_environment

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["lateint.cli.main", "lateint_eval.studies.run", "transformers.models.bert.modeling_bert"])


def start(*arguments):
    """Start `lateint` with these arguments, silently; returns the process. Its `exitcode` is -9 after SIGKILL."""
    process = _CONTEXT.Process(target=_run, args=([str(argument) for argument in arguments],), daemon=True)
    with patch.dict(os.environ, python_environment()):  # the server, started by the first process, imports as tests do
        process.start()
    return process


def _run(arguments):
    from lateint.cli.main import run

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.exit(run(arguments))
