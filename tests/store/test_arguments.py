"""What callers pass to the store is checked by type; every error names the argument."""

import numpy as np
import pytest

import lateint_store
from lateint_store import Entry, parse_codecs, part, recode, verify_store
from lateint_store.errors import InputError, SpecError, StoreNotFound
from tests.support.stores import build

ODD_PATHS = ["a\0b", "x" * 300, "\udcff", "", None, 5, b"s", True]
INT8 = {"states": (part("int8"),)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with build(tmp_path_factory.mktemp("arguments") / "s", 4) as opened:
        yield opened


@pytest.mark.parametrize("path", ODD_PATHS, ids=repr)
def test_what_is_no_path_is_refused_by_every_call_that_takes_one(store, tmp_path, path):
    calls = {
        "path": lambda: lateint_store.open_store(path),
        "source": lambda: recode(path, tmp_path / "r", INT8),
        "out": lambda: recode(store.path, path, INT8),
        r"path|paths": lambda: lateint_store.merge([path], tmp_path / "m"),
    }
    for name, call in calls.items():
        with pytest.raises(InputError, match=rf"^({name})\b"):
            call()
    with pytest.raises(InputError, match=r"^path\b"):
        verify_store(path)


def test_verify_takes_a_str(store, tmp_path):
    assert verify_store(str(store.path)).ok
    with pytest.raises(StoreNotFound):
        verify_store(str(tmp_path))


@pytest.mark.parametrize(
    "codecs", [None, "states=int8", 5, [], {"states": "int8"}, {"states": [5]}, {"states": None}], ids=repr
)
def test_codecs_that_are_no_parts_by_name_are_refused(store, tmp_path, codecs):
    with pytest.raises(InputError, match=r"^codecs\b"):
        recode(store.path, tmp_path / "r", codecs)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("text", [None, 5, b"states=int8"], ids=repr)
def test_codecs_to_parse_are_text(text):
    with pytest.raises(InputError, match=r"^codecs is a"):
        parse_codecs(text)


def test_a_setting_that_is_given_twice_is_refused():
    with pytest.raises(SpecError, match=r"'bits' is given twice in 'drive:bits=4,bits=2'"):
        parse_codecs("states=drive:bits=4,bits=2")
    with pytest.raises(SpecError, match="given twice"):
        parse_codecs("states=drive:4,bits=2")


@pytest.mark.parametrize("name", [5, None, b"int8", "", "a b"], ids=repr)
def test_the_name_of_a_part_is_text(name):
    with pytest.raises(InputError, match="part name"):
        part(name)


@pytest.mark.parametrize("arrays", [5, "states", b"states", [5], {"states": 1}], ids=repr)
def test_array_names_are_a_list_of_text(store, arrays):
    for call in (lambda: store.fetch(["doc1"], arrays=arrays), lambda: list(store.scan(arrays=arrays))):
        with pytest.raises(InputError, match=r"^arrays\b"):
            call()


@pytest.mark.parametrize(
    ("end", "digest", "name"),
    [
        *((end, "x", "source_end") for end in ("9", 9.5, True, -1, 10**30)),
        *((9, digest, "source_digest") for digest in (5, None)),
    ],
    ids=repr,
)
def test_the_source_position_is_a_number_and_its_digest_text(store, end, digest, name):
    before = store.progress
    with pytest.raises(InputError, match=rf"^{name}\b"):
        store.append([], end, digest)
    assert store.progress == before


def test_an_entry_of_other_types_is_refused(store):
    states = np.zeros((2, 8), np.float32)
    for entry in (Entry(5, {"states": states}), Entry("e", {"states": "x"}), Entry("e", {}), Entry("e", 5), "e", None):
        with pytest.raises(InputError):
            store.add([entry])
    assert len(store) == 4
