"""Entries that no text of the model gives are refused, alone and among others; no kernel and no layer reads them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import DamagedStore, InputError, ModelError, StoreMismatch
from lateint.indexing.build import build_store, store_layout
from lateint.indexing.chunks import Chunks
from lateint.indexing.store import Store, open_store, recorded_model
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_store import Entry, create_store, parse_codecs
from tests.support import engine, mutants
from tests.support.engine import LENGTHS, QUERY

SOUND = {"token_ids": np.array([2, 9, 3]), "states": np.ones((3, 32), np.float32), "vector": np.ones(32, np.float32)}
WORDS = replace(mutants.WORDS, compressor=part("words", width=8, bits=8, vocabulary=100), codecs=())
NO_MARKS = replace(preset("mice"), name="no marks", pool=part("no_punctuation"))


def foreign(folder, model, arrays, chunks=None):
    """A store with the facts of the model, of an entry "sound" and an entry "odd" that it did not write."""
    through, about = store_layout(model, None, chunks)
    with create_store(folder, through, kind=Store, **about) as store:
        entries = {"sound": {}, "odd": arrays}
        made = [Entry(i, {name: own.get(name, SOUND.get(name)) for name in through}) for i, own in entries.items()]
        store.append(made, len(made), "x")
    return folder


CASES = {
    "no rows": ("mice", {"states": np.zeros((0, 32), np.float32)}, "0 tokens; expected 1 to 48"),
    "more rows than a text": ("mice", {"states": np.ones((49, 32), np.float32)}, "49 tokens; expected 1 to 48"),
    "no token": ("cross_encoder", {"token_ids": np.array([], np.int64)}, "0 tokens; expected 1 to 48"),
    "too many tokens": ("cross_encoder", {"token_ids": np.full(5_000, 9)}, "5000 tokens; expected 1 to 48"),
    "beyond the vocabulary": ("cross_encoder", {"token_ids": np.array([2, 128, 3])}, "token id 128; expected 0 to 127"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_entry_that_no_text_gives_is_refused_alone_and_in_a_batch(tmp_path, case):
    method, arrays, reason = CASES[case]
    model = engine.model(method)
    with open_store(foreign(tmp_path / "s", model, arrays)) as store:
        ranker = Ranker(model, store)
        assert len(ranker.rank(QUERY, ["sound"])) == 1
        for ids in (["odd"], ["sound", "odd"]):
            with pytest.raises(StoreMismatch, match=f"entry 'odd' holds {reason}"):
                ranker.rank(QUERY, ids)


@pytest.mark.parametrize("vectors", ["cast:dtype=float32", "rotated:bits=4,scale=none"])
def test_a_word_piece_that_the_compressor_lacks_is_refused_decoded_and_as_stored(tmp_path, vectors):
    model = load_model(tiny.checkpoint("bert"), WORDS, **LENGTHS)
    through, about = store_layout(model, parse_codecs(f"vector={vectors}"), None)
    rows = np.array([[5, 0, 1], [255, 255, 1]], np.uint8)
    with create_store(tmp_path / "s", through, kind=Store, **about) as store:
        store.append([Entry("odd", {"states": rows, "vector": SOUND["vector"]})], 1, "x")
        with pytest.raises(ModelError, match="word piece 65535"):
            Ranker(model, store).rank(QUERY, ["odd"])


@pytest.mark.parametrize("count", [0, 60_000_000])
def test_a_number_of_chunks_that_no_document_has_is_refused_before_they_are_looked_up(tmp_path, count):
    model = engine.model("mice")
    through, about = store_layout(model, None, Chunks(20))
    with create_store(tmp_path / "s", through, kind=Store, **about) as store:
        store.append([Entry("0#0", {"states": SOUND["states"], "chunks": np.array([count])})], 1, "x")
        with pytest.raises(DamagedStore, match=f"it records {count} chunks; expected 1 to 65536"):
            Ranker(model, store).rank(QUERY, ["0"])


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A checkpoint whose tokenizer adds no special tokens: a text can have no token."""
    folder = tmp_path_factory.mktemp("bare") / "model"
    shutil.copytree(tiny.checkpoint("bert"), folder)
    data = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(data | {"post_processor": None}))
    return folder


@pytest.mark.parametrize("method", ["mice", NO_MARKS, "cosine", "prettr"])
def test_a_document_without_a_token_is_refused_by_its_id_and_punctuation_alone_has_a_score(tmp_path, bare, method):
    model = load_model(bare, method, **LENGTHS)
    for texts in ([""], ["river", ""], ["", "river"]):
        with pytest.raises(InputError, match=f"id '{texts.index('')}'.*holds no token, and this tokenizer adds no special"):
            build_store(model, texts, tmp_path / f"s{len(texts)}{texts.index('')}")
        with pytest.raises(InputError, match="holds no token"):
            Ranker(model).rank(QUERY, documents=texts)
    with build_store(model, ["river", ". ,", "!"], tmp_path / "s") as store:
        stored = engine.scores(Ranker(model, store).rank(QUERY, ["0", "1", "2"]))
        assert stored["1"] == pytest.approx(Ranker(model, store).rank(QUERY, ["1"])[0].score, abs=1e-4)
    assert engine.scores(Ranker(model).rank(QUERY, documents=["river", ". ,", "!"])) == pytest.approx(stored, abs=1e-4)


@pytest.mark.parametrize("odd", [5, "", "20", "20/x", "20/6/1/2", "20/30", ["20"]])
def test_odd_chunks_in_a_manifest_are_damage(tmp_path, odd):
    model = engine.model("mice")
    through, about = store_layout(model, None, Chunks(20))
    about["fingerprint"]["chunks"] = odd
    with (
        create_store(tmp_path / "s", through, kind=Store, **about) as store,
        pytest.raises(DamagedStore, match="records chunks"),
    ):
        Ranker(model, store)


@pytest.mark.parametrize("odd", [None, 5, {}, {"name": "mice"}, {"head": []}])
def test_an_odd_method_or_canary_in_a_manifest_is_a_mismatch(tmp_path, odd):
    model = engine.model("mice")
    through, about = store_layout(model, None, None)
    about["model"]["method"] = odd
    about["canary"]["states"] = odd
    with create_store(tmp_path / "s", through, kind=Store, **about) as store:
        with pytest.raises(StoreMismatch, match="records a method that this version does not have"):
            recorded_model(store)
        with pytest.raises(StoreMismatch, match="no longer computes the states"):
            Ranker(model, store)


@pytest.mark.parametrize(("dtype", "advice"), [("float32", "index again"), ("float16", "load it with dtype='float32'")])
def test_a_score_that_is_not_finite_is_refused_with_a_step_that_can_help(dtype, advice):
    model = engine.fresh_model("mice", dtype=dtype)
    with torch.no_grad():
        model.head.readout.weight.fill_(torch.finfo(getattr(torch, dtype)).max)
    with pytest.raises(ModelError, match=f"candidate 0 of 2 the score .*{advice}") as caught:
        Ranker(model).rank(QUERY, documents=["bread oven", "river"])
    assert dtype == "float16" or "dtype=" not in str(caught.value)
