"""What holds for all tests: none asks the network; what lives to the end is kept out of garbage collection."""

import gc
import os
import secrets
import sys
from types import SimpleNamespace

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads both when it is imported
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
gc.disable()  # nothing that is imported or collected becomes garbage


def pytest_collection_finish():
    """Freeze what was imported and collected, and look for garbage less often: models of tests hold millions of objects."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 1_000)
    gc.enable()
    if memory := sys.modules.get("accelerate.utils.memory"):  # the trainer asks for a collection at every stage: 60 ms each
        memory.gc = SimpleNamespace(collect=int)
