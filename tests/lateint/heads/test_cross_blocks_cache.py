"""Two cache levels of interaction blocks: states, and every block's keys and values; modules of their own depth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, StoreMismatch
from lateint.heads.inputs import Candidates
from lateint.indexing.build import build_store
from lateint.indexing.fingerprint import head_digest
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine

DOCUMENTS, QUERY = engine.DOCUMENTS[:6], engine.QUERY
MORES = preset("mores")


def load(cache, family="bert", method=MORES, **settings):
    head = part("cross_blocks", **(dict(method.head.settings) | {"cache": cache} | settings))
    return engine.fresh_model(replace(method, head=head), family)


def encoded(model):
    return model.encode(model.document_tokens(DOCUMENTS))


def candidates(model):
    states, mask = model.encode_batch(model.document_tokens(DOCUMENTS))["states"]
    return Candidates(states=states, mask=mask)


def score(model, docs=None):
    with torch.inference_mode():
        return model.score(model.query(QUERY), candidates(model) if docs is None else docs)


def equal(left, right):
    return float((left - right).abs().max()) <= 1e-5 * max(1.0, float(right.max() - right.min()))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("order", ["cross_then_self", "self_then_cross"])
def test_cached_keys_and_values_give_the_scores_of_cached_states(family, order):
    first, second = load("states", family, order=order), load("keys_values", family, order=order)
    with torch.no_grad():
        for model in (first, second):
            model.head.readout.weight.mul_(20)  # so that scores spread
    assert equal(score(second), score(first)) and (score(first) - score(first).roll(1)).abs().min() > 1e-3
    docs = candidates(second)
    swapped = Candidates(states=docs.states.roll(64, dims=-1), mask=docs.mask)  # each block gets the other's keys and values
    assert not equal(score(second, swapped), score(first))


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_bytes_are_exactly_twice_the_blocks_of_those_of_states(tmp_path, blocks):
    sizes = []
    for cache in ("states", "keys_values"):
        model = load(cache, blocks=blocks, first=1)
        entries = encoded(model)
        assert model.width("states") == (32 if cache == "states" else 2 * blocks * 32) == entries[0]["states"].shape[1]
        with build_store(model, DOCUMENTS, tmp_path / cache) as store:
            sizes.append([len(store.get([d.id])[0]["states"].tobytes()) for d in DOCUMENTS])
    assert sizes[1] == [2 * blocks * size for size in sizes[0]]


def test_a_compressor_does_not_change_the_ratio_to_full_states_nor_the_scores():
    method = replace(MORES, compressor=part("linear", width=8))
    first, second = load("states", method=method), load("keys_values", method=method)
    assert (first.width("states"), second.width("states")) == (8, 128) and first.head.on_codes
    assert equal(score(second), score(first))


def test_states_are_no_keys_and_values():
    second = load("keys_values")
    states = candidates(load("states")).states
    with pytest.raises((RuntimeError, InputError)):
        score(second, Candidates(states=states))


def test_a_store_of_keys_and_values_belongs_to_the_blocks_that_made_them(tmp_path):
    model, other = load("keys_values"), load("keys_values")
    with build_store(model, DOCUMENTS, tmp_path / "store") as store:
        before, digest = engine.scores(Ranker(model, store).rank(QUERY, [d.id for d in DOCUMENTS])), head_digest(model)
        assert engine.close(before, engine.scores(Ranker(model).rank(QUERY, documents=DOCUMENTS)))
        with torch.no_grad():
            other.head.readout.weight.add_(0.1)
            other.head.blocks[1].cross.query.weight.add_(0.1)
        assert Ranker(other, store) and head_digest(other) != digest  # what runs online may change
        with torch.no_grad():
            other.head.blocks[1].cross.value.bias[0] += 0.1
        with pytest.raises(StoreMismatch, match=r"states\.weights differ"):
            Ranker(other, store)
        with pytest.raises(StoreMismatch, match=r"states\.weights differ"):
            Ranker(load("states"), store)


def test_gradients_reach_the_maps_whose_output_is_stored():
    model = load("keys_values")
    model.score(model.query_from_tokens(model.query_tokens(QUERY)), candidates(model)).sum().backward()
    assert model.head.blocks[0].cross.key.weight.grad.abs().max() > 0


@pytest.mark.parametrize("depths", [(4, 2), (3, 1), (2, 4)])
def test_document_and_query_modules_have_a_depth_of_their_own(depths):
    document, query = depths
    model = engine.fresh_model(replace(MORES, offline_layers=document, query_layers=query))
    ran = {"document": [], "query": []}
    for tower, name in ((model.backbone, "document"), (model.query_backbone, "query")):
        for number, layer in enumerate(tower.layers):
            layer.register_forward_hook(lambda *_, name=name, number=number: ran[name].append(number))
    before = score(model)
    assert ran == {"document": list(range(document)), "query": list(range(query))}
    with torch.no_grad():
        if query < 4:
            model.query_backbone.layers[query].feed_forward.down.weight.mul_(1.5)
        if document < 4:
            model.backbone.layers[document].feed_forward.down.weight.mul_(1.5)
    assert torch.equal(score(model), before)  # layers above their module play no part
    with torch.no_grad():
        model.query_backbone.layers[query - 1].feed_forward.down.weight.mul_(1.5)
    assert not torch.equal(score(model), before)


def test_layers_that_no_block_copies_are_dropped():
    method = replace(preset("mice"), head=part("cross_blocks", blocks=1, first=1))
    model = engine.fresh_model(method, offline_layers=1)
    before = score(model)
    with torch.no_grad():
        for layer in model.backbone.layers[1:]:
            layer.feed_forward.down.weight.mul_(1.5)
    assert torch.equal(score(model), before) and len(model.head.blocks) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"cache": "both"}, "cache='both'; expected one of states, keys_values"), ({"residual": "evidence"}, "compares states")],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    method = replace(MORES, vector=part("mean"))
    with pytest.raises(InputError, match=message):
        load(**({"cache": "keys_values", "method": method} | settings))


def test_entries_hold_finite_numbers_of_real_tokens_alone():
    model = load("keys_values")
    lengths = [len(row) for row in model.document_tokens(DOCUMENTS)]
    assert [len(entry["states"]) for entry in encoded(model)] == lengths
    assert all(np.isfinite(entry["states"]).all() for entry in encoded(model))


def test_a_checkpoint_that_was_trained_with_states_serves_keys_and_values(tmp_path):
    trained = engine.shaken("mores")
    trained.save_pretrained(tmp_path / "mores")
    head = part("cross_blocks", **(dict(MORES.head.settings) | {"cache": "keys_values"}))
    served = load_model(tmp_path / "mores", engine.lossless(replace(MORES, head=head)), **engine.LENGTHS)
    assert served.width("states") == 128 and equal(score(served), score(trained))
    assert not equal(score(load("keys_values")), score(trained))


@pytest.mark.parametrize(("cache", "same"), [("states", True), ("keys_values", False)])
def test_blocks_share_one_document_of_states_and_have_keys_and_values_of_their_own(cache, same):
    model, seen = load(cache), []
    for block in model.head.blocks:
        block.cross.register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[1].states))
    score(model)
    assert len(seen) == 2 and (seen[0] is seen[1]) is same
    assert torch.equal(seen[0], seen[1]) is same and seen[0].shape[-1] == (32 if same else 64)
