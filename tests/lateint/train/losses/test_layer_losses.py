"""Losses that look inside a model: where they vanish, what they move, and what they must leave alone."""

from dataclasses import replace

import pytest
import torch

from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.methods.registry import build, part
from lateint.model.document import Document
from lateint.testing import tiny
from lateint.train.data import Sampler
from lateint.train.features import Live
from lateint.train.step import StepOutput
from tests.support import students

NOTHING = torch.zeros(0, 0)


def examples(number=2):
    sampler = Sampler([students.source()], 3)
    return [sampler.example(i) for i in range(number)]


def outcome(model, guide=None, traces=()):
    return StepOutput(NOTHING, NOTHING, None, examples(), model, guide, traces)


def loss(name, *given):
    return float(build("train/losses", part(name))(outcome(*given)).detach())


def traces(model):
    return [model.head.trace(model.query(example.query), Live(model).candidates(example.documents)) for example in examples()]


def shake(module, size=0.1):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))


def bottleneck(**changes):
    return students.student("prettr", compressor=part("bottleneck", width=8), **changes)


class Bypass(Compressor):
    """A compressor that compresses nothing."""

    expands = True

    def compress(self, states, side=None):
        return states

    def expand(self, codes, side=None):
        return codes


def test_attention_mse_is_zero_where_the_compressor_is_bypassed_and_positive_where_it_is_not():
    model = bottleneck()
    assert loss("attention_mse", model) > 1e-8
    model.compressor = Bypass()
    model.head.use_compressor(model.compressor)
    assert loss("attention_mse", model) == 0


def reached(model):
    """The layers of the backbone to whose weights a gradient came."""
    grads = [[p.grad for p in layer.parameters() if p.grad is not None] for layer in model.backbone.layers]
    return [place for place, found in enumerate(grads) if any(grad.abs().max() > 0 for grad in found)]


@pytest.mark.parametrize("side", ["document", "both"])
def test_attention_mse_moves_the_compressor_and_through_the_document_no_layer_below_the_split(side, monkeypatch):
    model = bottleneck()
    model.requires_grad_(True)
    if side == "document":
        run = model.query_from_tokens
        monkeypatch.setattr(model, "query_from_tokens", torch.no_grad()(run))
    build("train/losses", part("attention_mse"))(outcome(model)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.compressor.parameters())
    # Both sides share the layers below the split, so that through the query's path they are reached.
    assert reached(model) == ([2, 3] if side == "document" else [0, 1, 2, 3]) and model.method.depth == 2
    with pytest.raises(InputError, match="needs a compressor"):
        loss("attention_mse", students.student("prettr"))


def test_attention_mse_sees_real_tokens_alone():
    model = bottleneck()
    one = examples(1)[0]
    short = replace(one, documents=one.documents[:1], labels=one.labels[:1])
    alone = build("train/losses", part("attention_mse"))(StepOutput(NOTHING, NOTHING, None, [short], model))
    assert torch.isfinite(alone) and float(alone.detach()) > 0


def test_layer_mse_vanishes_for_the_unsplit_teacher_itself_and_not_after_a_split():
    teacher = students.student("cross_encoder", depth=0)
    whole, split = students.student("deformer", depth=0), students.student("deformer", depth=2)
    assert loss("layer_mse", teacher, teacher, traces(teacher)) == 0
    assert loss("layer_mse", split, teacher, traces(split)) > 1e-6
    assert loss("layer_mse", whole, teacher, traces(whole)) > 1e-6  # its document positions start at 0


def test_layer_mse_refuses_a_teacher_of_another_layout():
    student = students.student("deformer", depth=2)
    for teacher in (students.student("cosine", depth=None), students.student("prettr", depth=1)):
        with pytest.raises(InputError, match="expected a cross_encoder teacher"):
            loss("layer_mse", student, teacher, traces(student))


def test_reconstruction_mse_is_the_error_of_real_tokens_and_reaches_the_compressor_alone():
    model = bottleneck()
    model.requires_grad_(True)
    found = build("train/losses", part("reconstruction_mse"))(outcome(model))
    documents = list(dict.fromkeys(d for example in examples() for d in example.documents))
    total, count = 0.0, 0
    for document in documents:
        with torch.no_grad():
            rows, *_ = model.document_rows(model.document_tokens([document]))
            back = model.compressor.expand(model.compressor.compress(rows.states))
        total, count = total + float((back - rows.states).pow(2).sum()), count + rows.states.numel()
    assert float(found.detach()) == pytest.approx(total / count, rel=1e-4)
    found.backward()
    assert all(p.grad is not None for p in model.compressor.parameters())
    assert all(p.grad is None for p in model.backbone.parameters())


def test_reconstruction_falls_with_training_and_with_width(tmp_path):
    ends = []
    for width in (2, 16):
        model = students.student("prettr", compressor=part("bottleneck", width=width))
        stage = replace(students.STAGE, losses=((part("reconstruction_mse"), 1.0),), train=("compressor",), rate=1e-2)
        (history,) = students.run(model, tmp_path / str(width), [stage], steps=60)
        assert history[-1].total < history[0].total
        ends.append(sum(step.total for step in history[-5:]))
    assert ends[1] < ends[0]


def hpd():
    return students.student("hpd", depth=None, vector_map=part("dense", width=8))


def fitted(model, teacher):
    found = build("train/losses", part("projected_mse"))
    texts = [Document(str(i), text) for i, text in enumerate(tiny.texts(120, seed=9, longest=8))]
    found.fit(model, teacher, texts)
    return found


def test_projected_mse_is_zero_iff_the_student_equals_the_projected_teacher():
    student, teacher = students.student("cosine", depth=None), students.student("cosine", depth=None)
    found = fitted(student, teacher)  # of the teacher's own width: nothing to project
    assert float(found(outcome(student, teacher)).detach()) == pytest.approx(0, abs=1e-12)
    shake(student)
    assert float(found(outcome(student, teacher)).detach()) > 1e-6


def test_projected_mse_keeps_the_principal_directions_for_a_narrow_student():
    teacher = students.student("cosine", depth=None)
    directions = fitted(hpd(), teacher).directions
    assert directions.shape == (teacher.width("vector"), 8)
    assert torch.allclose(directions.T @ directions, torch.eye(8), atol=1e-4)
    documents = [Document(str(i), text) for i, text in enumerate(tiny.texts(120, seed=9, longest=8))]
    kept = teacher.encode_batch(teacher.document_tokens(documents))["vector"][0].detach()
    random = torch.linalg.qr(torch.randn(len(directions), 8, generator=torch.Generator().manual_seed(0)))[0]
    assert (kept @ directions).pow(2).sum() > 2 * (kept @ random).pow(2).sum()


def test_projected_mse_teaches_a_narrow_student(tmp_path):
    student, teacher = hpd(), students.student("cosine", depth=None)
    stage = replace(
        students.STAGE, losses=((part("projected_mse"), 1.0),), train=("vector_map", "layers"), rate=1e-3, queries=8
    )
    (history,) = students.run(student, tmp_path, [stage], steps=40, teacher=teacher, sets=[students.pairs(40)])
    assert sum(s.total for s in history[-5:]) < 0.8 * sum(s.total for s in history[:5])


def test_a_loss_that_looks_inside_a_teacher_needs_one_that_is_named(tmp_path):
    for name in ("projected_mse", "layer_mse"):
        stage = replace(students.STAGE, losses=((part(name), 1.0),))
        with pytest.raises(InputError, match=f"'{name}'.*--teacher"):
            students.run(students.student("prettr"), tmp_path, [stage])
