"""Checkpoints and stores of an earlier version open, rank, and give the scores that it gave."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lateint

GOLDEN = Path(__file__).parent / "golden" / "v0.1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
NAMES = ["golden_words", "golden_blocks"]
TOLERANCE = 1e-5  # another processor may round differently


@pytest.fixture
def golden(tmp_path):
    """A copy, so that nothing is written beside the committed files."""
    shutil.copytree(GOLDEN, tmp_path / "v0.1")
    return tmp_path / "v0.1"


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_store_ranks_with_an_earlier_checkpoint_as_it_did(golden, name):
    model = lateint.load_model(str(golden / name / "model"))
    with lateint.open_store(golden / name / "store") as store:
        assert store.verify().ok and store.content_digest() == EXPECTED[name]["content_digest"]
        ranker = lateint.Ranker(model, store)
        for query, expected in zip(EXPECTED["queries"], EXPECTED[name]["scores"], strict=True):
            found = {hit.doc_id: hit.score for hit in ranker.rank(query, list(expected))}
            np.testing.assert_allclose([found[i] for i in expected], list(expected.values()), atol=TOLERANCE, rtol=TOLERANCE)
            assert max(expected.values()) - min(expected.values()) > 1e-2, "scores that spread"


@pytest.mark.parametrize("name", NAMES)
def test_a_store_built_today_equals_the_earlier_one(golden, tmp_path, name):
    model = lateint.load_model(str(golden / name / "model"))
    with lateint.open_store(golden / name / "store") as store:
        recorded = store.info()
        assert recorded["model"]["name"] == f"{name}/model"
    ids = list(EXPECTED[name]["scores"][0])
    texts = [lateint.Document(doc_id, "bread") for doc_id in ids[:2]]
    with lateint.build_store(model, texts, tmp_path / "built") as built:
        fresh = built.info()
    assert fresh["fingerprint"].items() > recorded["fingerprint"].items(), "facts may be added"
    assert fresh["head"] == recorded["head"]


def test_a_checkpoint_saved_today_has_the_same_tensors(golden, tmp_path):
    from safetensors.torch import load_file

    for name in NAMES:
        lateint.load_model(str(golden / name / "model")).save_pretrained(str(tmp_path / name))
        before, after = (load_file(folder / "lateint.safetensors") for folder in (golden / name / "model", tmp_path / name))
        assert {key: tensor.shape for key, tensor in before.items()} == {key: tensor.shape for key, tensor in after.items()}
        assert all((before[key].float() - after[key]).abs().max() == 0 for key in before)
