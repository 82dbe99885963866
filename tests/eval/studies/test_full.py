"""A disk that is full in the middle of a study: one line, exit code 1, finished points stay, the same command resumes."""

import json
import os
import subprocess
from contextlib import contextmanager

import pytest

from lateint.cli.main import run as lateint
from lateint.testing import tiny
from lateint_eval.studies import run, runner
from tests.support.paths import TOY

FILES = {"corpus": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.tsv", "run": "run.trec"}
ROOM = 48 << 20  # bytes, enough for the whole study
# When the disk fills up: at which call of a function, and how many bytes are left.
MOMENTS = [
    (run, "claimed", 1, 0),
    (runner, "build_store", 1, 0),
    (runner, "build_store", 1, 60_000),
    (runner, "build_store", 2, 8_192),
    (runner, "recode", 2, 0),
    (runner, "recode", 3, 60_000),
    (runner, "_empty", 2, 0),
    (runner, "write_run", 1, 0),
    (runner, "summary", 3, 0),
    (run, "run_point", 4, 0),
    (run, "_write", 1, 0),
    (run, "render", 1, 0),
]


@contextmanager
def small_disk(path):
    """A file system of `ROOM` bytes."""
    path.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(path)], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(scope="module")
def toml(tmp_path_factory):
    path = tmp_path_factory.mktemp("toml") / "study.toml"
    grid = {"model": str(tiny.checkpoint("bert")), "method": ["prettr"], "offline_layers": [1, 2], "depth": 5}
    grid |= {"codecs": ["states=int8", "states=int4"], "doc_max_length": 48, "query_max_length": 24}
    tables = [("data", {"name": "toy"} | {key: str(TOY / name) for key, name in FILES.items()}), ("grids", grid)]
    path.write_text("".join(f"[[{name}]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in t.items()) for name, t in tables))
    return path


@pytest.fixture(scope="module")
def expected(toml, tmp_path_factory):
    with small_disk(tmp_path_factory.mktemp("whole") / "disk") as disk:  # bytes on disk depend on the file system
        assert lateint(["study", str(toml), "--output", str(disk / "study")]) == 0
        return timeless(disk / "study")


def timeless(folder):
    found = json.loads((folder / "results.json").read_text())
    return [{key: value for key, value in point.items() if key != "timing"} for point in found["points"]], found["data"]


def fill_before(patch, moment, disk):
    """Fill a disk up to the given number of free bytes at the n-th call of a function."""
    module, name, call, left = moment
    function, calls = getattr(module, name), []

    def filling(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            state = os.statvfs(disk)
            (disk / "ballast").write_bytes(bytes(state.f_bavail * state.f_frsize - left))
        return function(*args, **kwargs)

    patch.setattr(module, name, filling)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: "-".join(map(str, moment[1:])))
def test_a_full_disk_in_the_middle_loses_nothing_that_was_finished(toml, expected, tmp_path, monkeypatch, capsys, moment):
    with small_disk(tmp_path / "disk") as disk:
        call = ["study", str(toml), "--output", str(disk / "study")]
        with monkeypatch.context() as patch:
            fill_before(patch, moment, disk)
            assert lateint(call) == 1
        *points, last = capsys.readouterr().err.splitlines()
        assert last.startswith("lateint: no space") and "free some" in last and str(disk) in last
        kept = {file: file.read_bytes() for file in (disk / "study").glob("points/*.json")}
        assert len(kept) == len(points) and not list((disk / "study").rglob("*.tmp"))
        (disk / "ballast").unlink()
        assert lateint(call) == 0 and timeless(disk / "study") == expected
        assert kept == {file: file.read_bytes() for file in kept}, "a finished point is not measured again"
