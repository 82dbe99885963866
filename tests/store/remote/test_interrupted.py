"""SIGKILL between two transfers: the same call again continues, and nobody sees a half store meanwhile."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from lateint_store import fetch_store, publish_store, read_publication, verify_store
from lateint_store.remote import fetch
from lateint_store.remote.objects import ObjectFolder
from tests.support.remote import run_remote


@pytest.mark.parametrize(("point", "kept"), [("remote.uploaded:2", 2), ("remote.before_publish:1", 5)])
def test_a_killed_publish_continues(stores, s3, tmp_path, point, kept):
    assert run_remote("publish_store", stores / "whole", s3, kill_at=point)[0] == -signal.SIGKILL
    assert read_publication(s3) is None
    done = publish_store(stores / "whole", s3)
    everything = [*done.publication.files, done.publication.index]
    assert done.created and done.kept == sum(file.bytes for file in everything[:kept])
    assert verify_store(fetch_store(s3, tmp_path / "copy")).ok


@pytest.mark.parametrize("point", ["remote.fetched_part:2", "remote.fetched_file:2", "remote.before_rename:1"])
def test_a_killed_fetch_continues(stores, s3, tmp_path, point, monkeypatch):
    publication = publish_store(stores / "whole", s3).publication
    target = tmp_path / "copy"
    assert run_remote("fetch_store", s3, target, kill_at=point)[0] == -signal.SIGKILL
    assert not target.exists(), "nothing half is visible"
    read = []
    reading = ObjectFolder.read_range

    def counted(self, name, start, end):
        read.append(name)
        return reading(self, name, start, end)

    monkeypatch.setattr(ObjectFolder, "read_range", counted)
    assert verify_store(fetch_store(s3, target)).ok
    names = [file.object for file in publication.files]
    left = {"remote.fetched_part:2": names[2:], "remote.fetched_file:2": names[2:], "remote.before_rename:1": []}[point]
    assert [name for name in read if name in names] == left, "only what was not there is read"
    assert [entry.name for entry in tmp_path.iterdir()] == ["copy"]


def test_a_partial_file_goes_on_where_it_ended(stores, local, tmp_path, monkeypatch):
    publish_store(stores / "whole", local)
    starts = []
    reading = ObjectFolder.read_range

    def failing(self, name, start, end):
        starts.append(start)
        if start >= 8 << 10 and len(starts) < 8:
            raise KeyboardInterrupt
        return reading(self, name, start, end)

    monkeypatch.setattr(fetch, "PART", 4 << 10)
    monkeypatch.setattr(fetch, "_RANGES", 1)
    monkeypatch.setattr(ObjectFolder, "read_range", failing)
    with pytest.raises(KeyboardInterrupt):
        fetch_store(local, tmp_path / "copy")
    part = next(tmp_path.rglob("*.part"))
    assert part.stat().st_size == 8 << 10
    monkeypatch.setattr(ObjectFolder, "read_range", reading)
    monkeypatch.setattr(fetch, "PART", 8 << 20)
    ranges = []
    monkeypatch.setattr(ObjectFolder, "read_range", lambda *each: (ranges.append(each[2]), reading(*each))[1])
    assert verify_store(fetch_store(local, tmp_path / "copy")).ok
    assert 8 << 10 in ranges


def test_a_torn_partial_file_is_fetched_anew(stores, local, tmp_path):
    publication = publish_store(stores / "whole", local).publication
    partial = tmp_path / f".copy.{publication.digest[:16]}.partial" / "shard-0003"
    partial.mkdir(parents=True)
    (partial / "data.mdb.part").write_bytes(b"\0" * 5000)
    assert verify_store(fetch_store(local, tmp_path / "copy")).ok


def test_many_fetch_to_one_place(stores, s3, tmp_path):
    publish_store(stores / "set", s3)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: fetch_store(s3, tmp_path / "copy"), range(4)))
    assert len(set(made)) == 1 and verify_store(made[0]).ok
    assert [entry.name for entry in tmp_path.iterdir()] == ["copy"]


def test_many_publish_at_one_url(stores, s3, tmp_path):
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: publish_store(stores / "whole", s3), range(4)))
    assert sum(each.created for each in done) == 1 and len({each.publication.digest for each in done}) == 1
    assert verify_store(fetch_store(s3, tmp_path / "copy")).ok
