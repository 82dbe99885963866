from contextlib import suppress

import pytest

from lateint_store.disk import lmdb_pages as pages
from tests.support.stores import build


@pytest.fixture
def data(tmp_path):
    build(tmp_path / "s", 100).close()
    return tmp_path / "s" / "shard-0000" / "data.mdb"


def test_an_intact_file_passes(data):
    pages.check_unsealed(data)
    with data.open("rb") as file:
        meta = pages.read_meta(file)
    assert meta.transaction > 1 and (meta.last_page + 1) * meta.page_size <= data.stat().st_size


def test_a_file_that_lost_its_last_commit_is_noticed(data):
    content = bytearray(data.read_bytes())
    with data.open("rb") as file:
        newest = pages.read_meta(file).transaction % 2
    place = newest * 4096 + 16 + pages.META.size - 8
    content[place + 1] ^= 1
    data.write_bytes(content)
    with pytest.raises(pages.PageError):
        pages.check_unsealed(data)


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"x" * 100_000])
def test_what_is_no_lmdb_file_is_noticed(data, content):
    data.write_bytes(content)
    with pytest.raises(pages.PageError):
        pages.check_unsealed(data)
    with pytest.raises(pages.PageError):
        pages.structure_digest(data)


def test_without_lmdbs_verifier_sizes_are_still_checked(data, monkeypatch):
    monkeypatch.setattr(pages, "verify", None)
    pages.check_unsealed(data)
    data.write_bytes(data.read_bytes()[:-4096])
    with pytest.raises(pages.PageError, match="shorter than its last page"):
        pages.check_unsealed(data)


def test_the_structure_digest_covers_everything_but_overflow_contents(tmp_path):
    with build(tmp_path / "s", 400) as store:
        store.seal()
    data = tmp_path / "s" / store.manifest.shards[0].folder / "data.mdb"
    data.chmod(0o644)
    content, digest = data.read_bytes(), pages.structure_digest(data)
    assert digest == store.manifest.shards[0].structure_digest
    unseen = 0
    for place in range(5, len(content), 499):
        data.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with suppress(pages.PageError):
            unseen += pages.structure_digest(data) == digest
    assert 0 < unseen < len(content) // 499
