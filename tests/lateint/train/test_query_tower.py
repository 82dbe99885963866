"""Training of the query tower alone: what a store holds stays, and the store ranks with the tower before and after it."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.indexing.build import build_store
from lateint.indexing.fingerprint import fingerprint
from lateint.loading.load import load_model
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.train.features import Frozen, FrozenDocuments, Live, features_of
from tests.support import engine, students

STAGE = replace(students.STAGE, train=("query_layers", "head"), rate=1e-3)
TEXTS = [
    engine.Document(str(i), text) for i, text in enumerate(("bread and water", "the sun is a star", "a violin has strings"))
]


def student(towers="separate", **changes):
    settings = {"head": part("evidence"), "vector": part("mean"), "towers": towers} | changes
    return students.student("mores", depth=None, offline_layers="T", query_layers="T", **settings)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(ours, theirs):
    return {name for name in ours if torch.equal(ours[name], theirs[name])}


def test_only_layers_of_the_query_tower_and_the_head_move(tmp_path):
    made = student()
    before, documents = state(made.query_backbone), state(made.backbone)
    students.run(made, tmp_path, [STAGE], steps=2)
    assert equal(documents, made.backbone.state_dict()) == documents.keys()
    still = equal(before, made.query_backbone.state_dict())
    assert any("embeddings" in name for name in still) and not any("attention" in name and "weight" in name for name in still)


def test_a_store_from_before_ranks_with_the_tower_after(tmp_path):
    made = student()
    facts, ids = fingerprint(made), [text.id for text in TEXTS]
    with build_store(made, TEXTS, tmp_path / "s") as store:
        first = {hit.doc_id: hit.score for hit in Ranker(made, store).rank("what is the sun", ids)}
        students.run(made, tmp_path / "run", [STAGE], steps=2)
        made.save_pretrained(tmp_path / "m")
        trained = load_model(tmp_path / "m")
        assert fingerprint(trained) == facts
        ranked = Ranker(trained, store).rank("what is the sun", ids)
        unstored = Ranker(trained).rank("what is the sun", documents=TEXTS)
    assert {hit.doc_id: hit.score for hit in ranked} == pytest.approx({hit.doc_id: hit.score for hit in unstored}, abs=1e-4)
    assert max(abs(hit.score - first[hit.doc_id]) for hit in ranked) > 1e-3


def test_a_separate_tower_gives_the_vector_and_a_copied_one_does_not():
    for towers, moves in (("separate", True), ("copied", False)):
        made = student(towers)
        before = made.query("what is the sun")
        with torch.no_grad():
            for parameter in made.query_backbone.layers[-1].parameters():
                parameter.mul_(1.5)
        after = made.query("what is the sun")
        assert not torch.equal(before.rows.states, after.rows.states)
        assert torch.equal(before.vector, after.vector) is not moves


def test_features_follow_what_a_stage_trains():
    made = student()
    kinds = [(("head",), Frozen), (("query_layers",), FrozenDocuments), (("query_layers", "layers"), Live)]
    assert [type(features_of(made, replace(STAGE, train=train))) for train, _ in kinds] == [kind for _, kind in kinds]
    features = FrozenDocuments(made)
    features.prepare(["what is the sun"], TEXTS[:1])
    with torch.enable_grad():
        assert features.query("what is the sun").rows.states.requires_grad
    assert not Frozen(made).query("what is the sun").rows.states.requires_grad


def test_a_shared_tower_has_no_layers_of_its_own(tmp_path):
    with pytest.raises(InputError, match="'query_layers', which this model does not have"):
        students.run(student("shared"), tmp_path, [STAGE])
