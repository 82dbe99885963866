"""Codes scored as they are stored: whose codec counts, what is refused, and what bad entries do."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import DamagedStore, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine

TEXTS = [*tiny.texts(30, seed=6), "", "bread"]
IDS = [str(i) for i in range(len(TEXTS))]
CODECS = {"states": (part("rotated", bits=1, scale="none"),), "vector": (part("rotated", bits=4, scale="none"),)}


def model(width=16, family="bert"):
    """Evidence over one bit a number and a vector of 16 numbers of four."""
    method = replace(
        preset("mores"),
        head=part("evidence", document_map=False),
        towers="shared",
        compressor=part("linear", width=width),
        vector=part("mean"),
        vector_map=part("linear", width=16),
        codecs=tuple(CODECS.items()),
    )
    return load_model(tiny.checkpoint(family), method, **engine.LENGTHS)


def decoded(ranker):
    """The scores that the same ranker gives when it decodes everything."""
    (rung,) = [rung for name, rung in ranker._ladder.rungs.items() if name == "evidence"]
    rung.codecs, read = {}, rung.codecs
    try:
        return engine.scores(ranker.rank(engine.QUERY, IDS))
    finally:
        rung.codecs = read


@pytest.mark.parametrize("change", [{"bits": 2}, {"seed": 9}, {"scale": "float16"}, {"bits": 8, "seed": 4}])
def test_the_codec_of_the_store_counts_and_not_that_of_the_method(tmp_path, change):
    codecs = CODECS | {"states": (part("rotated", **(dict(CODECS["states"][0].settings) | change)),)}
    with build_store(model(), TEXTS, tmp_path / "s", codecs) as store:
        ranker = Ranker(model(), store)
        found = engine.scores(ranker.rank(engine.QUERY, IDS))
        assert ranker._ladder.own.codecs["states"].bits == change.get("bits", 1)
        assert found == pytest.approx(decoded(ranker), abs=1e-4)
        with build_store(model(), TEXTS, tmp_path / "usual") as usual:
            moved = engine.scores(Ranker(model(), usual).rank(engine.QUERY, IDS)) != found
            assert moved == ("scale" not in change)  # cosines do not look at lengths


def test_codes_of_another_rotation_than_the_manifest_says_score_otherwise(tmp_path):
    with build_store(model(), TEXTS, tmp_path / "s") as store:
        ranker = Ranker(model(), store)
        right, own = engine.scores(ranker.rank(engine.QUERY, IDS)), ranker._ladder.own
        own.codecs = own.codecs | {"states": replace(own.codecs["states"], seed=1)}
        wrong = engine.scores(ranker.rank(engine.QUERY, IDS))
        assert max(abs(wrong[i] - right[i]) for i in IDS) > 0.1


def test_another_width_is_refused_with_both_models_named(tmp_path):
    named = r"\[[0-9a-f]{12}\].*\[[0-9a-f]{12}\]"
    with build_store(model(), TEXTS, tmp_path / "s") as store, pytest.raises(StoreMismatch, match=named):
        Ranker(model(width=32), store)


@pytest.mark.parametrize("array", ["states", "vector"])
def test_a_corrupt_code_is_an_error_and_never_a_score(tmp_path, array):
    with build_store(model(), TEXTS, tmp_path / "s") as store:
        held = store.fetch(IDS, arrays=(array,))
        longest = int(held.rows.argmax())
        code = bytes(held.payloads[array][longest])
    (data,) = (tmp_path / "s").glob("shard-*/data.mdb")
    engine.flip(data, data.read_bytes().index(code))
    with open_store(tmp_path / "s") as store:
        ranker = Ranker(model(), store)
        with pytest.raises(DamagedStore, match=r"document '\d+': the checksum of array") as caught:
            ranker.rank(engine.QUERY, IDS)
        others = [doc_id for doc_id in IDS if f"document '{doc_id}'" not in str(caught.value)]
        assert len(others) == len(IDS) - 1
        assert len(ranker.rank(engine.QUERY, others)) == len(others)


def test_an_empty_document_has_a_score_and_no_word_stands_above_it(tmp_path):
    with build_store(model(), TEXTS, tmp_path / "s") as store:
        found = engine.scores(Ranker(model(), store).rank(engine.QUERY, IDS))
        assert np.isfinite(list(found.values())).all() and found["30"] < max(found.values())


def test_more_threads_than_cores_give_the_same_ranking(tmp_path):
    before = torch.get_num_threads()
    with build_store(model(), TEXTS, tmp_path / "s") as store:
        alone = engine.scores(Ranker(model(), store).rank(engine.QUERY, IDS))
        try:
            torch.set_num_threads(4 * (os.cpu_count() or 1))
            assert engine.scores(Ranker(model(), store).rank(engine.QUERY, IDS)) == pytest.approx(alone, abs=1e-4)
        finally:
            torch.set_num_threads(before)
