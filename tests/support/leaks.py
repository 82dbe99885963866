"""Objects that a call leaves behind for good."""

import gc
import sys


def left_behind(call, calls=12, rounds=3):
    """Python's memory blocks that each call leaves allocated: the least of several rounds.

    Caches fill in the first rounds, so a few blocks are no leak; one object that is kept takes several in every call.
    """
    gc.collect()
    gc.freeze()  # what is there already need not be looked at again
    try:
        found = []
        for _ in range(rounds + 1):
            before = sys.getallocatedblocks()
            for _ in range(calls):
                call()
            gc.collect()
            found.append((sys.getallocatedblocks() - before) / calls)
        return min(found[1:])
    finally:
        gc.unfreeze()
