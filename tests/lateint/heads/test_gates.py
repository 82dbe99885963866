"""Gates on attention between the sides: open they are nothing, shut below L they are the split at L."""

from dataclasses import replace

import pytest
import torch

from lateint.backbone.layer import TokenStates
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint.train.features import Live
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERIES, QUERY

OPEN, SHUT = 0.0, -1e4
BOTH_ALONE = {key: replace(getattr(preset("deformer"), key), template="alone") for key in ("query", "document")}


def method(depth, gate):
    head = part("joint_layers", readout="matches", gate=gate)
    codecs = preset("prettr").codecs if depth else preset("cross_encoder").codecs
    chosen = replace(preset("deformer"), name=f"gated {depth}", **BOTH_ALONE, head=head, codecs=codecs)
    return replace(chosen, offline_layers=depth, query_layers=depth)


def scores(model):
    pairs = [(query, document.text) for query in QUERIES[:2] for document in DOCUMENTS[:6]]
    return torch.from_numpy(Ranker(model).logits(pairs).copy())


def gated(depth, family, **bias):
    """A model with open gates, but for those of the layers below, which get the values given."""
    model = engine.fresh_model(method(depth, OPEN), family)
    with torch.no_grad():
        for name, values in bias.items():
            getattr(model.head.gates, name)[: len(values)] = torch.tensor(values)
    return model


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("depth", [0, 2])
def test_open_gates_change_nothing(depth, family):
    plain = engine.model(method(depth, None), family)
    assert plain.head.gates is None
    expected, found = scores(plain), scores(gated(depth, family))
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.max() - expected.min()))
    half = scores(gated(depth, family, to_document=[-1.0] * 4))
    assert not torch.allclose(half, expected, atol=1e-3 * float(expected.max() - expected.min()))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gates_shut_below_a_layer_are_the_split_there(depth, family):
    """The cross-encoder whose sides first meet in layer L scores as the method that runs the layers below L apart."""
    split, shut = scores(gated(depth, family)), [SHUT] * depth
    tolerance = 1e-5 * float(split.max() - split.min())
    assert torch.allclose(scores(gated(0, family, to_document=shut, to_query=shut)), split, atol=tolerance)
    for one_way in ({"to_document": shut}, {"to_query": shut}, {"to_document": shut[1:], "to_query": shut[1:]}):
        assert not torch.allclose(scores(gated(0, family, **one_way)), split, atol=100 * tolerance)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_shares_under_a_bias_are_those_of_the_softmax(family):
    backbone = engine.model("prettr", family, dtype="float64").backbone
    states, generator = torch.randn(2, 9, 32, dtype=torch.float64, generator=torch.manual_seed(5)), torch.manual_seed(6)
    rows = TokenStates(states, torch.arange(9).expand(2, 9), bias=torch.randn(9, 9, dtype=torch.float64, generator=generator))
    attention = backbone.layers[0].attention
    with torch.inference_mode():
        plain, shares = attention.probabilities(replace(rows, bias=None), rows), attention.probabilities(rows, rows)
        expected = plain * rows.bias.exp()
        assert torch.allclose(shares, expected / expected.sum(dim=-1, keepdim=True), atol=1e-12)
        assert torch.allclose(attention(rows, rows)[:, :1], attention(rows.first(), rows), atol=1e-12)
        assert not torch.allclose(attention(rows, rows), attention(replace(rows, bias=None), rows), atol=1e-3)


def test_fresh_gates_are_shut_but_in_the_last_layer_and_learn():
    model = engine.fresh_model(method(0, -3.0))
    assert model.head.gates.to_query.tolist() == model.head.gates.to_document.tolist() == [-3.0, -3.0, -3.0, 0.0]
    features = Live(model)
    features.prepare([QUERY], DOCUMENTS[:3])
    scores = model.score(features.query(QUERY), features.candidates(DOCUMENTS[:3]))
    (scores * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert all((gate.grad != 0).all() for gate in model.head.gates.parameters())
