"""Nothing that is stored knows a query: no gradient leads from a document's arrays to one, and none changes a bit of them."""

import pytest
import torch

from lateint.heads.inputs import Candidates
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import METHODS, QUERY

DOCUMENTS = engine.DOCUMENTS[:4]
OTHER = QUERY.replace("yeast", "brake")  # one token changed
FAMILIES = [("prettr", family) for family in tiny.FAMILIES if family != "bert"]
CASES = [*((method, "bert") for method in METHODS), *FAMILIES]
JOINT = [("prettr", family) for family in tiny.FAMILIES] + [("deformer", "bert"), ("sdr", "bert")]


def watched_query(model, monkeypatch, text=QUERY):
    """A query, and its embeddings as the leaf of the graph."""
    seen = []
    for tower in {model.backbone, model.query_backbone} - {None}:
        embed = tower.embed

        def leaf(*given, embed=embed):
            seen.append(embed(*given).detach().requires_grad_())
            return seen[-1]

        monkeypatch.setattr(tower, "embed", leaf)
    query = model.query_from_tokens(model.query_tokens(text))
    monkeypatch.undo()
    return query, seen


def stored(model):
    arrays = model.encode_batch(model.document_tokens(DOCUMENTS))
    mask = next((mask for name, (_, mask) in arrays.items() if name != "vector"), None)
    return Candidates(mask=mask, **{name: values for name, (values, _) in arrays.items()})


def tensors(docs):
    return [t for t in (docs.states, docs.vector, docs.token_ids) if t is not None]


def reaches(output, leaves):
    """Whether a gradient other than zero leads from the output to one of the leaves."""
    if not output.requires_grad:
        return False
    found = torch.autograd.grad(output, leaves, allow_unused=True, retain_graph=True)
    return any(gradient is not None and bool(gradient.abs().max() > 0) for gradient in found)


@pytest.mark.parametrize(("method", "family"), CASES)
def test_stored_arrays_have_no_gradient_to_the_query_and_the_score_has(method, family, monkeypatch):
    model = engine.fresh_model(method, family)
    query, leaves = watched_query(model, monkeypatch)
    docs = stored(model)
    assert leaves and tensors(docs)
    assert not any(reaches(array.pow(2).sum(), leaves) for array in tensors(docs))
    assert reaches(model.score(query, docs).pow(2).sum(), leaves)


@pytest.mark.parametrize(("method", "family"), CASES)
def test_another_query_changes_no_bit_of_what_is_stored_and_it_changes_the_score(method, family):
    model = engine.model(method, family)
    with torch.inference_mode():
        found = []
        for text in (QUERY, OTHER):
            query, docs = model.query(text), stored(model)
            before = [array.clone() for array in tensors(docs)]
            scores = model.score(query, docs)
            assert all(torch.equal(*both) for both in zip(before, tensors(docs), strict=True))  # the head leaves them alone
            found.append((tensors(docs), scores))
    (one, first), (two, second) = found
    assert all(torch.equal(*both) for both in zip(one, two, strict=True))
    assert (first - second).abs().min() > 1e-6


@pytest.mark.parametrize(("method", "family"), JOINT)
def test_document_rows_know_the_query_from_the_first_joint_layer_on_and_not_before(method, family, monkeypatch):
    model = engine.fresh_model(method, family)
    query, leaves = watched_query(model, monkeypatch)
    trace = model.head.trace(query, stored(model))
    rows = [each.states[:, query.rows.states.shape[1] :].pow(2).sum() for each in trace]
    assert [reaches(each, leaves) for each in rows] == [False, *[True] * (len(trace) - 1)] and len(trace) > 1
