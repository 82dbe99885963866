"""Named points at which a test can kill the process.

`LATEINT_KILL_AT="append.before_commit:3"` kills at the third pass of that point. Without the variable, set before this
module is imported, nothing happens.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "LATEINT_KILL_AT"

POINTS = (
    "create.shard",
    "append.before_put",
    "append.after_put",
    "append.before_commit",
    "append.after_commit",
    "delete.before_commit",
    "delete.after_commit",
    "roll.created",
    "rewrite.window",
    "rewrite.shard",
    "rewrite.done",
    "seal.verified",
    "seal.read_only",
    "manifest.before_rename",
    "manifest.after_rename",
    "publish.before_clean",
    "publish.after_clean",
    "derived.done",
    "remote.uploaded",
    "remote.before_publish",
    "remote.fetched_part",
    "remote.fetched_file",
    "remote.before_rename",
)

_wanted, _left = "", 1  # the armed point, and how many more passes of it


def arm(at: str) -> None:
    """Kill this process at a point and pass, such as "append.before_commit:3"; nowhere if empty."""
    global _wanted, _left
    _wanted, _, passes = at.partition(":")
    _left = int(passes or 1)


def point(name: str) -> None:
    """Pass the point `name`; SIGKILL this process if it is armed there."""
    global _left
    if name == _wanted:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get(VARIABLE, ""))
