"""Training of the query tower alone: what a store holds stays, and the store ranks with the tower before and after it."""

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

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


def test_the_last_layers_alone_move_and_the_checkpoint_keeps_the_others_once(tmp_path):
    made = student()
    before = state(made.query_backbone)
    students.run(made, tmp_path, [replace(STAGE, train=("query_layers:1", "head"))], steps=2)
    after, depth = made.query_backbone.state_dict(), len(made.query_backbone.layers)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(f".layer.{depth - 1}." in name for name in moved)
    made.save_pretrained(tmp_path / "m", dtype="int8")
    with safe_open(tmp_path / "m" / "lateint.safetensors", "pt") as file:
        kept = {name.removesuffix(".codes").removesuffix(".step") for name in file.keys()}  # noqa: SIM118
    assert {name for name in kept if name.startswith("query_backbone.")} == {f"query_backbone.{name}" for name in moved}


@pytest.mark.parametrize("number", ["0", "5", "-1", "", "x", "1.0", "²"])
def test_a_number_of_layers_that_the_tower_does_not_have(tmp_path, number):
    with pytest.raises(InputError, match="expected 'query_layers:n' with n from 1 to 4"):
        students.run(student(), tmp_path, [replace(STAGE, train=(f"query_layers:{number}",))])


def test_a_shared_tower_has_no_layers_of_its_own(tmp_path):
    with pytest.raises(InputError, match="'query_layers', which this model does not have"):
        students.run(student("shared"), tmp_path, [STAGE])
