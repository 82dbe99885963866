"""What callers pass to `load_model` and `save_pretrained`: an error names the argument, before any weight is read."""

import os

import numpy as np
import pytest
import torch

from lateint.errors import InputError, LateintError
from lateint.indexing.build import build_store
from lateint.loading.delta import save_delta
from lateint.loading.load import load_model
from lateint.methods.method import resolve_depth
from lateint.ranking.aggregate import Aggregate
from lateint.ranking.ladder import parse_ladder
from lateint.testing import tiny
from tests.support import engine


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("name_or_path", value) for value in ("", None, 5, b"latent", True, ["latent"], "a\0b", "a" * 5_000, "\udcff")),
        *(("method", value) for value in (5, b"mice", True, ["mice"], {"name": "mice"})),
        *(("device", value) for value in (5, True, 1.5, b"cpu", [], "", "gpu", "cuda:x")),
        *(("dtype", value) for value in (0, False, "", 5, "Tensor", "int8", np.float32, torch.int8, [1])),
        *(("threads", value) for value in (0, True, 1.5, "1")),
        *(("compressor", value) for value in (5, True, b"none", ["none"])),
    ],
)
def test_an_argument_of_another_type_is_refused_by_name(name, value):
    given = {"name_or_path": tiny.checkpoint("bert"), "method": "cosine", **engine.LENGTHS} | {name: value}
    threads = torch.get_num_threads()
    with pytest.raises(InputError, match=rf"^{name}\b"):
        load_model(**given)
    assert torch.get_num_threads() == threads


def test_lengths_of_numpy_are_numbers(tmp_path):
    model = load_model(tiny.checkpoint("bert"), "cosine", query_max_length=np.int64(16), doc_max_length=np.int64(24))
    model.save_pretrained(tmp_path / "m")
    build_store(model, ["bread"], tmp_path / "s").close()
    assert load_model(tmp_path / "m").method == model.method and type(model.method.query.max_length) is int


def test_a_length_that_does_not_fit_a_checkpoint_is_no_damage_of_the_checkpoint(tmp_path):
    engine.model("mice").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"^the document layout reaches position 99999"):
        load_model(tmp_path, doc_max_length=99_999)


@pytest.mark.parametrize("path", ["", None, 5, b"m", "a\0b", "\udcff", "x" * 300], ids=repr)
def test_a_folder_to_save_in_is_a_path(path):
    model = engine.model("cosine")
    for save in (lambda: model.save_pretrained(path), lambda: save_delta(model, path, str(tiny.checkpoint("bert")))):
        with pytest.raises(InputError, match=r"^folder\b"):
            save()


def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nothing"):
        with pytest.raises(InputError, match=r"^cannot write .*/(file|file/below|nothing)\b"):
            engine.model("cosine").save_pretrained(path)
    for name in ("lateint.safetensors", "lateint.json"):
        (tmp_path / name).mkdir(parents=True)
        with pytest.raises(InputError, match=r"^cannot write"):
            engine.model("mice").save_pretrained(tmp_path / name / os.pardir)
        (tmp_path / name).rmdir()


@pytest.mark.parametrize(
    "read",
    [
        lambda digits: resolve_depth(digits, 4),
        lambda digits: resolve_depth(f"{digits}T", 4),
        lambda digits: resolve_depth(f"T-{digits}", 4),
        lambda digits: Aggregate.parse(f"mean_top:{digits}"),
        lambda digits: parse_ladder(f"cosine:{digits}", ["cosine", "evidence"]),
    ],
)
def test_a_number_of_thousands_of_digits_is_refused(read):
    with pytest.raises(LateintError):
        read("9" * 5_000)
    with pytest.raises(LateintError):
        read("²")


def test_a_depth_may_be_a_whole_number_of_numpy_but_nothing_that_only_looks_like_one():
    assert resolve_depth(np.int64(3), 4) == 3 and type(resolve_depth(np.uint8(3), 4)) is int
    for value in (np.float64(3), np.bool_(True), np.array([3]), np.array([1, 2]), 3.0, True, None):
        with pytest.raises(InputError, match="cannot run"):
            resolve_depth(value, 4)
