"""Which precision a model computes in, when its copies of weights are made again, and what a store records."""

import copy
import pickle
import warnings

import pytest
import torch

import lateint
from lateint.backbone.reduced import resolve_precision
from lateint.errors import InputError, StoreMismatch
from lateint.indexing.compatibility import check_model
from lateint.indexing.store import recorded_model
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, LENGTHS, QUERY

KINDS = ("prettr", "mores")  # one tower for both sides; a copied tower for queries


def states(model):
    return model.query(QUERY).rows.states


@pytest.fixture
def has_all_units(monkeypatch):
    monkeypatch.setattr("lateint.backbone.reduced.has_units", lambda precision: True)


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_queries_are_computed_in_the_precision_that_is_asked_for(method, precision):
    model = engine.fresh_model(method)
    exact, document = states(model), model.encode(model.document_tokens(DOCUMENTS[:1]))[0]["states"]
    model.precision = precision
    found = states(model)
    assert not torch.equal(found, exact) and torch.allclose(found, exact, atol=0.3)
    assert torch.equal(model.queries([QUERY])[0].rows.states, found)
    same = (model.encode(model.document_tokens(DOCUMENTS[:1]))[0]["states"] == document).all()
    assert same == (precision == "int8")  # what is stored is never int8
    model.precision = "float32"
    assert torch.equal(states(model), exact)


def test_auto_changes_queries_alone(monkeypatch):
    monkeypatch.setattr("lateint.backbone.reduced._LEAST_WIDTH", 32)
    monkeypatch.setattr("lateint.backbone.reduced.has_units", lambda precision: precision == "bfloat16")
    model = engine.fresh_model()
    assert model.precision == "auto"
    assert (model.query_precision, model.document_precision) == ("bfloat16", "float32")
    monkeypatch.setattr("lateint.backbone.reduced.has_units", lambda precision: False)
    assert model.query_precision == "float32"


def test_weights_of_another_type_stay_as_they_are():
    model = engine.fresh_model(dtype="bfloat16")
    model.precision = "int8"
    assert (model.query_precision, model.document_precision) == ("float32", "float32")
    assert states(model).dtype == torch.bfloat16


def test_gradients_come_from_the_weights_themselves():
    model = engine.fresh_model()
    model.precision = "int8"
    tokens = model.query_tokens(QUERY)
    with torch.enable_grad():
        rows = model.query_from_tokens(tokens).rows.states
    rows.sum().backward()
    assert model.backbone.layers[0].attention.query.weight.grad.abs().sum() > 0
    model.precision = "float32"
    assert torch.equal(rows, model.query_from_tokens(tokens).rows.states)


@pytest.mark.parametrize("change", ["in place", "load_state_dict", "assign"])
def test_changed_weights_are_noticed(change):
    model = engine.fresh_model()
    model.precision = "bfloat16"
    before, output = states(model), model.backbone.layers[0].attention.output
    with torch.no_grad():
        if change == "in place":
            output.weight.mul_(2)
        else:
            weights = {name: tensor * 1.5 for name, tensor in model.state_dict().items()}
            model.load_state_dict(weights, assign=change == "assign")
    now = states(model)
    fresh = copy.deepcopy(model)
    assert not torch.equal(now, before) and torch.equal(now, states(fresh))


def test_copies_and_pickles_have_no_copies_of_weights():
    model = engine.fresh_model()
    size = len(pickle.dumps(model))
    model.precision = "bfloat16"
    found = states(model)
    other, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    assert not other._towers._kept and len(pickle.dumps(model)) < 1.01 * size + 1000
    assert torch.equal(states(other), found) and torch.equal(states(again), found)
    with torch.no_grad():
        other.backbone.layers[0].attention.output.weight.mul_(2)
    assert torch.equal(states(model), found) and not torch.equal(states(other), found)


def test_threads_may_ask_at_once():
    from concurrent.futures import ThreadPoolExecutor

    model = engine.fresh_model()
    model.precision = "bfloat16"
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: states(model), range(8))]
    assert all(torch.equal(each, found[0]) for each in found)


def test_what_load_model_takes(has_all_units):
    folder = tiny.checkpoint("bert")
    for precision in (None, "auto", "bfloat16", "int8"):
        assert lateint.load_model(folder, precision=precision, **LENGTHS).precision == (precision or "auto")
    for options, message in (
        ({"precision": "float16"}, "precision 'float16'; expected one of auto, float32, bfloat16, int8"),
        ({"precision": 8}, "precision 8; expected one of auto"),
        ({"precision": "int8", "dtype": "float16"}, "precision='int8' with dtype='float16'; expected float32 weights"),
    ):
        with pytest.raises(InputError, match=message):
            lateint.load_model(folder, **options)
    with pytest.raises(InputError, match="precision='int8' on cuda:0; expected the cpu"):
        resolve_precision("int8", torch.float32, "cuda:0")
    with warnings.catch_warnings(action="error"):
        lateint.load_model(folder, precision="float32", dtype="float16", **LENGTHS)


def test_a_processor_without_the_units_runs_float32_and_says_so(monkeypatch):
    monkeypatch.setattr("lateint.backbone.reduced.has_units", lambda precision: False)
    with pytest.warns(UserWarning, match="no avx512_vnni or avx_vnni or amx_int8 for int8; the layers run in float32"):
        model = lateint.load_model(tiny.checkpoint("bert"), precision="int8", **LENGTHS)
    assert model.precision == "float32"


def test_a_store_records_the_precision_of_its_documents(tmp_path, has_all_units):
    model = engine.fresh_model()
    model.precision = "bfloat16"
    with lateint.build_store(model, DOCUMENTS[:6], tmp_path / "store") as store:
        assert store.manifest.fingerprint["precision"] == "bfloat16"
        assert recorded_model(store).precision == "bfloat16"
        assert recorded_model(store, precision="float32").precision == "float32"
        exact = engine.fresh_model()
        scores = {hit.doc_id: hit.score for hit in lateint.Ranker(model, store).rank(QUERY, IDS[:6])}
        for precision in ("float32", "bfloat16"):
            exact.precision = precision
            found = {hit.doc_id: hit.score for hit in lateint.Ranker(exact, store).rank(QUERY, IDS[:6])}
            assert found == (scores if precision == "bfloat16" else pytest.approx(scores, abs=0.2))
        store.add(DOCUMENTS[6:8], model=exact)
        assert len(store) == 8
    with lateint.build_store(engine.fresh_model(), DOCUMENTS[:6], tmp_path / "exact") as store:
        assert "precision" not in store.manifest.fingerprint and recorded_model(store).precision == "auto"
        lateint.Ranker(model, store)


def test_the_canary_judges_a_store_of_another_precision(tmp_path):
    model, other = engine.fresh_model(), engine.fresh_model()
    model.precision = "bfloat16"
    with lateint.build_store(model, DOCUMENTS[:6], tmp_path / "store") as store:
        for layer in other.backbone.layers:  # other arithmetic over equal weights, beyond what rounding explains
            layer.attention.norm.eps = layer.feed_forward.norm.eps = 0.5
        with pytest.raises(StoreMismatch, match=r"in precision bfloat16 \(now float32\)"):
            check_model(other, store)
