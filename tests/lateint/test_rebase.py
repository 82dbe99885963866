"""Another method over the weights of a checkpoint."""

from dataclasses import replace

import making
import pytest
import students
import tiny
import torch

from lateint.checkpoint import load_model, save
from lateint.errors import InputError
from lateint.parts import part
from lateint.presets import preset


def saved(tmp_path, method, **options):
    model = making.shaken(method)
    save(model, tmp_path / method, **options)
    return model, tmp_path / method


@pytest.mark.parametrize("base", [None, "named"])
def test_a_student_takes_encoder_and_classifier_of_its_teacher(tmp_path, base):
    teacher, folder = saved(tmp_path, "cross_encoder", base=None if base is None else str(tiny.checkpoint("bert")))
    student = load_model(folder, "prettr", offline_layers=2, **students.LENGTHS)
    for name, tensor in teacher.backbone.state_dict().items():
        assert torch.equal(tensor, student.backbone.state_dict()[name]), name
    assert student.method.name == "prettr" and student.method.depth == 2 and not student.checkpoint


def test_blocks_are_copied_from_the_trained_layers_and_the_query_tower_too(tmp_path):
    teacher, folder = saved(tmp_path, "cross_encoder")
    student = load_model(folder, "mores", **students.LENGTHS)
    layer = teacher.backbone.layers[2].attention.query.weight
    assert torch.equal(student.head.blocks[0].cross.query.weight, layer)
    tower = student.query_backbone.layers[0]
    assert torch.equal(tower.attention.query.weight, teacher.backbone.layers[0].attention.query.weight)
    fresh = load_model(tiny.checkpoint("bert"), "mores", **students.LENGTHS)
    assert not torch.equal(fresh.head.blocks[0].cross.query.weight, layer)


def test_another_depth_of_a_checkpoint_of_ours(tmp_path):
    _, folder = saved(tmp_path, "prettr")
    assert load_model(folder, offline_layers=1).method.depth == 1
    with pytest.raises(InputError, match=r"expected 0\.\.4"):
        load_model(folder, offline_layers=9)


def test_a_readout_carries_over(tmp_path):
    matches = part("joint_layers", readout="matches")
    teacher = load_model(tiny.checkpoint("bert"), replace(preset("cross_encoder"), head=matches), **students.LENGTHS)
    with torch.no_grad():
        teacher.head.matches.log_tau.fill_(0.25)
    teacher.save_pretrained(tmp_path)
    student = load_model(tmp_path, replace(preset("prettr"), head=matches), **students.LENGTHS)
    assert student.head.matches.log_tau.item() == 0.25
    assert load_model(tmp_path, "prettr", **students.LENGTHS).head.matches is None
