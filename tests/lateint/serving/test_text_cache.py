"""The text cache returns what a store would return, to the same model only, within its bound, whatever happens to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.indexing.build import build_store
from lateint.indexing.codecs import pipelines
from lateint.indexing.encoding import encode_window
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.ranking.aggregate import Aggregate, score_documents
from lateint.ranking.ranker import Ranker
from lateint.serving.cache_binding import CacheBinding
from lateint.serving.cache_folder import LEAST_BYTES
from lateint.serving.text_cache import TextCache
from lateint_store import Pipeline, parse_codecs
from lateint_store.disk.files import allocated_bytes
from lateint_store.ragged import Ragged
from tests.support import engine
from tests.support.caching import TEXTS, equal, holds, opened, put, states
from tests.support.mutants import WORDS

MIB = 1 << 20
DOCUMENTS = engine.DOCUMENTS[:30]
LOSSY = {"prettr": "states=rotated:bits=4,scale=none+zstd", "colbert": "states=int8+zstd", "words": "vector=rotated:bits=2"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def method_model(name):
    return engine.fresh_model(WORDS) if name == "words" else engine.model(name)


def encoded(model, documents):
    return [entry.arrays for entry in encode_window(model, documents, 0).entries]


# The same arrays as a store


@pytest.mark.parametrize("name", ["prettr", "colbert", "words"])
def test_a_text_has_the_arrays_that_a_store_returns(folder, tmp_path, name):
    model, codecs = method_model(name), parse_codecs(LOSSY[name])
    titled = [replace(document, title=title) for document, title in zip(DOCUMENTS, ["", "oven", "a star"] * 10, strict=True)]
    texts = [document.full_text for document in titled]
    with build_store(model, titled, tmp_path / "store", codecs=codecs) as store:
        wanted = store.get([document.id for document in titled])
        with opened(folder, model, through=store.manifest.specs) as cache:
            cache.put(texts, encoded(model, titled))
            found = cache.get([*texts, "not there", texts[0]])
    assert all(map(equal, [*found[:-2], found[-1]], [*wanted, wanted[0]])) and found[-2] is None
    assert not all(map(equal, found[:-2], encoded(model, titled))), "the codecs of this test lose nothing"


@pytest.mark.parametrize("name", ["prettr", "colbert", "words"])
def test_scores_from_the_cache_are_those_of_ranking_the_texts(folder, name):
    model = method_model(name)
    with opened(folder, model) as cache:
        texts = [document.full_text for document in DOCUMENTS]
        cache.put(texts, encoded(model, DOCUMENTS))
        found = cache.get(texts)
        arrays = {array: joined([entry[array] for entry in found], pipeline.spec_out) for array, pipeline in
                  cache._binding.through.items() if array in model.head.reads}  # fmt: skip
    scores = score_documents(model, model.query(engine.QUERY), arrays, [1] * len(texts), Aggregate.parse("max"))
    ranked = engine.scores(Ranker(model).rank(engine.QUERY, documents=DOCUMENTS))
    assert [ranked[document.id] for document in DOCUMENTS] == scores and len(set(scores)) > 20


def joined(entries, spec):
    rows = [1 if spec.rows == "one" else len(entry) for entry in entries]
    values = np.stack(entries) if spec.rows == "one" else np.concatenate(entries)
    return Ragged(values, np.cumsum([0, *rows]), spec)


# Another model, another text


def test_only_the_model_that_put_a_text_finds_it(folder):
    others = {
        "weights": engine.shaken("colbert"),
        "length": engine.model("colbert", doc_max_length=40),
        "method": engine.model("prettr"),
        "dtype": engine.fresh_model("colbert", dtype="bfloat16"),
        "family": engine.model("colbert", "electra"),
    }
    with opened(folder) as cache:
        put(cache, TEXTS[:5])
    for name, other in others.items():
        with opened(folder, other) as cache:
            assert cache.get(TEXTS[:5]) == [None] * 5, name
            cache.put(TEXTS[5:6], [states(other, TEXTS[5])])
    with opened(folder, engine.fresh_model("colbert")) as cache:
        assert holds(cache, TEXTS[:6]) == [True] * 5 + [False], "another model removed what it found"


def test_other_codecs_are_another_cache_even_if_their_bytes_have_one_size(folder):
    model = engine.model("colbert")
    spec = pipelines(model)["states"].spec
    for seed in (1, 2):
        with opened(folder, through={"states": Pipeline(spec, (part("rotated", bits=4, seed=seed),))}) as cache:
            assert cache.get(TEXTS[:1]) == [None]
            cache.put(TEXTS[:1], [states(model, TEXTS[0])])
            assert cache.get(TEXTS[:1]) != [None]


def test_keys_and_records_are_both_bound_to_the_model():
    bindings = [CacheBinding.of(model, None) for model in (engine.model("colbert"), engine.shaken("colbert"))]
    assert len({binding.format.uuid for binding in bindings}) == 2
    assert not set(bindings[0].keys(TEXTS)) & set(bindings[1].keys(TEXTS))


def test_a_model_that_changes_while_the_cache_is_open_finds_nothing_of_before(folder):
    model = engine.fresh_model("colbert")
    with opened(folder, model) as cache:
        cache.put(["bread"], [states(model, "bread")])
        with torch.no_grad():
            model.backbone.word_embeddings.add_(1.0)
        assert cache.get(["bread"]) == [None]
        with torch.no_grad():
            model.backbone.word_embeddings.sub_(1.0)


def test_a_key_belongs_to_one_text(folder):
    texts = ["a b", "a  b", "ab", " a b", "a b ", "A b", "", "a\x00b", "é", "e\u0301"]
    with opened(folder) as cache:
        put(cache, texts[:1])
        assert holds(cache, texts) == [True] + [False] * 9
        put(cache, texts)
        assert holds(cache, texts) == [True] * 10
    assert Document("1", "b c", "a").full_text == Document("2", "c", "a b").full_text, "one text for the encoder: one entry"


@pytest.mark.parametrize("texts", ["bread", [b"bread"], [Document("1", "bread")], ["\ud800"], [None]])
def test_what_is_no_text_is_refused(folder, texts):
    with opened(folder) as cache, pytest.raises(InputError):
        cache.get(texts)


def test_arguments_are_checked_before_anything_is_written(folder):
    model = engine.model("colbert")
    right = states(model, "bread")
    with pytest.raises(InputError, match="max_bytes"):
        TextCache.open(folder, model, LEAST_BYTES - 1)
    with pytest.raises(InputError, match="expected a model"):
        TextCache.open(folder, "colbert", LEAST_BYTES)
    with pytest.raises(InputError, match="no pipeline"):
        TextCache.open(folder, model, LEAST_BYTES, through={})
    assert not folder.exists()
    with opened(folder) as cache:
        for wrong in ([], [{}], [{"states": right["states"].astype(np.float64)}], [{"states": right["states"] * np.nan}], [3]):
            with pytest.raises(InputError):
                cache.put(["bread"], wrong)
        assert cache.get(["bread"]) == [None] and cache.problem is None


# Bounded, least recently used first


def test_the_least_recently_used_texts_leave_first(folder):
    texts, rows = [f"text {number}" for number in range(60)], 150  # 75 KiB each
    with opened(folder) as cache:
        for text in texts:
            put(cache, [text], rows)
            assert cache.get(texts[:2])[0] is not None
        found = [got is not None for got in cache.get(texts)]
        counts = cache.statistics()
        assert found[:2] == [True, True], "they were used all the time"
        kept = found.index(True, 2)
        assert 2 < kept < 40 and found[2:] == [False] * (kept - 2) + [True] * (60 - kept)
        assert counts["entries"] == sum(found) and counts["evicted"] == 60 - sum(found) and counts["refused"] == 0


def test_uses_are_kept_through_a_restart(folder):
    texts, rows = [f"text {number}" for number in range(40)], 150
    with opened(folder) as cache:
        put(cache, texts[:20], rows)
        cache.get(texts[:1])
        put(cache, texts[20:21], rows)  # writes that use
    with opened(folder) as cache:
        put(cache, texts[21:], rows)
        assert [got is not None for got in cache.get(texts[:2])] == [True, False]


def test_files_stay_within_the_bound_after_many_times_its_volume(folder):
    rng, largest = np.random.default_rng(0), 0
    with opened(folder) as cache:
        for number in range(40):
            rows = int(rng.choice([3, 20, 75, 220]))
            put(cache, [f"{number} {index}" for index in range(1500 // (rows + 25))], rows)
            largest = max(largest, allocated_bytes(folder))
        assert cache.problem is None and cache.statistics()["refused"] == 0
        assert cache.statistics()["evicted"] > 150 and 0.6 * LEAST_BYTES < largest <= LEAST_BYTES


def test_an_entry_too_large_for_the_bound_is_not_kept(folder):
    with opened(folder) as cache:
        put(cache, ["small"])
        put(cache, ["large"], 500)  # 250 KiB
        assert [got is not None for got in cache.get(["small", "large"])] == [True, False]
        assert cache.statistics()["refused"] == 1 and cache.problem is None
