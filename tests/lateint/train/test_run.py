"""Training on a tiny model: what is trained moves, what is not stays, and the ranking gets better."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError, TrainingError
from lateint.methods.registry import part
from lateint.train.features import Frozen, Live
from lateint.train.initialise import initialise
from tests.support import students
from tests.support.students import BLOCKS, LISTWISE, STAGE

RECONSTRUCTION = ((part("reconstruction_mse"), 1.0),)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before, module):
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def test_the_head_learns_and_the_backbone_stays(tmp_path):
    student = students.student(head=BLOCKS)
    before, backbone = state(student.head), state(student.backbone)
    (history,) = students.run(student, tmp_path, [replace(STAGE, rate=3e-3)], steps=120)
    assert sum(step.total for step in history[-20:]) < 0.7 * sum(step.total for step in history[:20])
    assert moved(before, student.head) and not moved(backbone, student.backbone)


def test_layers_learn_where_the_stage_says_so(tmp_path):
    student = students.student(head=BLOCKS)
    before = state(student.backbone)
    students.run(student, tmp_path, [replace(STAGE, train=("head", "layers"))], steps=2)
    changed = moved(before, student.backbone)
    assert any("layer.0." in name for name in changed) and not any("embeddings" in name for name in changed)
    assert not any("layer.3." in name for name in changed)  # above L and above the query's layers: only copied from


def test_embeddings_learn_where_they_are_named(tmp_path):
    student = students.student(head=BLOCKS)
    before = state(student.backbone)
    students.run(student, tmp_path, [replace(STAGE, train=("embeddings",))], steps=1)
    assert all("embeddings" in name for name in moved(before, student.backbone)) and moved(before, student.backbone)


def test_the_encoder_and_the_rest_learn_at_their_own_rates(tmp_path):
    steps = []
    for number, head_rate in enumerate((None, 1e-9)):
        student = students.student(head=BLOCKS)
        head, layers = state(student.head), state(student.backbone)
        students.run(student, tmp_path / str(number), [replace(STAGE, train=("head", "layers"), head_rate=head_rate)], steps=1)
        name = next(iter(sorted(moved(layers, student.backbone))))
        largest = [
            float((state(m)[k] - old[k]).abs().max())
            for m, old, k in ((student.head, head, "readout.weight"), (student.backbone, layers, name))
        ]
        steps.append(largest)
    assert steps[1][0] < 1e-6 < steps[0][0] and steps[0][1] == pytest.approx(steps[1][1], rel=1e-3)


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(tmp_path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        student = students.student(head=BLOCKS)
        torch.manual_seed(number)  # what the caller draws has no say
        students.run(student, tmp_path / str(number), seed=seed)
        weights.append(student.head.readout.weight.clone())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_dropout_is_on_only_where_a_stage_says_so(tmp_path):
    ends = []
    for number, dropout in enumerate((False, False, True)):
        student = students.student(head=BLOCKS)
        stage = replace(STAGE, train=("head", "layers"), dropout=dropout)
        for layer in student.backbone.layers:
            layer.attention.dropout = layer.feed_forward.dropout = 0.5
        ends.append(students.run(student, tmp_path / str(number), [stage])[0][0].total)
        assert not student.training
    assert ends[0] == ends[1] != ends[2]


def test_a_teacher_at_the_start_holds_the_student_back(tmp_path):
    ends = []
    for weight in (0.0, 100.0):
        student = students.student(head=BLOCKS)
        before = student.head.readout.weight.clone()
        stage = replace(STAGE, losses=(LISTWISE, (part("kl"), weight)), pool=6)
        (history,) = students.run(student, tmp_path / str(weight), [stage], steps=10)
        ends.append(sum(step.losses["kl"] for step in history[-3:]))
        assert not torch.equal(before, student.head.readout.weight)
    assert ends[1] < 0.5 * ends[0]


def test_in_batch_negatives_lengthen_every_list(tmp_path):
    alone, together = (
        students.run(students.student(head=BLOCKS), tmp_path / str(flag), [replace(STAGE, in_batch=flag)], steps=1)[0][0].total
        for flag in (False, True)
    )
    assert together > alone + 0.1  # a fresh head gives every candidate about the same score: log 5 against log 7


def test_frozen_features_are_what_live_ones_are_after_the_codecs():
    student = students.student(head=BLOCKS, codecs=(("states", ()),))
    documents = list(students.source().documents.values())[:5]
    with torch.inference_mode():
        frozen, live = Frozen(student).candidates(documents), Live(student).candidates(documents)
    assert (frozen.states.float() - live.states)[live.mask].abs().max() < 5e-3  # kept in half precision
    assert torch.equal(frozen.mask, live.mask)


def test_preparing_fits_the_compressor_and_the_word_weights():
    student = students.student(head=part("evidence"), vector=part("mean"), compressor=part("linear", width=8))
    down, weight = student.compressor.down.clone(), student.head.weight.weight.clone()
    kept = initialise(student, [students.source()])["kept"]
    assert 0.5 < kept < 1 and not torch.equal(down, student.compressor.down)
    assert torch.equal(student.head.query_map.weight, student.compressor.down)
    assert torch.isfinite(student.head.weight.weight).all() and weight.shape == student.head.weight.weight.shape


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to train"):
        students.run(students.student("cosine", depth=None), tmp_path)
    with pytest.raises(InputError, match="'vector_map'"):
        students.run(students.student(head=BLOCKS), tmp_path, [replace(STAGE, train=("vector_map",))])
    with pytest.raises(InputError, match="no loss"):
        students.run(students.student(head=BLOCKS), tmp_path, [replace(STAGE, losses=())])
    with pytest.raises(InputError, match="no query"):
        students.run(students.student(head=BLOCKS), tmp_path, sets=[replace(students.source(), candidates={})])


def test_a_stage_of_the_compressor_is_passed_over_without_one(tmp_path):
    alone, first = replace(STAGE, train=("compressor",)), replace(STAGE, train=("head", "compressor"))
    assert [len(steps) for steps in students.run(students.student(head=BLOCKS), tmp_path, [alone, first])] == [0, 3]
    narrow = students.student(head=BLOCKS, compressor=part("linear", width=8))
    assert [len(steps) for steps in students.run(narrow, tmp_path / "narrow", [replace(alone, losses=RECONSTRUCTION)])] == [3]


def test_a_loss_that_is_not_finite_ends_the_run_with_a_clear_error(tmp_path):
    student = students.student(head=BLOCKS)
    with torch.no_grad():
        student.head.readout.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan at step 0"):
        students.run(student, tmp_path)


def test_a_budget_in_minutes_ends_a_stage(tmp_path):
    (history,) = students.run(students.student(head=BLOCKS), tmp_path, steps=1000, minutes=1e-9)
    assert len(history) == 1  # the time is looked at after each step


def test_mixed_precision_keeps_weights_and_scores_in_float32(tmp_path):
    student = students.student(head=BLOCKS)
    (history,) = students.run(student, tmp_path, precision="bfloat16", steps=2)
    assert all(p.dtype == torch.float32 for p in student.parameters()) and history[-1].total > 0


def test_scores_in_two_batches_are_those_of_one_in_the_order_of_the_documents():
    student = students.student("cross_encoder", depth=0)
    documents = list(students.source().documents.values())[:7]
    live, frozen = Live(student), Frozen(student)
    with torch.inference_mode():
        whole = student.score(live.query("what is the sun"), live.candidates(documents))
        parts = list(live.batches(documents))
        scores = torch.cat([student.score(live.query("what is the sun"), docs) for _, docs in parts])
    places = [place for some, _ in parts for place in some]
    assert len(parts) == 2 and sorted(places) == list(range(7)) and places != sorted(places)
    assert torch.allclose(scores, whole[places], atol=1e-5) and not torch.allclose(scores, whole, atol=1e-5)
    assert [places for places, _ in frozen.batches(documents)] == [list(range(7))]


@pytest.mark.parametrize("head", [part("evidence"), BLOCKS, part("cross_blocks", blocks=1, slots="mean", readout="mean")])
def test_a_head_alone_learns_from_queries_that_are_computed_once(tmp_path, head):
    student = students.student("mores", depth=None, head=head, towers="shared", vector=part("mean"))
    before = state(student.head)
    students.run(student, tmp_path, steps=2)
    assert moved(before, student.head)
