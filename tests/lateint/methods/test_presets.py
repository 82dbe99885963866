"""Contracts of all presets: scores with a store equal those without, JSON round-trips, and which presets read token order."""

import json
from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.methods.method import Method
from lateint.methods.presets import PRESETS, preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.train.recipes.teacher import TEACHER
from tests.support import engine
from tests.support.engine import DOCUMENTS, METHODS, QUERY

NAMES = "prettr deformer dc_bert mores mice dipair sdr colbert dse hpd early_layers cross_encoder cosine"  # in order
POSITIONS_AGAIN = (
    "dc_bert",
    "dipair",
    "sdr",
)  # they number stored rows again; sdr does so to embed token ids as side information
TIMES = {
    "dc_bert": 20,
    "dipair": 20,
    "mores": 20,
    "mice": 20,
    "dse": 5,
}  # factors for fresh readouts, which are small: without them scores hardly differ


def named(method):
    return method if isinstance(method, str) else f"our {method.name}"


def spread(method):
    """Return a fresh model whose scores differ between documents."""
    model = engine.fresh_model(method)
    if (readout := getattr(model.head, "readout", None)) is not None:
        with torch.no_grad():
            readout.weight.mul_(TIMES[method])
    if method == "dipair":
        torch.nn.init.normal_(model.head.positions, generator=torch.Generator().manual_seed(1))
    return model


def test_the_methods_are_those_that_are_announced():
    assert list(PRESETS) == NAMES.split()


@pytest.mark.parametrize("method", [*METHODS, TEACHER.method], ids=named)
def test_scores_with_and_without_a_store_are_bit_equal_one_document_at_a_time(tmp_path, method):
    documents = DOCUMENTS[:8]
    with engine.store(tmp_path, method, documents=documents, window=1) as store:
        model = engine.model(method)
        stored, plain = Ranker(model, store), Ranker(model)
        found = [stored.rank(QUERY, [document.id])[0].score for document in documents]
        assert found == [plain.rank(QUERY, documents=[document])[0].score for document in documents]
        assert len(set(found)) == len(found)
        for array in model.head.reads:  # documents have different arrays, so equal scores are not trivial
            assert store.get([documents[0].id])[0][array].tobytes() != store.get([documents[1].id])[0][array].tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_a_preset_is_plain_data_that_round_trips(method):
    chosen = preset(method)
    assert Method.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen
    assert chosen.source and chosen.summary and chosen.stages
    resolved = engine.model(method).method
    assert Method.from_json(json.loads(json.dumps(resolved.to_json()))) == resolved


def test_fields_of_vectors_may_be_missing_and_others_may_not():
    data = preset("cosine").to_json()
    older = {key: value for key, value in data.items() if key not in ("vector_layers", "vector_map")}
    assert Method.from_json(older) == preset("cosine")
    for wrong in ({**data, "vector_depth": 2}, {key: value for key, value in data.items() if key != "head"}):
        with pytest.raises(InputError, match="unknown or missing"):
            Method.from_json(wrong)


ORDERED = ["prettr", "deformer", "mores", "mice", "colbert", *POSITIONS_AGAIN]


@pytest.mark.parametrize("method", ORDERED)
def test_the_order_of_cached_rows_matters_exactly_where_a_head_adds_positions(method):
    model = spread(method)
    with torch.inference_mode():
        arrays = model.encode_batch(model.document_tokens(DOCUMENTS[:4]))
        docs = Candidates(mask=arrays["states"][1], **{name: values for name, (values, _) in arrays.items()})
        order = torch.randperm(docs.states.shape[1], generator=torch.Generator().manual_seed(2))  # moves padding too
        ids = None if docs.token_ids is None else docs.token_ids[:, order]
        turned = Candidates(mask=docs.mask[:, order], states=docs.states[:, order], token_ids=ids)
        query = model.query(QUERY)
        moved = float((model.score(query, turned) - model.score(query, docs)).abs().max())
    assert (moved > 1e-3) if method in POSITIONS_AGAIN else (moved < 1e-4)


def test_a_joint_head_over_rows_that_still_need_positions_reads_their_order():
    model = engine.model("cross_encoder")
    with torch.inference_mode():
        ids, _ = model.encode_batch(model.document_tokens(DOCUMENTS[:1]))["token_ids"]
        scores = [model.score(model.query(QUERY), Candidates(token_ids=rows)) for rows in (ids, ids.flip(1))]
    assert (scores[0] - scores[1]).abs().max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_document_counts_and_so_does_the_query(method):
    model = engine.model(method)
    scores = [[hit.score for hit in Ranker(model).rank(query, documents=DOCUMENTS[:5])] for query in engine.QUERIES[:2]]
    assert scores[0] != scores[1] and all(len(set(each)) == 5 for each in scores)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["head", "pool", "vector", "compressor"])
def test_a_setting_that_a_part_does_not_have_is_refused(method, kind):
    chosen = getattr(preset(method), kind)
    if chosen is None:
        chosen = part({"vector": "mean", "compressor": "linear"}[kind])
    wrong = part(chosen.name, **dict(chosen.settings), colour="red")
    with pytest.raises(InputError, match="no setting 'colour'"):
        engine.fresh_model(replace(preset(method), **{kind: wrong}))
