"""What describes a store, and the words that choose, are checked by type: the error names the argument."""

import numpy as np
import pytest

import lateint
from lateint_store import ArraySpec, Pipeline, create_store, format_codecs, open_store, part
from lateint_store.errors import InputError
from tests.support.stores import ABOUT, build, specs

ARRAY = np.zeros(2)  # compares with anything, to another array
ODD = [None, 7, 1.5, "x", b"x", [], {"a": 1}, ARRAY, str, ...]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_a_pipeline_is_made_of_a_spec_and_parts(value):
    with pytest.raises(InputError, match=r"^spec is a"):
        Pipeline(value)
    for parts in (value, [value]):
        if not isinstance(parts, list) or parts:
            with pytest.raises(InputError, match=r"^(parts is a|a codec among the parts is a)"):
                Pipeline(ArraySpec("float32", 8), parts)


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_a_new_store_takes_pipelines_by_name_and_a_pair_for_a_shard(tmp_path, value):
    for odd in (value, {"states": value}, {7: Pipeline(ArraySpec("float32", 8))}):
        with pytest.raises(InputError, match=r"specs|array"):
            create_store(tmp_path / "s", odd, **ABOUT)
    if value is not None:
        with pytest.raises(InputError, match="shard"):
            create_store(tmp_path / "s", specs(), **ABOUT, shard=value)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_words_flags_and_fetched_bytes_are_named(tmp_path, value):
    with build(tmp_path / "s", 4) as store:
        calls = {
            "array dtype": lambda: ArraySpec(value, 8),
            "array rows": lambda: ArraySpec("float32", 8, value),
            "write is": lambda: open_store(tmp_path / "s", write=value),
            "fetched is": lambda: store.decode(value),
            "no method is called": lambda: lateint.preset(value),
            "(codecs is|one of codecs)": lambda: format_codecs({"vector": [value]} if isinstance(value, dict) else value),
        }
        if not isinstance(value, list | dict | np.ndarray):
            calls["coded is"] = lambda: store.decode(store.fetch(["doc1"]), value)
        for name, call in calls.items():
            with pytest.raises(InputError, match=rf"^{name}"):
                call()


def test_an_array_for_a_word_is_refused_by_name(rich_models, tmp_path):
    model, store = rich_models
    ranker = lateint.Ranker(model, store)
    with pytest.raises(InputError, match=r"^missing="):
        ranker.rank("bread", ["d00"], missing=ARRAY)
    with pytest.raises(InputError, match=r"^index="):
        lateint.Retriever(model, store, ARRAY)
    with pytest.raises(InputError, match=r"^activation_fn="):
        ranker.predict([("bread", "oven")], activation_fn=str)


@pytest.fixture(scope="module")
def rich_models(tmp_path_factory):
    from tests.support import engine
    from tests.support.retrieving import RICH

    model = engine.fresh_model(RICH)
    with lateint.build_store(model, engine.DOCUMENTS[:3], tmp_path_factory.mktemp("rich") / "s") as store:
        yield model, store


def test_a_part_is_named_in_a_pipeline_that_is_sound():
    assert Pipeline(ArraySpec("float32", 8), iter([part("int8")])).parts[0].name == "int8"
