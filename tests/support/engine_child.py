"""Builds of stores in forks that are killed, for a process of its own that has computed nothing before."""

import os

import torch

from lateint.indexing.build import build_store
from lateint_store.disk import killpoints
from tests.support import engine

WINDOW = 8


def build(folder):
    return build_store(engine.model(), engine.DOCUMENTS, folder, window=WINDOW)


def killed(folder, at):
    """Build in a fork with a kill point; True if the fork was killed."""
    child = os.fork()
    if child == 0:
        killpoints.arm(at)
        build(folder)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == 9


def build_and_continue(root, points):
    """For each kill point with its pass, build in a fork that is killed, then continue here; what each build found."""
    torch.set_num_threads(1)
    engine.model()
    results = []
    for at in points:
        folder = root / at.replace(":", "-")
        was_killed = killed(folder, at)
        with build(folder) as store:
            info = store.info()
        results.append({"at": at, "killed": was_killed, "digest": info["content_digest"], "run": info["encoded_by_last_run"]})
    return results
