"""What a stage trains: the encoder, maps and vectors outside it at their own rates; the rest is frozen."""

from dataclasses import replace

from lateint.train.parameters import parameter_groups
from tests.support.students import BLOCKS, STAGE, student


def ids(parameters):
    return {id(parameter) for parameter in parameters}


def test_encoder_maps_and_vectors_learn_at_their_own_rates():
    model = student(head=BLOCKS)
    stage = replace(STAGE, train=("layers", "head"), rate=0.5, head_rate=0.25, vector_rate=2.0)
    encoder, maps, vectors = parameter_groups(model, stage)
    assert [group["lr"] for group in (encoder, maps, vectors)] == [0.5, 0.25, 0.5]
    assert ids(encoder["params"]) < ids(model.backbone.parameters())  # embeddings are not named
    assert ids(maps["params"]) | ids(vectors["params"]) == ids(model.head.parameters())
    assert {p.dim() for p in vectors["params"]} == {1} and min(p.dim() for p in maps["params"]) == 2


def test_what_is_not_trained_is_frozen_and_what_was_frozen_learns_again():
    model = student(head=BLOCKS).requires_grad_(False)
    groups = parameter_groups(model, replace(STAGE, train=("head",), head_rate=None))
    assert [group["lr"] for group in groups] == [STAGE.rate, STAGE.rate]
    assert ids(p for p in model.parameters() if p.requires_grad) == ids(model.head.parameters())
