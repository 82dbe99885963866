"""Build stores in forks that are killed: `engine_child.py FOLDER POINT...` prints one JSON line per point.

A point is a kill point of the store with its pass, as in LATEINT_KILL_AT. The build runs in a fork of this process, which
has loaded the model but computed nothing; then this process continues the build to its end.
"""

import json
import os
import sys
from pathlib import Path

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
        name, _, passes = at.partition(":")
        killpoints._wanted, killpoints._left = name, int(passes)
        build(folder)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == 9


def main(root, points):
    torch.set_num_threads(1)
    engine.model()
    for at in points:
        folder = root / at.replace(":", "-")
        was_killed = killed(folder, at)
        with build(folder) as store:
            info = store.info()
        found = {"at": at, "killed": was_killed, "digest": info["content_digest"], "run": info["encoded_by_last_run"]}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
