"""A student that equals its teacher has nothing to learn, in every published distillation, and one that differs has."""

from dataclasses import replace

import pytest
import torch

from lateint.loading.load import load_model
from lateint.methods.method import Stage
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from lateint.train.data import Sampler
from lateint.train.features import Live
from lateint.train.objective import Objective
from lateint.train.step import StepOutput
from lateint.train.teacher import Teacher
from tests.support import reference, students

LENGTHS = students.LENGTHS
CROSS_ENCODER = preset("cross_encoder")
DISTILLED = Stage(losses=tuple(each for each in preset("deformer").stages[0].losses if each[0].name != "listwise"))
TEXTS = [Document(str(i), text) for i, text in enumerate(tiny.texts(60, seed=9, longest=8))]


def examples(number=2):
    sampler = Sampler([students.source()], 3)
    return [sampler.example(i) for i in range(number)]


def load(method, family="bert", labels=1, **options):
    return load_model(tiny.checkpoint(family, labels), method, **LENGTHS, **options)


def losses(student, teacher, stage):
    live = Live(student)
    with torch.no_grad():
        return Objective(stage, taught=True)(student, live, examples(), Teacher(student, teacher, live))[1]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_losses_of_deformer_vanish_unsplit_at_its_teacher_and_after_a_split_they_do_not(family):
    teacher = load("cross_encoder", family)
    unsplit = replace(preset("deformer"), document=CROSS_ENCODER.document, offline_layers=0, query_layers=0)
    same = losses(load(unsplit, family), teacher, DISTILLED)
    assert same["layer_mse"] == 0 and abs(same["kl"]) < 2e-6  # float32, times the squared temperature
    split = losses(load("deformer", family), teacher, DISTILLED)
    assert split["kl"] > 1e-4 and split["layer_mse"] > 1e-4


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_teacher_of_two_labels_teaches_the_difference_of_its_logits(family):
    teacher, drawn = load("cross_encoder", family, labels=2), examples()
    found = Teacher(load("dse", family), teacher, Live(teacher)).score(drawn)
    hf = reference.load(tiny.checkpoint(family, 2))
    for example, scores in zip(drawn, found, strict=True):
        texts = [document.full_text for document in example.documents]
        batch = tiny.tokenizer(family)([example.query] * len(texts), texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = hf(**batch).logits
        assert torch.allclose(scores, logits[:, 1] - logits[:, 0], atol=1e-4)
        assert (scores - logits[:, 1]).abs().max() > 1e-2 and (scores - torch.softmax(logits, 1)[:, 1]).abs().max() > 1e-2
    labels = torch.tensor([example.labels for example in drawn])
    targets = torch.stack(found)
    (bce, _), (mse, weight) = preset("dse").stages[0].losses
    assert (bce.name, mse.name, weight) == ("bce", "logit_mse", 0.5)
    objective = Objective(Stage(losses=((mse, 1.0),)), taught=True)
    for scores, zero in ((targets, True), (targets + 0.1, False)):
        loss = objective.losses[0](StepOutput(scores, labels, targets, drawn, teacher))
        assert (float(loss) == 0) is zero


def projected(student, teacher):
    objective = Objective(Stage(losses=((part("projected_mse"), 1.0),)), taught=True)
    live = Live(student)
    guide = Teacher(student, teacher, live)
    objective.fit(student, guide, TEXTS)
    with torch.no_grad():
        return objective.losses[0].directions, lambda: objective(student, live, examples(), guide)[1]["projected_mse"]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_loss_of_hpd_is_zero_iff_the_dense_layer_projects_the_teacher(family):
    plain = replace(preset("hpd"), vector_map=part("dense", width=8, activation="none"))
    teacher = load(replace(preset("cosine"), vector=part("mean", normalise=False)), family)
    student = load(plain, family)
    directions, loss = projected(student, teacher)
    assert directions.shape == (32, 8) and loss() > 1e-3  # a fresh dense layer
    with torch.no_grad():
        student.vector_map.down.weight.copy_(directions.T)
        student.vector_map.down.bias.zero_()
        assert loss() == pytest.approx(0, abs=1e-9)
        student.vector_map.down.bias[0] += 0.01
        assert loss() == pytest.approx(0.01**2 / 8, rel=1e-2)
