"""Features of two vectors, and the vector of the last layers: DSE's identities."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates, Query
from lateint.heads.pair_features import features
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support import engine, reference

TEXTS = ["how is bread in the oven", "a river of stone", "wheel"]


def vectors(model, texts=TEXTS):
    rows = model.document_tokens([Document(str(i), text) for i, text in enumerate(texts)])
    with torch.inference_mode():
        return model.encode_batch(rows)["vector"][0]


def score(model, u, v):
    with torch.inference_mode():
        return float(model.score(Query(None, None, u), Candidates(vector=v[None]))[0])


def test_features_of_equal_vectors_end_in_zeros_and_of_others_do_not():
    u, v = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(features(u, u)[24:], torch.zeros(8))
    assert torch.equal(features(u, v), torch.cat([u, v, u * v, (u - v).abs()]))
    assert features(u, v)[24:].abs().min() > 0


def test_the_score_is_the_network_over_the_features_and_is_not_symmetric():
    model = engine.model("dse")
    u, v, _ = vectors(model).numpy()
    w = {name: tensor.numpy() for name, tensor in model.head.state_dict().items()}
    x = np.concatenate([u, v, u * v, np.abs(u - v)])
    wanted = w["readout.weight"] @ np.maximum(w["hidden.weight"] @ x + w["hidden.bias"], 0) + w["readout.bias"]
    u, v = torch.from_numpy(u), torch.from_numpy(v)
    assert score(model, u, v) == pytest.approx(wanted[0], abs=1e-4)
    assert abs(score(model, u, v) - score(model, v, u)) > 1e-3


def test_a_head_that_reads_only_what_both_share_would_be_symmetric():
    model = engine.fresh_model("dse")
    u, v, _ = vectors(model)
    with torch.no_grad():
        model.head.hidden.weight[:, : 2 * len(u)] = 0
    assert score(model, u, v) == pytest.approx(score(model, v, u), abs=1e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_vector_is_the_mean_of_the_last_layers_without_cls_and_pads(family):
    hf, model = reference.load(tiny.checkpoint(family)), engine.model("dse", family)
    got = vectors(model)
    for i, text in enumerate(TEXTS):
        row = torch.tensor(model.document_tokens([Document("x", text)])[0])
        with torch.inference_mode():
            hidden = hf.base_model(input_ids=row[None], output_hidden_states=True).hidden_states
        layers = torch.cat(hidden[-4:], dim=-1)[0]
        assert got.shape[1] == 4 * 32
        assert torch.allclose(got[i], layers[1:].mean(0), atol=1e-4)
        assert (got[i] - layers.mean(0)).abs().max() > 1e-3  # with CLS it would differ


def test_the_query_gets_its_vector_as_a_document_of_the_same_text_does():
    model = engine.model("dse")
    assert torch.allclose(model.query(TEXTS[0]).vector, vectors(model, TEXTS[:1])[0], atol=1e-5)


@pytest.mark.parametrize(("layers", "width"), [(1, 32), (2, 64), (3, 96)])
def test_fewer_layers_make_narrower_vectors_the_last_layer_last(layers, width):
    model = engine.fresh_model(replace(preset("dse"), vector=part("top_layers_mean", layers=layers)))
    assert model.width("vector") == width == model.head.hidden.weight.shape[1] // 4
    assert torch.allclose(vectors(model), vectors(engine.model("dse"))[:, -width:], atol=1e-6)


def test_a_sweep_of_depth_moves_the_layers_that_are_read():
    model = engine.fresh_model(replace(preset("dse"), vector=part("top_layers_mean", layers=2)), offline_layers=3)
    assert list(model.vector_depths) == [2, 3]
    whole = vectors(engine.model("dse"))  # layers 1, 2, 3, 4
    assert torch.allclose(vectors(model), whole[:, 32:96], atol=1e-6)


@pytest.mark.parametrize("layers", [0, 5])
def test_more_layers_than_run_are_refused(layers):
    with pytest.raises(InputError, match=rf"'top_layers_mean' reads the last {layers} layers; expected 1\.\.4"):
        engine.fresh_model(replace(preset("dse"), vector=part("top_layers_mean", layers=layers)))


def test_a_pool_of_states_reads_one_layer():
    with pytest.raises(InputError, match=r"reads the last 4 layers; expected 1\.\.1"):
        engine.fresh_model(replace(preset("prettr"), pool=part("top_layers_mean")))


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(InputError, match="hidden=0"):
        engine.fresh_model(replace(preset("dse"), head=part("pair_features", hidden=0)))
    with pytest.raises(InputError, match="has no vectors"):
        engine.fresh_model(replace(preset("dse"), vector=None))
    model = engine.model("dse")
    with pytest.raises(InputError, match="reads 'vector'"):
        model.score(Query(None, None, vectors(model)[0]), Candidates())
