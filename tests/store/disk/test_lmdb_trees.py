"""Three kinds of damage that LMDB's verifier misses; each test also shows that it misses them."""

import struct

import pytest
from lmdb.verify import verify

from lateint_store import open_store
from lateint_store.disk import lmdb_pages as pages
from lateint_store.disk.lmdb_trees import LEAF, NUMBER, ROOT, SUB_TREE, Trees
from tests.support.stores import build

PAGE = 4096


@pytest.fixture
def data(tmp_path):
    with build(tmp_path / "s", 420) as store:
        store.delete(["doc7", "doc300"])
    return tmp_path / "s" / "shard-0000" / "data.mdb"


def tree(data, name):
    """Root page number and first node of a named database."""
    with data.open("rb") as file:
        meta = pages.read_meta(file)
        trees = Trees(file, meta.page_size, meta.last_page)
        first = dict(trees.databases(meta.root))[name]
        return first, next(trees.nodes(first))


def assert_refused(data, place, mask, reason):
    content = bytearray(data.read_bytes())
    pages.check_unsealed(data)
    content[place] ^= mask
    data.write_bytes(content)
    assert verify(str(data), subdir=False) == []
    with pytest.raises(pages.PageError, match=reason):
        pages.check_unsealed(data)


def test_the_header_of_a_set_of_duplicates(data):
    first, node = tree(data, b"deleted")
    assert not node.flags & SUB_TREE
    assert_refused(data, (first + 1) * PAGE - len(node.value) + 10, LEAF, "set of duplicates")


@pytest.mark.parametrize("mask", [1 << bit for bit in range(8)])
def test_a_separator_that_leads_past_some_keys(data, mask):
    _, node = tree(data, b"ids")
    branch = NUMBER.unpack_from(node.value, ROOT)[0] * PAGE
    count = (struct.unpack_from("=H", data.read_bytes(), branch + 12)[0] - 16) // 2
    assert node.flags & SUB_TREE and count > 1
    second = branch + struct.unpack_from("=H", data.read_bytes(), branch + 18)[0]
    assert_refused(data, second + 8, mask, "does not lead to all keys")


def test_a_meta_page_that_takes_another_turn(data):
    """One flipped bit makes the older meta page the newer one: the last commit would silently be undone."""
    with data.open("rb") as file:
        before = [meta.transaction for meta in pages.read_metas(file)]
    while before[1] % 4 not in (2, 3):  # so that bit 1 lowers the newer number by two
        with open_store(data.parent.parent, write=True) as store:
            store.start_run()
        before = [number + 1 for number in before]
    assert_refused(data, before[1] % 2 * PAGE + 16 + pages.META.size - 8, 2, "transaction")
