"""Odd values in a manifest whose digest is right: what is read from the store is right, or the error is a typed one."""

import contextlib
import json
import shutil

import pytest

from lateint_store import open_store
from lateint_store.errors import DamagedStore, LateintError, StoreError
from lateint_store.format.manifest import MANIFEST_FILE, _canonical, _digest
from lateint_store.reading.verify import verify_store
from tests.support.odd_values import changed, places
from tests.support.stores import build

ODD = [None, True, -1, 0, 1 << 80, 1.5, "", "../x", "\0", [], [0, 2, 3], {}, {"a": 1}]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "s"
    build(path, 20).close()
    return path


def rewrite(path, data):
    data.pop("digest", None)
    (path / MANIFEST_FILE).write_text(_canonical(data | {"digest": _digest(data)}))


def use(path):
    """Read, verify and write, and stop at the first typed error of each; True if the store could be read."""
    read = False
    with contextlib.suppress(LateintError), open_store(path) as store:
        store.info(), list(store.ids()), store.get(["doc3"]), store.content_digest()
        read = True
    with contextlib.suppress(LateintError):
        verify_store(path)
    with contextlib.suppress(LateintError), open_store(path, write=True) as store:
        store.delete(["doc3"])
    return read


def test_no_odd_value_raises_an_untyped_error(sound, tmp_path):
    data = json.loads((sound / MANIFEST_FILE).read_text())
    every = [(path, value) for path in places(data) if path != ("digest",) for value in ODD]
    shutil.copytree(sound, tmp_path / "s")
    read = 0
    for path, value in every[::23]:
        rewrite(tmp_path / "s", changed(data, path, value))
        read += use(tmp_path / "s")
    assert read < len(every[::23]) / 2, "most odd values are refused"


CASES = {
    "a folder elsewhere": (("shards", 0, "folder"), "../other/shard-0000", "expected a name such as 'shard-0000', in"),
    "a folder named absolutely": (("shards", 0, "folder"), "/tmp/shard-0000", "expected a name such as 'shard-0000', in"),
    "no shard": (("shards",), [], "expected a list of at least one shard"),
    "half a number": (("specs", "states", "spec", "width"), 1.5, "array width 1.5"),
    "a map beyond the address space": (("map_size",), 1 << 60, "map_size"),
    "no identity": (("uuid",), "z" * 32, "32 hexadecimal digits"),
    "text for a flag": (("sealed",), "no", "expected true or false"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_value_is_named(sound, tmp_path, case):
    place, value, reason = CASES[case]
    shutil.copytree(sound, tmp_path / "s")
    rewrite(tmp_path / "s", changed(json.loads((sound / MANIFEST_FILE).read_text()), place, value))
    with pytest.raises(StoreError if case == "half a number" else DamagedStore, match=reason):
        open_store(tmp_path / "s")
