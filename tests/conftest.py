"""What holds for all tests: none asks the network; collected modules are kept out of garbage collection."""

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_finish():
    """Freeze what was imported and collected: it lives to the end, and the trainer asks for a collection at every stage."""
    gc.collect()
    gc.freeze()
