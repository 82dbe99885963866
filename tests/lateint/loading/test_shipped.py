"""Shipped checkpoints: each loads without a base, ranks the answer first, and scores equally with and without a store."""

import functools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lateint.errors import InputError, ModelError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.compatibility import check_model
from lateint.indexing.store import recorded_model
from lateint.loading import packaged
from lateint.loading.load import base_of, load_model
from lateint.loading.retired import RETIRED
from lateint.loading.shipped import CHECKPOINTS, DEFAULT
from lateint.ranking.ranker import Ranker
from tests.support import engine

NAMES = sorted(folder.name for folder in CHECKPOINTS.iterdir())
QUESTION = "Which structure gives me the smallest element quickly?"
TEXTS = [
    "Dump and load JSON text.",
    "A heap keeps the smallest item of a list in front.",
    "Sort names, by length; then alphabetically!",
]
ORDINARY_QUESTION = "how do I find the smallest item of a list"
ORDINARY = [
    "A heap keeps the smallest item of a list in front.",
    "Sort a list by the length of its items.",
    "Compress bytes and write them to a file.",
    "Dough rises faster in a warm kitchen.",
    "The last ferry to the island leaves before midnight.",
    "A kettle of water boils in three minutes.",
]


loaded = functools.cache(load_model)  # for tests that do not change the model


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_comes_first_and_a_store_changes_no_score(name, tmp_path):
    model = loaded(name)
    with build_store(model, TEXTS, tmp_path / "s") as store:
        stored = Ranker(model, store).rank(QUESTION, ["0", "1", "2"])
    assert stored[0].doc_id == "1"
    fresh = Ranker(model).rank(QUESTION, documents=TEXTS)
    assert engine.scores(fresh) == pytest.approx(engine.scores(stored), abs=2e-3)


def test_the_default_goes_by_its_own_name_so_that_its_stores_stay_its_own(tmp_path):
    model = load_model()
    assert DEFAULT in NAMES and model.name == DEFAULT == "latent" == base_of("default") == base_of(DEFAULT)
    with build_store(model, TEXTS, tmp_path / "s") as store:
        assert store.manifest.model["name"] == DEFAULT
        assert store.get(["1"])[0]["states"].shape[1] == 6


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_no_base_and_no_package_and_has_a_card_that_names_it(name, monkeypatch):
    def found(package):
        raise AssertionError(f"looks for the package {package}")

    monkeypatch.setattr(packaged, "distribution", found)
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    assert load_model(name).method == loaded(name).method
    assert f"`{name}`" in (CHECKPOINTS / name / "README.md").read_text(encoding="utf-8")


def test_all_that_ships_fits_a_wheel_of_90_megabytes():
    size = sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file())
    assert size < 85e6  # int8 weights hardly shrink in an archive


@pytest.mark.parametrize("kept", [each for each in RETIRED if each.name not in NAMES], ids=lambda kept: kept.name)
def test_a_checkpoint_that_no_longer_ships_names_its_recipe_and_digest(kept):
    with pytest.raises(ModelError, match=rf"{kept.name}.*{kept.tensors[:12]}.*lateint train --recipe {kept.recipe}\b"):
        load_model(kept.name)


@pytest.mark.parametrize("kept", RETIRED, ids=lambda kept: kept.name)
def test_a_store_of_a_checkpoint_that_no_longer_ships_names_its_recipe_and_digest(kept, tmp_path):
    with build_store(loaded(DEFAULT), TEXTS, tmp_path / "s") as store:
        altered = store.manifest.fingerprint | {"states.weights": kept.weights}
        manifest = replace(store.manifest, fingerprint=altered, model=store.manifest.model | {"name": kept.name})
        before = SimpleNamespace(path=store.path, manifest=manifest)
        with pytest.raises((ModelError, StoreMismatch), match=rf"{kept.tensors[:12]}.*--recipe {kept.recipe}\b"):
            check_model(recorded_model(before), before)


def test_a_store_from_when_default_meant_another_checkpoint_names_that_one(tmp_path):
    with build_store(loaded(DEFAULT), TEXTS, tmp_path / "s") as store:
        manifest = replace(store.manifest, model=store.manifest.model | {"name": "default"})
        with pytest.raises(ModelError, match=r"'evidence'.*--recipe evidence"):
            recorded_model(SimpleNamespace(path=store.path, manifest=manifest))


@pytest.mark.parametrize("name", NAMES)
def test_predict_spreads_ordinary_texts_over_0_to_1_in_the_order_of_the_logits(name):
    ranker = Ranker(loaded(name))
    pairs = [(ORDINARY_QUESTION, text) for text in ORDINARY]
    logits, values = ranker.logits(pairs), ranker.predict(pairs)
    assert values.min() > 0 and values.max() < 1 and len(set(values.tolist())) == len(pairs)
    assert values.min() < 0.001 and values.max() > 100 * values.min()
    assert values.argsort().tolist() == logits.argsort().tolist()


@pytest.fixture
def shadowed(tmp_path, monkeypatch):
    """A working folder with a checkpoint in folders that are called like shipped ones."""
    monkeypatch.chdir(tmp_path)
    for name in ("latent", "default"):
        engine.fresh_model("cosine").save_pretrained(name)
    return tmp_path


@pytest.mark.parametrize("name", ["./latent", "latent/", "{}/latent", "./default", "../{}/latent"])
def test_a_path_is_the_folder_that_it_names(shadowed, name):
    path = name.format(shadowed if name.startswith("{") else shadowed.name)
    for given in (path, Path(path)):
        assert load_model(given).backbone.width == 32
    assert base_of(path) == path


def test_a_bare_name_that_is_a_folder_is_this_folder_with_a_warning_and_default_is_refused(shadowed):
    with pytest.warns(UserWarning, match=r"'latent' is the folder \./latent here, not the checkpoint of that name in"):
        model = load_model("latent")
    assert model.name == "./latent" and load_model(Path("latent")).backbone.width == model.backbone.width == 32
    with pytest.raises(InputError, match=r"name './default', or 'latent'"):
        load_model()


def test_a_folder_without_a_checkpoint_hides_nothing_and_a_store_finds_the_shipped_one_behind_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("latent").mkdir()
    with build_store(load_model("latent"), TEXTS, "s") as store:
        engine.fresh_model("cosine").save_pretrained("latent")
        found = recorded_model(store)
        assert found.name == "latent" and Ranker(found, store).rank(QUESTION, ["0", "1"])[0].doc_id == "1"
