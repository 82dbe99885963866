"""Load the weights of a checkpoint under another method."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.loading.delta import save_delta
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.saving import save
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint.train.initialise import initialise
from tests.support import engine, students


def saved(tmp_path, method, base=None):
    model = engine.shaken(method)
    if base is None:
        save(model, tmp_path / method)
    else:
        save_delta(model, tmp_path / method, base)
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


def small(head, **changes):
    """A method that stores 16 numbers per token and a vector, with a given head."""
    return replace(
        preset("mores"),
        head=head,
        towers="shared",
        compressor=part("linear", width=16),
        vector=part("mean"),
        **({"codecs": (("states", (part("rotated", bits=1, scale="none"),)), ("vector", ()))} | changes),
    )


BLOCKS = part("cross_blocks", blocks=1, readout="mean", residual="evidence", document_map=False)


def evident(tmp_path):
    """A checkpoint whose head is `evidence` with changed weights, and its weights under a head of blocks over evidence."""
    model = load_model(tiny.checkpoint("bert"), small(part("evidence", document_map=False)), **students.LENGTHS)
    with torch.no_grad():
        for number, weights in enumerate((*model.head.parameters(), *model.compressor.parameters())):
            weights.add_(0.01 * (number + 1))
    model.save_pretrained(tmp_path)
    return model, load_model(tmp_path, small(BLOCKS), **students.LENGTHS)


def test_evidence_carries_over_to_blocks_that_are_added_to_it(tmp_path):
    base, student = evident(tmp_path)
    for name, tensor in base.head.state_dict().items():
        assert torch.equal(tensor, student.head.evidence.state_dict()[name]), name
    assert student.carried >= {"compressor", "evidence"} and "vector_map" not in student.carried
    assert not load_model(tiny.checkpoint("bert"), small(BLOCKS), **students.LENGTHS).carried


def test_a_map_of_documents_that_is_left_out_goes_into_the_compressor(tmp_path):
    mapped = load_model(tiny.checkpoint("bert"), small(part("evidence"), codecs=()), **students.LENGTHS)
    with torch.no_grad():
        mapped.head.document_map.weight.add_(0.3 * torch.randn(16, 16))
    mapped.save_pretrained(tmp_path)
    plain = load_model(tmp_path, small(part("evidence", document_map=False), codecs=()), **students.LENGTHS)
    assert not torch.allclose(plain.compressor.down, mapped.compressor.down, atol=1e-2)
    texts = tiny.texts(6, seed=2)
    found = [engine.scores(Ranker(model).rank("bread", documents=texts)) for model in (mapped, plain)]
    assert found[1] == pytest.approx(found[0], abs=1e-4)
    with torch.no_grad():
        states = torch.randn(5, 32)
        back = [model.compressor.expand(model.compressor.compress(states)) for model in (mapped, plain)]
        assert torch.allclose(*back, atol=1e-4)


def test_fresh_blocks_score_as_the_evidence_below_them(tmp_path):
    base, student = evident(tmp_path)
    texts = tiny.texts(6, seed=2)

    def scores(model):
        return [hit.score for hit in Ranker(model).rank("bread in the oven", documents=texts)]

    assert scores(student) == pytest.approx(scores(base), abs=1e-5)
    with torch.no_grad():
        student.head.readout.weight.normal_()
    assert scores(student) != pytest.approx(scores(base), abs=1e-2)


def test_fresh_blocks_fold_the_compressor_that_carried_over_and_not_a_fresh_one(tmp_path):
    _, student = evident(tmp_path)
    key = student.backbone.layers[2].attention.key.weight
    assert torch.allclose(student.head.blocks[0].cross.key.weight, key @ student.compressor.up)


def test_preparing_leaves_what_carried_over_and_gives_blocks_the_lengths_that_codecs_drop(tmp_path):
    _, student = evident(tmp_path)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    found = initialise(student, [students.source()])
    assert set(found) == {"lengths"} and found["lengths"] > 0
    for name, tensor in student.state_dict().items():
        factor = found["lengths"] if name.endswith(("cross.key.weight", "cross.value.weight")) else 1.0
        assert torch.allclose(tensor, before[name] * factor), name
    fresh = load_model(tiny.checkpoint("bert"), small(BLOCKS), **students.LENGTHS)
    assert set(initialise(fresh, [students.source()])) == {"kept", "lengths"}
