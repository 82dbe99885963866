"""Checkpoints: save and load, and deltas over a base."""

import json
import os
import pickle
import shutil

import pytest
import torch

from lateint.errors import ModelError
from lateint.indexing.fingerprint import fingerprint
from lateint.loading.delta import save_delta
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.digests import digest_json, digest_tensors
from lateint.model.saving import save
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, processes
from tests.support.engine import DOCUMENTS, LENGTHS, QUERY

COMPRESSED = engine.replace(preset("mice"), name="compressed", compressor=part("linear", width=8), offline_layers=2)
BOTTLENECK = engine.replace(preset("prettr"), name="bottleneck", compressor=part("bottleneck", width=8))
RESIDUAL = engine.replace(
    COMPRESSED, name="residual", vector=part("mean"), head=part("cross_blocks", first=2, residual="evidence")
)
CASES = [*engine.METHODS, COMPRESSED, BOTTLENECK, RESIDUAL]


def named(case):
    return case if isinstance(case, str) else case.name


def scores(model):
    return engine.scores(Ranker(model).rank(QUERY, documents=DOCUMENTS[:8]))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_saved_model_comes_back_with_equal_scores(tmp_path, case):
    model = engine.shaken(case)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.method == model.method and loaded.checkpoint
    assert digest_tensors(loaded.state_dict()) == digest_tensors(model.state_dict())
    assert scores(loaded) == scores(model) != scores(engine.fresh_model(case))
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_comes_back(tmp_path, family):
    model = engine.shaken("prettr", family)
    model.save_pretrained(tmp_path)
    assert scores(load_model(tmp_path)) == scores(model)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_delta_over_a_base_comes_back_and_holds_only_what_differs(tmp_path, case):
    model = engine.fresh_model(case)
    with torch.no_grad():
        model.backbone.layers[1].feed_forward.up.weight.add_(0.1)
    save_delta(model, tmp_path, str(tiny.checkpoint("bert")))
    loaded = load_model(tmp_path)
    assert digest_tensors(loaded.state_dict()) == digest_tensors(model.state_dict()) and scores(loaded) == scores(model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lateint.json", "lateint.safetensors"]
    changed = [name for name in _tensors(tmp_path) if name.startswith("backbone.")]
    assert len(changed) == 1 and changed[0].endswith("layer.1.intermediate.dense.weight")


def _tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "lateint.safetensors")


def test_a_narrow_delta_is_smaller_and_close(tmp_path):
    model = engine.shaken("mores")
    for name, dtype in (("wide", None), ("narrow", torch.float16)):
        save_delta(model, tmp_path / name, str(tiny.checkpoint("bert")), dtype=dtype)
    sizes = [(tmp_path / name / "lateint.safetensors").stat().st_size for name in ("wide", "narrow")]
    assert sizes[1] < 0.6 * sizes[0]
    found, wanted = scores(load_model(tmp_path / "narrow")), scores(model)
    assert found != wanted and max(abs(found[i] - wanted[i]) for i in wanted) < 1e-2


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_narrow_full_checkpoint_is_half_as_large_and_close(tmp_path, family):
    model = engine.model("dipair", family)
    for name, dtype in (("wide", None), ("narrow", torch.float16)):
        save(model, tmp_path / name, dtype=dtype)
    assert model.backbone.model.dtype == torch.float32  # saving does not change the model
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("narrow", "wide")]
    assert sizes[0] < 0.7 * sizes[1]  # names and shapes are a large share of such a small file
    wide, narrow = (load_model(tmp_path / name) for name in ("wide", "narrow"))
    assert {tensor.dtype for tensor in narrow.state_dict().values() if tensor.is_floating_point()} == {torch.float32}
    for (name, ours), theirs in zip(narrow.state_dict().items(), wide.state_dict().values(), strict=True):
        assert torch.allclose(ours.double(), theirs.double(), rtol=2**-11, atol=2**-24), name


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_others_may_read_a_checkpoint_if_the_umask_says_so(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save(engine.model(), tmp_path / "saved")
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "saved").iterdir()} == {mode}


def test_a_delta_whose_base_changed_is_refused_naming_both_digests(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny.checkpoint("bert"), base)
    model = load_model(base, "prettr", **LENGTHS)
    save_delta(model, tmp_path / "delta", str(base))
    recorded = json.loads((tmp_path / "delta/lateint.json").read_text())["base"]["digest"]
    engine.flip(base / "model.safetensors", -5)
    with pytest.raises(ModelError, match=f"delta over {base}.*{recorded[:12]}.*found here has [0-9a-f]{{12}}"):
        load_model(tmp_path / "delta")


def test_a_bare_encoder_becomes_a_cosine_and_a_classifier_a_split_ranker(tmp_path):
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / "bare")
    engine.edit(tmp_path / "bare/config.json", architectures=["BertModel"])
    assert load_model(tmp_path / "bare", **LENGTHS).method.name == "cosine"
    model = load_model(tiny.checkpoint("bert"), **LENGTHS)
    assert (model.method.name, model.method.depth, model.method.query_depth) == ("prettr", 2, 2)
    assert load_model(tiny.checkpoint("bert"), offline_layers="T-1", **LENGTHS).method.depth == 3


def test_fresh_parameters_and_fingerprints_are_equal_in_two_processes():
    theirs, their_seed = processes.call(fresh_digests, str(tiny.checkpoint("bert")))
    ours, our_seed = fresh_digests(tiny.checkpoint("bert"))
    assert theirs == ours and len(set(ours)) == 4
    assert their_seed != our_seed, "the order of sets must differ between the two processes"


def fresh_digests(checkpoint):
    """Digests of new parameters and of fingerprints, and a value that depends on how this process hashes strings."""
    models = [load_model(checkpoint, method, doc_max_length=48) for method in ("mores", "colbert")]
    return [d for m in models for d in (digest_tensors(m.state_dict()), digest_json(fingerprint(m)))], hash("a string")


def test_no_pickle_is_ever_read(tmp_path, monkeypatch):
    engine.shaken("mores").save_pretrained(tmp_path)

    def refuse(*_args, **_options):
        raise AssertionError("a pickle was read")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    assert load_model(tmp_path).method.name == "mores"
    assert load_model(tiny.checkpoint("bert"), "prettr", **LENGTHS).method.name == "prettr"
