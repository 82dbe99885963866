"""Every damaged or foreign checkpoint folder is rejected with a reason and a next step."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AlbertConfig, AlbertModel

from lateint.errors import DamagedCheckpoint, InputError, LateintError, ModelError
from lateint.loading.delta import save_delta
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.model.digests import digest_json
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, mutants
from tests.support.engine import LENGTHS, QUERY
from tests.support.odd_values import changed, places

FOLDERS = {
    "no config": (lambda f: (f / "config.json").unlink(), ModelError, "no config.json"),
    "config no json": (lambda f: (f / "config.json").write_text("{"), DamagedCheckpoint, "not JSON"),
    "config no object": (lambda f: (f / "config.json").write_text("[]"), DamagedCheckpoint, "holds a list"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ModelError, "no tokenizer"),
    "tokenizer no json": (lambda f: (f / "tokenizer.json").write_text("{"), ModelError, "tokenizer of .* cannot be loaded"),
    "tokenizer of nothing": (lambda f: (f / "tokenizer.json").write_text("{}"), ModelError, "tokenizer of .* cannot be loaded"),
    "pickle only": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), ModelError, "pytorch_model.bin, which is pickle",
    ),
    "remote code": (
        lambda f: engine.edit(f / "config.json", auto_map={"AutoModel": "evil.Model"}), ModelError, "never runs remote code",
    ),
    "weights cut": (lambda f: engine.cut(f / "model.safetensors", -100), DamagedCheckpoint, "cannot be read"),
    "weights empty": (lambda f: engine.cut(f / "model.safetensors", 0), DamagedCheckpoint, "cannot be read"),
    "header flipped": (lambda f: engine.flip(f / "model.safetensors", 7), DamagedCheckpoint, "cannot be read"),
    "weights missing": (
        lambda f: engine.edit(f / "config.json", num_hidden_layers=6), DamagedCheckpoint, "lacks .* such as .*layer.4",
    ),
    "other shapes": (lambda f: engine.edit(f / "config.json", intermediate_size=128), ModelError, "cannot be loaded"),
    "unknown family": (
        lambda f: engine.edit(f / "config.json", model_type="t5"), ModelError,
        "'t5'; supported: bert, distilbert, electra, modernbert, roberta, xlm-roberta",
    ),
    "no family": (lambda f: engine.edit(f / "config.json", model_type="nonsense"), ModelError, "supported: bert"),
    "three labels": (
        lambda f: engine.edit(f / "config.json", id2label={0: "a", 1: "b", 2: "c"}), ModelError, "cannot be loaded",
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
    "no method": (lambda f: engine.edit(f / "lateint.json", method=None), DamagedCheckpoint, "does not describe a method"),
    "odd method": (lambda f: engine.edit(f / "lateint.json", method={"name": "x"}), DamagedCheckpoint, "unknown or missing"),
    "odd base": (lambda f: engine.edit(f / "lateint.json", base=5), DamagedCheckpoint, "does not describe a method"),
    "a later format": (lambda f: engine.edit(f / "lateint.json", format=3), ModelError, "format 3; this version reads 1 and 2"),
    "no tensors": (lambda f: (f / "lateint.safetensors").unlink(), DamagedCheckpoint, "cannot be read"),
    "tensors flipped": (lambda f: engine.flip(f / "lateint.safetensors", -3), DamagedCheckpoint, "download it again"),
    "tensors cut": (lambda f: engine.cut(f / "lateint.safetensors", 100), DamagedCheckpoint, "download it again"),
    "weights flipped": (
        lambda f: engine.flip(f / "model.safetensors", -3),
        DamagedCheckpoint,
        "weights in .* download it again",
    ),
    "weights cut": (lambda f: engine.cut(f / "model.safetensors", -3), DamagedCheckpoint, "cannot be read"),
}


@pytest.mark.parametrize("name", OURS)
def test_a_damaged_checkpoint_of_ours_is_refused_with_the_reason(tmp_path, name):
    change, kind, reason = OURS[name]
    engine.shaken("mores").save_pretrained(tmp_path)
    change(tmp_path)
    with pytest.raises(kind, match=reason):
        load_model(tmp_path)


def test_tensors_of_another_method_are_refused(tmp_path):
    engine.shaken("mores").save_pretrained(tmp_path)
    method = engine.fresh_model("mice").method.to_json()
    with pytest.raises(DamagedCheckpoint, match=r"lateint.json has digest .* download it again"):
        engine.edit(tmp_path / "lateint.json", method=method)
        load_model(tmp_path)
    rewrite(tmp_path, method=method)
    with pytest.raises(DamagedCheckpoint, match="does not hold the tensors of method 'mice'"):
        load_model(tmp_path)


def rewrite(folder, **fields):
    """Change fields of lateint.json, and its digest with them, as somebody who means to."""
    data = json.loads((folder / "lateint.json").read_text()) | fields
    data.pop("digest")
    (folder / "lateint.json").write_text(json.dumps(data | {"digest": digest_json(data)}))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint with all kinds of files, and the scores of its model."""
    return written(tmp_path_factory, None)


