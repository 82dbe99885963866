"""The caller's defaults in torch, its device and its dtype, reach neither weights, nor stored arrays, nor scores."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from lateint.indexing.build import build_store
from lateint.methods.registry import build, part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, students

DOCUMENTS = engine.DOCUMENTS[:12]
PAIRS = [(engine.QUERY, document.text) for document in DOCUMENTS]


@contextmanager
def other_defaults(dtype=torch.float64):
    """Create tensors on another device, in another dtype, as `set_default_device("cuda")` in a notebook does.

    Numbers on the device "meta" cannot be read, so a tensor that is made there raises an error.
    """
    kept = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(kept)


def results(folder, method):
    """The weights of a new model, the digest of its store, and its scores by the store, by texts, and of long texts."""
    model = engine.fresh_model(method)
    with build_store(model, DOCUMENTS, folder) as store:
        ranking = Ranker(model, store).rank(engine.QUERY, [document.id for document in DOCUMENTS])
        digest = store.content_digest()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return weights, digest, engine.scores(ranking), Ranker(model).logits(PAIRS), Ranker(model).predict(PAIRS[:3])


@pytest.mark.parametrize("method", engine.METHODS)
def test_a_model_and_its_scores_ignore_the_defaults_of_the_caller(tmp_path, method):
    expected = results(tmp_path / "expected", method)
    with other_defaults():
        found = results(tmp_path / "found", method)
    assert expected[0].keys() == found[0].keys()
    for name, tensor in expected[0].items():
        assert torch.equal(tensor, found[0][name]), name
        assert tensor.dtype == found[0][name].dtype
    assert expected[1:3] == found[1:3]
    for one, other in zip(expected[3:], found[3:], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(("method", "aggregate"), [("prettr", "mean_cls"), ("colbert", "max")])
def test_scores_of_chunks_ignore_them_too(tmp_path, method, aggregate):
    def run(folder):
        documents, model = engine.LONG[:4], engine.model(method)
        with build_store(model, documents, folder, chunks=engine.CHUNKS) as store:
            ranker = Ranker(model, store, aggregate=aggregate)
            shares = ranker.explain(engine.QUERY, documents[0].id).matches if method == "colbert" else ()
            return engine.scores(ranker.rank(engine.QUERY, [document.id for document in documents])), shares

    expected = run(tmp_path / "expected")
    with other_defaults():
        assert run(tmp_path / "found") == expected


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_scores_of_every_family_ignore_them(family):
    ranker = Ranker(engine.model("colbert", family))
    expected = ranker.logits(PAIRS)
    with other_defaults(torch.bfloat16):
        np.testing.assert_array_equal(ranker.logits(PAIRS), expected)


@pytest.mark.parametrize("name", ["words", "word_residual", "residual"])
def test_bytes_of_quantisers_ignore_them(name):
    compressor = build("compressors", part(name, width=8), 16)
    generator = torch.Generator().manual_seed(0)
    directions, ids = torch.randn(40, 8, generator=generator), torch.arange(40)
    with torch.no_grad():
        for parameter in compressor.parameters():
            parameter.normal_(generator=generator)
    expected = compressor.quantize(directions, ids), compressor.lookup_tables(directions[:2])
    with other_defaults(torch.bfloat16), torch.device("cpu"):
        codes = compressor.quantize(directions, ids)
    with other_defaults():
        found = compressor.quantize(directions, ids), compressor.lookup_tables(directions[:2])
    assert torch.equal(codes, expected[0]) and torch.equal(found[0], expected[0])
    assert all(one is other or torch.equal(one, other) for one, other in zip(found[1], expected[1], strict=True))


def test_other_defaults_are_other():
    with other_defaults():
        assert torch.zeros(1).device.type == "meta"
        assert torch.zeros(1).dtype == torch.float64


def test_training_ignores_them_too(tmp_path):
    sets = [students.source()]

    def run(folder):
        model = students.student(compressor=part("bottleneck", width=16))
        students.run(model, folder, steps=2, sets=sets)
        return model.state_dict()

    expected = run(tmp_path / "expected")
    with other_defaults():
        found = run(tmp_path / "found")
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
