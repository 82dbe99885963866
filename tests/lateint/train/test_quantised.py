"""Training through the codecs: what the head sees is what a store gives back, and gradients pass straight through."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.indexing.codecs import pipelines, round_trip
from lateint.methods.method import Method, Stage
from lateint.methods.registry import part
from lateint.train.features import Live, straight_through
from lateint.train.initialise import initialise
from lateint_store import ArraySpec, Pipeline
from tests.support import students
from tests.support.students import LISTWISE

CODECS = (("states", (part("rotated", bits=1, scale="none"),)), ("vector", (part("rotated", bits=4, scale="none"),)))
LAYERS = Stage(losses=(LISTWISE,), train=("layers", "head", "compressor", "vector_map"), rate=1e-3, quantised=True)


def latent():
    return students.student(
        head=part("evidence", document_map=False),
        vector=part("mean"),
        vector_map=part("linear", width=16),
        compressor=part("linear", width=16),
        codecs=CODECS,
    )


def test_live_arrays_are_those_of_a_store():
    student, documents = latent(), list(students.source().documents.values())[:6]
    rows = student.document_tokens(documents)
    wanted = round_trip(student.encode(rows), pipelines(student))
    with torch.no_grad():
        seen, plain = Live(student, quantised=True).candidates(documents), Live(student).candidates(documents)
    np.testing.assert_allclose(seen.states[seen.mask].numpy(), wanted["states"].values, atol=1e-6)
    np.testing.assert_allclose(seen.vector.numpy(), wanted["vector"].values, atol=1e-6)
    assert (plain.states - seen.states)[seen.mask].abs().max() > 0.1


def test_lossless_codecs_change_nothing():
    student = students.student(head=part("evidence"), vector=part("mean"), codecs=())
    assert not Live(student, quantised=True).through


@pytest.mark.parametrize("scale", ["float32", "none"])
def test_the_gradient_is_that_of_the_array_at_the_length_that_came_back(scale):
    through = Pipeline(ArraySpec("float32", 16), (part("rotated", bits=4, scale=scale),))
    values = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    found = straight_through(values, mask, through)
    weight = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2))
    (found * weight).sum().backward()
    lengths = found.detach().norm(dim=-1, keepdim=True) / values.detach().norm(dim=-1, keepdim=True)
    assert torch.allclose(values.grad, weight * lengths, atol=1e-5)
    assert (lengths[mask] - 1).abs().max() < 1e-4 or scale == "none"
    assert torch.equal(found.detach()[~mask], values.detach()[~mask])  # pads pass no codec


def test_layers_learn_through_one_bit(tmp_path):
    student = latent()
    initialise(student, [students.source()])
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    (history,) = students.run(student, tmp_path, [LAYERS], steps=30)
    assert sum(step.total for step in history[-15:]) < 0.8 * sum(step.total for step in history[:15])
    for name in ("compressor.down", "vector_map.down", "head.query_map.weight"):
        assert not torch.equal(before[name], student.state_dict()[name]), name


def test_preparing_fits_the_map_of_vectors():
    student = latent()
    before = student.vector_map.down.clone()
    assert 0.5 < initialise(student, [students.source()])["kept of vectors"] < 1 + 1e-9
    assert not torch.equal(before, student.vector_map.down)
    assert student.vector_map.width == 16 and student.width("vector") == 16


def test_a_stage_says_so_and_stages_from_before_do_not():
    method = replace(latent().method, stages=(LAYERS, replace(LAYERS, quantised=False)))
    data = method.to_json()
    assert data["stages"][0]["quantised"] is True and "quantised" not in data["stages"][1]
    assert Method.from_json(data) == method