@pytest.fixture(scope="module")
def saved_int8(tmp_path_factory):
    """The same in int8: all weights are in one file."""
    return written(tmp_path_factory, "int8")


def written(tmp_path_factory, dtype):
    folder = tmp_path_factory.mktemp("saved") / "model"
    engine.shaken("mores").save_pretrained(folder, dtype=dtype)
    return folder, scores(load_model(folder))


def scores(model):
    return Ranker(model).logits([(QUERY, document.text) for document in engine.DOCUMENTS[:3]]).tolist()


FILES = ["config.json", "lateint.json", "lateint.safetensors", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


INT8_FILES = [name for name in FILES if name != "model.safetensors"]


@pytest.mark.parametrize(
    ("kind", "files", "name"),
    [*(("saved", FILES, name) for name in FILES), *(("saved_int8", INT8_FILES, name) for name in INT8_FILES)],
)
def test_a_flipped_bit_in_any_file_is_found_or_changes_nothing(request, tmp_path, kind, files, name):
    folder, truth = request.getfixturevalue(kind)
    shutil.copytree(folder, tmp_path / "model")
    assert sorted(file.name for file in folder.iterdir()) == files
    file, rng = tmp_path / "model" / name, np.random.default_rng(len(name))
    sound = file.read_bytes()
    for place in rng.integers(0, len(sound), 4):
        data = bytearray(sound)
        data[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        try:
            assert scores(load_model(tmp_path / "model")) == truth
        except ModelError:
            continue


def test_a_delta_names_the_fact_of_its_base_that_differs(tmp_path):
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / "base")
    model = load_model(tmp_path / "base", "mice", **LENGTHS)
    save_delta(model, tmp_path / "delta", str(tmp_path / "base"))
    assert load_model(tmp_path / "delta").method == model.method
    tokenizer = json.loads((tmp_path / "base" / "tokenizer.json").read_text())
    changes = {
        "config.json": ({"layer_norm_eps": 1e-5}, "configuration"),
        "tokenizer.json": ({"normalizer": None}, "token_rules"),
    }
    changes["tokenizer.json "] = ({"pre_tokenizer": tokenizer["pre_tokenizer"] | {"type": "WhitespaceSplit"}}, "token_rules")
    for name, (fields, fact) in changes.items():
        file = tmp_path / "base" / name.strip()
        sound = file.read_text()
        engine.edit(file, **fields)
        with pytest.raises(ModelError, match=rf"is a delta over .*base with {fact} .* install the base that it was made for"):
            load_model(tmp_path / "delta")
        file.write_text(sound)


def test_a_tokenizer_at_which_its_library_panics_is_a_typed_error(tmp_path):
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    file.write_text(file.read_text().replace('"id": "[SEP]"', '"id": "[SEQ]"', 1))
    with pytest.raises(ModelError, match="tokenizer"):
        load_model(tmp_path / "model", **LENGTHS)


ODD = [None, True, -1, 0, 1 << 70, 1.5, "", "../x", "T-99", [], {}, ["a"], {"name": "../os", "configuration": {}}]


def test_odd_values_under_a_right_digest_raise_typed_errors_alone(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved[0], folder)
    sound = json.loads((folder / "lateint.json").read_text())
    rng = np.random.default_rng(5)
    every = list(places(sound))
    chosen = [(every[index], ODD[int(rng.integers(len(ODD)))]) for index in rng.choice(len(every), 40, replace=False)]
    refused = 0
    for path, odd in [*chosen, (("method", "document", "segment"), -1)]:
        rewrite(folder, **changed(sound, path, odd))
        try:
            scores(load_model(folder))
        except LateintError:
            refused += 1
    assert refused > 20, "most odd values are refused"


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta"])
def test_positions_that_start_nowhere_are_a_typed_error(tmp_path, family):
    shutil.copytree(tiny.checkpoint(family), tmp_path / "model")
    engine.edit(tmp_path / "model" / "config.json", pad_token_id=None)
    with pytest.raises(ModelError, match=f"pad_token_id of {family} is None"):
        load_model(tmp_path / "model", **LENGTHS)


@pytest.mark.parametrize("name", [*FILES[:3], FILES[4]])
def test_a_pipe_or_an_endless_device_in_place_of_a_file_is_refused_without_waiting(saved, tmp_path, name):
    shutil.copytree(saved[0], tmp_path / "model")
    file = tmp_path / "model" / name
    for make in (os.mkfifo, lambda file: file.symlink_to("/dev/zero")):
        file.unlink()
        make(file)
        with pytest.raises(ModelError):
            load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["a" * 300, "b/" * 3000 + "c"])
