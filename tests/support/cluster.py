"""A real cluster of Ray on this machine: several nodes, each with processes of its own, which tests kill."""

import contextlib
import os
import signal
import time
import warnings
from functools import partial
from pathlib import Path

import psutil

from lateint.indexing.windows import PlannedDocuments, plan_windows
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support import engine
from tests.support.paths import python_environment

WINDOW = 4
_HEALTH = {  # a node that was killed is declared dead after some 5 s instead of 14, and a busy machine is not
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_enable_metrics_collection": "0",
}


@contextlib.contextmanager
def running(nodes=2):
    """Start a cluster: a head that only manages, and nodes with one processor each; nothing of it is left at the end."""
    with warnings.catch_warnings(), _environment(python_environment() | _HEALTH | {"OMP_NUM_THREADS": "1"}):
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        before = set(_descendants())
        cluster = Cluster()
        try:
            for number in range(nodes + 1):
                _started(partial(cluster.add_node, **NODE | {"num_cpus": min(number, 1)}))
            yield cluster
        finally:
            cluster.shutdown()
            for process in set(_descendants()) - before:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


def _started(start, attempts=4):
    """Start a node; Ray gives up one that needs more than 30 s, as on a machine with much other work."""
    for _ in range(attempts - 1):
        with contextlib.suppress(Exception):  # Ray raises no narrower one
            return start()
    return start()


@contextlib.contextmanager
def _environment(wanted):
    kept = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _descendants():
    return psutil.Process().children(recursive=True)


def loader(method="prettr", family="bert"):
    """A call that loads a tiny model on any machine, with one torch thread; it can be pickled."""
    options = {"method": engine.lossless(preset(method)), "threads": 1, **engine.LENGTHS}
    return partial(load_model, str(tiny.checkpoint(family)), **options)


class GatedReader:
    """Reads windows of a file of `id<TAB>text` lines. Before the window at `offset` it says who reads it, and waits.

    In the folder `gate`: a file `at-PID` for each process that arrived; the file `open` lets all pass.
    """

    def __init__(self, file, gate=None, offset=-1):
        self.file, self.gate, self.offset = file, gate, offset

    def __call__(self, window):
        if self.gate is not None and window.offset == self.offset:
            (self.gate / f"at-{os.getpid()}").touch()
            while not (self.gate / "open").exists():
                time.sleep(0.01)
        with self.file.open("rb") as opened:
            opened.seek(window.offset)
            return [parsed(opened.readline()) for _ in range(window.documents)]


def parsed(line):
    """A document of a line."""
    doc_id, _, text = line.decode().rstrip("\n").partition("\t")
    return Document(doc_id, text)


def write(file, documents):
    """Write documents as lines; returns the file."""
    file.write_text("".join(f"{document.id}\t{document.text}\n" for document in documents))
    return file


def planned(file, gate=None, window=0):
    """The documents of a file by their plan; workers wait at `gate` before they read the window of this number."""
    starts, place, lines = [], 0, file.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if number % WINDOW == 0:
            starts.append((place, 0, number + 1))
        place += len(line)
    groups = [lines[at : at + WINDOW] for at in range(0, len(lines), WINDOW)]
    found = [("passages", start, [parsed(line) for line in group]) for start, group in zip(starts, groups, strict=True)]
    return PlannedDocuments(plan_windows(file, WINDOW, found), file, GatedReader(file, gate, starts[window][0]))


def wait_for(condition, what, seconds=60):
    """Wait until a condition returns something true; returns it. Raises: AssertionError after some seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.02)
    return found


def arrived(gate, killed=()):
    """The process ids of workers at the gate, except those that were killed."""
    return sorted({int(path.name.removeprefix("at-")) for path in Path(gate).glob("at-*")} - set(killed))


def node_of(pid):
    """The process ids of the node that a worker of Ray belongs to, the worker's first."""
    node = psutil.Process(pid).parent()
    return [pid, node.pid]


def kill(pid):
    """SIGKILL a process."""
    os.kill(pid, signal.SIGKILL)
