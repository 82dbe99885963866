"""Vectors of any depth, from any pool, through a map: early layers, HPD."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.loading.pretrained import MethodOverrides
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, reference

TEXTS = ["how is bread in the oven", "a river of stone", "wheel"]
RICH = replace(preset("mice"), vector=part("mean"), head=part("cross_blocks", blocks=1, first=3))


def vectors(model, texts=TEXTS):
    with torch.inference_mode():
        return model.encode_batch(model.document_tokens([Document("x", text) for text in texts]))["vector"][0]


def hidden(family, model, text, depth):
    """States after some layers, as transformers itself gives them."""
    row, base = (
        torch.tensor(model.document_tokens([Document("x", text)])[0]),
        reference.load(tiny.checkpoint(family)).base_model,
    )
    with torch.inference_mode():
        return base(input_ids=row[None], output_hidden_states=True).hidden_states[depth][0]


def counted(model):
    """The numbers of the layers that run from now on."""
    ran = []
    for number, layer in enumerate(model.backbone.layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    return ran


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_a_vector_is_the_mean_after_as_many_layers_with_the_final_norm_only_after_the_last(family, depth):
    model = engine.fresh_model("early_layers", family, offline_layers=depth)
    got = vectors(model)
    for i, text in enumerate(TEXTS):
        mean = hidden(family, model, text, depth).mean(0)
        assert torch.allclose(got[i], mean / mean.norm(), atol=1e-5)
        other = hidden(family, model, text, depth - 1 if depth else 1).mean(0)
        assert (got[i] - other / other.norm()).abs().max() > 1e-3
    assert torch.allclose(model.query(TEXTS[0]).vector, got[0], atol=1e-5)


def test_no_layer_runs_beyond_the_depth_of_the_vector_and_none_twice():
    model = engine.fresh_model("early_layers")
    ran = counted(model)
    vectors(model)
    assert ran == [0, 1]
    model.query(TEXTS[0])
    assert ran == [0, 1, 0, 1]
    for method in ("dse", "cosine", replace(RICH, vector=part("top_layers_mean", layers=4))):
        model = engine.fresh_model(method)
        ran = counted(model)
        vectors(model)
        assert ran == [0, 1, 2, 3]


@pytest.mark.parametrize("method", ["cosine", "dse", "hpd", "early_layers"])
def test_sweeping_offline_layers_sweeps_the_depth_of_vectors_of_both_sides(method):
    chosen = preset(method)
    if method == "dse":
        chosen = replace(chosen, vector=part("top_layers_mean", layers=2))
    found = []
    for depth in (2, 3, "T"):
        model = engine.fresh_model(chosen, offline_layers=depth)
        number = 4 if depth == "T" else depth
        assert (model.method.depth, model.method.query_depth, model.method.vector_depth) == (number,) * 3
        found.append(vectors(model))
        assert torch.allclose(model.query(TEXTS[0]).vector, found[-1][0], atol=1e-5)
    assert all((found[i] - found[j]).abs().max() > 1e-3 for i, j in ((0, 1), (1, 2), (0, 2)))


def test_beside_states_a_vector_keeps_a_depth_of_its_own():
    for states, vector in ((1, "T"), (3, 1), (2, 2), (4, 3)):
        model = engine.fresh_model(replace(RICH, vector_layers=vector), offline_layers=states)
        assert model.method.depth == states
        mean = hidden("bert", model, TEXTS[0], model.method.vector_depth).mean(0)
        assert torch.allclose(vectors(model)[0], mean / mean.norm(), atol=1e-5)
        assert torch.allclose(model.query(TEXTS[0]).vector, vectors(model)[0], atol=1e-5)
        entry = model.encode(model.document_tokens([Document("x", TEXTS[0])]))[0]
        assert np.allclose(entry["states"], hidden("bert", model, TEXTS[0], states), atol=1e-4)
    assert MethodOverrides(offline_layers=1).apply(RICH).vector_layers == "T"


def test_a_store_of_early_vectors_depends_on_the_layers_below_alone(tmp_path):
    model = engine.fresh_model("early_layers")
    with build_store(model, engine.DOCUMENTS[:3], tmp_path / "store") as store:
        with torch.no_grad():
            model.backbone.layers[2].feed_forward.down.weight.mul_(1.5)
        assert Ranker(model, store)
        for other in (engine.fresh_model("early_layers", offline_layers=1), engine.fresh_model("cosine")):
            with pytest.raises(StoreMismatch, match=r"vector\.weights"):
                Ranker(other, store)
        with torch.no_grad():
            model.backbone.layers[1].feed_forward.down.weight.mul_(1.5)
        with pytest.raises(StoreMismatch, match=r"vector\.weights"):
            Ranker(model, store)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_hpd_stores_a_bounded_dense_map_of_the_mean(family):
    model = engine.fresh_model("hpd", family)
    got = vectors(model)
    assert got.shape == (3, 128) == (3, model.width("vector")) and got.abs().max() < 1
    for i, text in enumerate(TEXTS):
        mean = hidden(family, model, text, 4).mean(0)
        down = model.vector_map.down
        wanted = torch.tanh(down.weight @ mean + down.bias)
        assert torch.allclose(got[i], wanted, atol=1e-4)
        assert (got[i] - torch.tanh(down.weight @ (mean / mean.norm()) + down.bias)).abs().max() > 1e-3  # not normalised


def test_hpd_without_tanh_is_not_bounded():
    model = engine.fresh_model(replace(preset("hpd"), vector_map=part("dense", width=128, activation="none")))
    with torch.no_grad():
        model.vector_map.down.weight.mul_(10)
    assert vectors(model).abs().max() > 1


def test_hpd_scores_are_cosines_of_what_is_stored():
    model = engine.model("hpd")
    found = engine.scores(Ranker(model).rank(TEXTS[0], documents=TEXTS))
    got = vectors(model).numpy()
    lengths = np.linalg.norm(got, axis=1)
    assert np.abs(lengths - 1).min() > 0.01  # so a plain dot product would be no cosine
    wanted = got @ got[0] / lengths / lengths[0]
    assert [found[str(i)] for i in range(3)] == pytest.approx(wanted.tolist(), abs=1e-5)


def test_a_changed_map_or_activation_makes_vectors_stale(tmp_path):
    model = engine.fresh_model("hpd")
    with build_store(model, engine.DOCUMENTS[:3], tmp_path / "store") as store:
        other = engine.fresh_model(replace(preset("hpd"), vector_map=part("dense", width=128, activation="relu")))
        with pytest.raises(StoreMismatch, match=r"vector\.map differ"):
            Ranker(other, store)
        with torch.no_grad():
            model.vector_map.down.bias[5] += 0.1
        with pytest.raises(StoreMismatch, match=r"vector\.weights differ"):
            Ranker(model, store)


def test_a_map_and_a_depth_survive_a_checkpoint(tmp_path):
    from lateint.loading.load import load_model

    model = engine.shaken("hpd")
    model.save_pretrained(tmp_path / "hpd")
    again = load_model(tmp_path / "hpd")
    assert torch.equal(vectors(again), vectors(model)) and again.method == model.method


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vector_layers": 9}, "9 layers of a backbone with T = 4"),
        ({"vector_layers": "deep"}, "'deep' layers"),
        ({"vector_map": part("dense", width=0)}, "width=0; expected"),
        ({"vector_map": part("dense", activation="sine")}, "activation='sine'; expected one of tanh, relu, none"),
        ({"vector_map": part("dense", depth=1)}, "no setting 'depth'"),
        ({"vector_map": part("dense"), "vector": None}, "has no vectors"),
        ({"vector": None}, "has no vectors"),
        ({"head": part("cross_blocks", residual="cosine"), "vector": None}, "has no vectors"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        engine.fresh_model(replace(preset("hpd"), **changes))