def test_a_name_that_no_file_can_have_is_a_typed_error_also_as_a_base(saved, tmp_path, name):
    with pytest.raises(InputError, match="too long for a file"):
        load_model(name)
    shutil.copytree(saved[0], tmp_path / "model")
    rewrite(tmp_path / "model", base={"name": name, "digest": "0" * 64})
    with pytest.raises(ModelError, match="File name too long"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing-of-that-name", "no/such/folder/here"])
def test_a_name_that_leads_nowhere_names_the_three_ways(name):
    with pytest.raises(ModelError, match=r"no folder of that name.*package.*pip install 'lateint\[demo\]'.*hub") as caught:
        load_model(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"method": "prettr2"}, "there are: prettr, deformer"), ({"offline_layers": 5}, "expected 0..4"),
        ({"offline_layers": "T/0"}, "expected 0..4"), ({"threads": 0}, "at least 1"), ({"dtype": "int8"}, "expected float32"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        load_model(tiny.checkpoint("bert"), **(LENGTHS | options))


class Largest(TorchDispatchMode):
    """Records the numbers of the largest tensor that is made on the CPU."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == "cpu":
            self.numbers = max(self.numbers, made.numel())
        return made


LARGE = {
    "another width": (mutants.WORDS, "words", {"width": 20_000, "bits": 8, "vocabulary": 128}),
    "another compressor": (mutants.WORDS, "linear", {"width": 60_000}),
    "none in the file": (preset("mice"), "bottleneck", {"width": 60_000}),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_compressor_that_the_file_does_not_hold_is_refused_before_it_takes_memory(tmp_path, case):
    chosen, name, settings = LARGE[case]
    engine.fresh_model(chosen).save_pretrained(tmp_path)
    method = json.loads((tmp_path / "lateint.json").read_text())["method"]
    rewrite(tmp_path, method=method | {"compressor": {"name": name, "configuration": settings}})
    with Largest() as largest, pytest.raises(DamagedCheckpoint, match="does not hold the tensors of method"):
        load_model(tmp_path)
    assert 0 < largest.numbers < 10**5
