"""Training on a tiny model: what is trained moves, what is not stays, and the ranking gets better."""

from dataclasses import replace

import pytest
import tiny
import torch

from lateint.checkpoint import load_model
from lateint.errors import InputError
from lateint.method import Stage
from lateint.model import Document
from lateint.parts import part
from lateint.presets import preset
from lateint.train.data import Sampler, TrainingSet
from lateint.train.features import Frozen, Live
from lateint.train.loop import Budget, train_stage
from lateint.train.prepare import prepare

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
TOPICS = {
    "bread": "oven yeast flour water salt",
    "engine": "wheel brake oil filter bolt",
    "sun": "moon star orbit planet comet",
}


def source(name="toy"):
    documents = {
        f"{name}{i}": Document(f"{name}{i}", f"{words} {text}")
        for i, (words, text) in enumerate(
            (topic_words, text) for topic_words in TOPICS.values() for text in tiny.texts(4, seed=len(topic_words), longest=8)
        )
    }
    ids = list(documents)
    queries = {f"q{i}": f"what is the {topic}" for i, topic in enumerate(TOPICS)}
    positives = {f"q{i}": ids[4 * i : 4 * i + 4] for i in range(3)}
    return TrainingSet(name, queries, positives, {q: ids for q in queries}, documents)


def model(method="mice", **changes):
    chosen = replace(preset(method), offline_layers=2, query_layers=2, **changes)
    return load_model(tiny.checkpoint("bert"), method=chosen, **LENGTHS)


BLOCKS = part("cross_blocks", blocks=1, first=3, readout="mean")
STAGE = Stage(loss=part("listwise"), rate=1e-2, queries=3, negatives=4)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before, module):
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def test_the_head_learns_and_the_backbone_stays():
    student = model(head=BLOCKS)
    before, backbone = state(student.head), state(student.backbone)
    history = train_stage(student, replace(STAGE, rate=3e-3), Sampler([source()], 4), Budget(120))
    assert sum(step.loss for step in history[-20:]) < 0.7 * sum(step.loss for step in history[:20])
    assert moved(before, student.head) and not moved(backbone, student.backbone)


def test_layers_learn_where_the_stage_says_so():
    student = model(head=BLOCKS)
    before = state(student.backbone)
    train_stage(student, replace(STAGE, train=("head", "layers")), Sampler([source()], 4), Budget(2))
    changed = moved(before, student.backbone)
    assert any("layer.0." in name for name in changed) and any("embeddings" in name for name in changed)
    assert not any("layer.3." in name for name in changed)  # above L and above the query's layers: only copied from


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs():
    weights = []
    for seed in (1, 1, 2):
        student = model(head=BLOCKS)
        train_stage(student, STAGE, Sampler([source()], 4, seed=seed), Budget(3))
        weights.append(student.head.readout.weight.clone())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_teacher_at_the_start_holds_the_student_back():
    ends = []
    for weight in (0.0, 100.0):
        student = model(head=BLOCKS)
        before = student.head.readout.weight.clone()
        stage = replace(STAGE, distill=part("kl"), distill_weight=weight, pool=6)
        history = train_stage(student, stage, Sampler([source()], 6), Budget(10))
        ends.append(sum(step.distill for step in history[-3:]))
        assert not torch.equal(before, student.head.readout.weight)
    assert ends[1] < 0.5 * ends[0]


def test_frozen_features_are_what_live_ones_are_after_the_codecs():
    student = model(head=BLOCKS, codecs=(("states", ()),))
    documents = list(source().documents.values())[:5]
    with torch.inference_mode():
        frozen, live = Frozen(student).candidates(documents), Live(student).candidates(documents)
    assert (frozen.states.float() - live.states)[live.mask].abs().max() < 5e-3  # kept in half precision
    assert torch.equal(frozen.mask, live.mask)


def test_preparing_fits_the_compressor_and_the_word_weights():
    student = model(head=part("evidence"), vector=part("mean"), compressor=part("linear", width=8))
    down, weight = student.compressor.down.clone(), student.head.weight.weight.clone()
    kept = prepare(student, [source()])["kept"]
    assert 0.5 < kept < 1 and not torch.equal(down, student.compressor.down)
    assert torch.equal(student.head.query_map.weight, student.compressor.down)
    assert torch.isfinite(student.head.weight.weight).all() and weight.shape == student.head.weight.weight.shape


def test_the_sampler_takes_turns_by_share_and_never_calls_a_relevant_document_negative():
    one, two = source("a"), source("b")
    sampler = Sampler([one, two], 5, shares={"a": 2, "b": 1}, seed=3)
    drawn = [sampler.draw() for _ in range(30)]
    assert sum(example.documents[0].id.startswith("a") for example in drawn) == 20
    for example in drawn:
        bundle = one if example.documents[0].id.startswith("a") else two
        query = next(q for q, text in bundle.queries.items() if text == example.query)
        assert example.documents[0].id in bundle.positives[query]


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(InputError, match="nothing to train"):
        train_stage(model("cosine", vector=part("mean")), STAGE, Sampler([source()], 4), Budget(1))
    with pytest.raises(InputError, match="'compressor'"):
        train_stage(model(head=BLOCKS), replace(STAGE, train=("compressor",)), Sampler([source()], 4), Budget(1))
    with pytest.raises(InputError, match="no query"):
        Sampler([replace(source(), candidates={})], 4)


def test_a_budget_in_minutes_ends_a_stage():
    student = model(head=BLOCKS)
    assert train_stage(student, STAGE, Sampler([source()], 4), Budget(1000, minutes=1e-9)) == []
