"""Explanations: their shares are those of a plain loop, sum to the score of `rank`, and need no text but the query."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, MissingDocument
from lateint.indexing.build import build_store
from lateint.indexing.chunks import Chunks
from lateint.loading.load import load_model
from lateint.methods.presets import PRESETS, preset
from lateint.methods.registry import names, part
from lateint.ranking.ranker import Ranker
from lateint.results import Explanation, Match
from lateint.testing import tiny
from tests.support import engine
from tests.support.encoders import read_once
from tests.support.engine import DOCUMENTS, QUERY

TEXTS = DOCUMENTS[:3]
RICH = replace(preset("mice"), vector=part("mean"))
VECTOR = ("vector", (part("rotated", bits=4, scale="none"),))
LATENT = replace(
    RICH,
    head=part("evidence", document_map=False),
    pool=part("no_punctuation"),
    compressor=part("words", width=16, bits=8, vocabulary=128),
    vector_map=part("linear", width=16),
    codecs=(VECTOR,),
)
READOUT = {"readout": "matches"}
METHODS = {
    "maxsim": preset("colbert"),
    "scaled maxsim": replace(preset("colbert"), head=part("maxsim", scale=0.5)),
    "evidence": replace(RICH, head=part("evidence"), compressor=part("linear", width=8)),
    "latent": LATENT,
    "latent, decoded": replace(LATENT, codecs=()),
    "latent, same words": replace(LATENT, head=part("evidence", document_map=False, same_word=True)),
    "joint": replace(preset("deformer"), head=part("joint_layers", **READOUT)),
    "joint, calibrated": replace(
        preset("cross_encoder"),
        vector=part("mean"),
        head=part("joint_layers", readout="calibrated_matches", residual="cosine"),
    ),
    "extra layers": replace(preset("dc_bert"), head=part("extra_layers", **READOUT)),
    "small transformer": replace(
        preset("dipair"), head=part("small_transformer", query_tokens=5, document_tokens=16, **READOUT)
    ),
    "blocks": replace(RICH, head=part("cross_blocks", blocks=1, first=2, residual="cosine", **READOUT)),
    "blocks over evidence": replace(RICH, head=part("cross_blocks", blocks=1, first=2, readout="mean", residual="evidence")),
}


def load(name, **options):
    """A model of a case, with a random change to the weights of its head and compressor."""
    with read_once():
        model = load_model(tiny.checkpoint("bert"), method=METHODS[name], **(engine.LENGTHS | options))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (*model.head.parameters(), *(model.compressor or model.head).parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def rankers(tmp_path_factory):
    """A ranker over a store for each case, made on first use."""
    made = {}

    def ranker(name):
        if name not in made:
            model = load(name)
            made[name] = Ranker(model, build_store(model, TEXTS, tmp_path_factory.mktemp("explain") / "s"))
        return made[name]

    yield ranker
    for one in made.values():
        one.store.close()


def total(found):
    return sum(match.share for match in found.matches) + sum(found.parts.values())


@pytest.mark.parametrize("name", METHODS)
def test_shares_sum_to_the_score_that_rank_gives_with_a_store_and_without(rankers, name):
    ranker = rankers(name)
    plain, scores = Ranker(ranker.model), set()
    for document in TEXTS:
        found, fresh = ranker.explain(QUERY, document.id), plain.explain(QUERY, text=document)
        assert found.score == ranker.rank(QUERY, [document.id])[0].score
        assert fresh.score == plain.rank(QUERY, documents=[document])[0].score and fresh.doc_id == document.id
        assert abs(total(found) - found.score) < 1e-4 and abs(total(fresh) - fresh.score) < 1e-4
        assert [match.share for match in found.matches] == sorted((match.share for match in found.matches), reverse=True)
        scores.add(found.score)
    assert len(scores) == len(TEXTS)


def decoded(entry, weights):
    """The states of an entry in float64; of word codes the row of the table and the signed steps."""
    codes = entry["states"]
    if codes.dtype != np.uint8:
        return codes.astype(np.float64)
    ids = codes[:, 0] + 256 * codes[:, 1].astype(int)
    signs = np.unpackbits(codes[:, 2:], axis=1, bitorder="little").astype(int) * 2 - 1
    return weights["compressor.words"][ids] + signs @ weights["compressor.steps"]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def sums_of_maxima(ranker, doc_id, change=None):
    """{(query word, row): share} and the other terms of a score, by numpy from decoded states; `change`: turn these states."""
    (entry,) = ranker.store.get([doc_id])
    weights = {name: tensor.double().numpy() for name, tensor in ranker.model.state_dict().items()}
    query, theirs = ranker.model.query(QUERY), decoded(entry, weights)
    if change is not None:
        theirs[change] *= -1
    rows = query.rows.states[0].double().numpy()
    if "head.query_map.weight" in weights:
        words = ["[CLS]", *QUERY.split(), "[SEP]"]
        ours = unit(rows @ weights["head.query_map.weight"].T)
        if "head.document_map.weight" in weights:
            theirs = unit(theirs @ weights["head.document_map.weight"].T)
        raw = np.log1p(np.exp(rows @ weights["head.weight.weight"][0] + weights["head.weight.bias"][0]))
        raw[[0, -1]] = 0
        factor = np.exp(weights["head.log_evidence"]) * raw / raw.sum()
        cosine = unit(entry["vector"].astype(np.float64)) @ unit(query.vector.double().numpy())
        others = {"cosine": np.exp(weights["head.log_cosine"]) * cosine}
    else:
        words = [None, None, *QUERY.split(), *[None] * (len(rows) - 2 - len(QUERY.split()))]
        ours, factor, others = unit(rows @ weights["compressor.down"].T), np.ones(len(rows)), {"special tokens": 0.0}
    pairs = {}
    for word, row, weight in zip(words, ours, factor, strict=True):
        products = [state @ row for state in theirs]
        if word is None:
            others["special tokens"] += weight * max(products)
        elif weight:
            key = word, int(np.argmax(products))
            pairs[key] = pairs.get(key, 0) + weight * max(products)
    return pairs, others


@pytest.mark.parametrize("name", ["maxsim", "evidence", "latent"])
def test_shares_are_those_of_a_plain_loop_and_not_those_of_a_changed_state(rankers, name):
    ranker = rankers(name)
    for document in TEXTS:
        found = ranker.explain(QUERY, document.id)
        pairs, others = sums_of_maxima(ranker, document.id)
        got = {}
        for match in found.matches:
            got[match.query_word, match.position] = got.get((match.query_word, match.position), 0) + match.share
        assert got == pytest.approx(pairs, abs=1e-4) and found.parts == pytest.approx(others, abs=1e-4)
        assert abs(sum(pairs.values()) + sum(others.values()) - found.score) < 1e-4
        pairs, others = sums_of_maxima(ranker, document.id, change=[match.position for match in found.matches])
        assert abs(sum(pairs.values()) + sum(others.values()) - found.score) > 1e-3


def test_a_store_without_text_names_the_words_that_its_codes_hold(rankers):
    words = DOCUMENTS[0].text.split()
    for name in ("latent", "joint, calibrated"):
        for match in rankers(name).explain(QUERY, "d00").matches:
            assert match.query_word in QUERY.split() and match.document_word in {"[CLS]", "[SEP]", *words}
    kept = ["[CLS]", *(word for word in words if word not in tuple(",.;:!?()")), "[SEP]"]
    assert all(kept[match.position] == match.document_word for match in rankers("latent").explain(QUERY, "d00").matches)


def test_where_no_words_are_stored_the_position_alone_is_known_until_the_text_is_given(rankers):
    ranker = rankers("maxsim")
    stored, fresh = ranker.explain(QUERY, "d00").matches, ranker.explain(QUERY, text=DOCUMENTS[0].text).matches
    assert {match.document_word for match in stored} == {None} and str(stored[0]).endswith(f"→row {stored[0].position}")
    assert [(match.query_word, match.position) for match in stored] == [(match.query_word, match.position) for match in fresh]
    tokens = ranker.model.texts.tokens([DOCUMENTS[0].text], ranker.model.method.document)[0]
    named = [ranker.model.texts.raw.id_to_token(token) for token in tokens]
    kept = [word for word in named if word not in tuple(",.;:!?()")]
    assert all(kept[match.position] == match.document_word for match in fresh)


def test_a_bfloat16_model_is_explained_as_exactly(tmp_path):
    model = load("latent", dtype="bfloat16")
    with build_store(model, TEXTS[:3], tmp_path / "s") as store:
        for found in (Ranker(model, store).explain(QUERY, "d01"), Ranker(model).explain(QUERY, text=TEXTS[1])):
            assert abs(total(found) - found.score) < 1e-4


@pytest.mark.parametrize("aggregate", ["max", "first", "mean_top:2"])
def test_of_several_chunks_those_are_explained_that_the_score_is_made_of(tmp_path, aggregate):
    model = load("latent")
    with build_store(model, engine.LONG[:3], tmp_path / "s", chunks=Chunks(20, 6)) as store:
        ranker = Ranker(model, store, aggregate=aggregate)
        fresh, seen = Ranker(model, chunks=Chunks(20, 6), aggregate=aggregate), set()
        for document in engine.LONG[:3]:
            found = ranker.explain(QUERY, document.id)
            assert found.score == ranker.rank(QUERY, [document.id])[0].score and abs(total(found) - found.score) < 1e-4
            alone = fresh.explain(QUERY, text=document)
            assert alone.score == pytest.approx(found.score, abs=0.05) and abs(total(alone) - alone.score) < 1e-4
            chunks = {match.chunk for match in found.matches}
            assert len(chunks) <= (2 if aggregate == "mean_top:2" else 1)
            seen |= chunks
        assert seen == {0} if aggregate == "first" else len(seen) > 1


@pytest.mark.parametrize("name", names("heads"))
def test_a_head_that_is_no_sum_of_maxima_says_which_heads_can_explain(name):
    method = next((each for each in PRESETS.values() if each.head.name == name), replace(RICH, head=part(name)))
    model = engine.model(method)
    ranker = Ranker(model)
    if name in ("maxsim", "evidence"):
        assert ranker.explain(QUERY, text="bread").matches
        return
    with pytest.raises(InputError, match=rf"head '{name}' cannot explain .*'maxsim' and 'evidence' can.*readout='matches'"):
        ranker.explain(QUERY, text="bread")


def test_texts_without_a_word_are_refused_or_explained_by_special_tokens(rankers):
    ranker = rankers("latent")
    with pytest.raises(InputError, match="holds no token"):
        ranker.explain("", "d00")
    found = ranker.explain(QUERY, text="")
    assert {match.document_word for match in found.matches} <= {"[CLS]", "[SEP]"} and found.parts["cosine"]
    assert abs(total(found) - found.score) < 1e-4


def test_what_cannot_be_explained_is_named(rankers):
    ranker = rankers("latent")
    with pytest.raises(MissingDocument, match="document 'gone' is not in"):
        ranker.explain(QUERY, "gone")
    for given in ({}, {"doc_id": "d00", "text": "bread"}):
        with pytest.raises(InputError, match="give either doc_id, an id of the store, or text="):
            ranker.explain(QUERY, **given)
    with pytest.raises(InputError, match="need a store"):
        Ranker(ranker.model).explain(QUERY, "d00")
    with pytest.raises(InputError, match="doc_id is a int, 3; expected str"):
        ranker.explain(QUERY, 3)
    with pytest.raises(InputError, match=r"expected a str or a lateint\.Document"):
        ranker.explain(QUERY, text=float("nan"))


def test_the_line_for_readers_adds_up_and_obeys_no_control_character():
    matches = [Match(f"w{n}", "x\x1b[2J\u202e", n, 2.0 - n / 4) for n in range(9)]
    found = Explanation("d", 6.5, tuple(matches), {"cosine": 0.5, "constant": -3.0})
    line = str(found)
    assert line.startswith("6.50 = 2.00 w0→x\\u001b[2J\\u202e + 1.75 w1→") and line.count("→") == 6
    assert line.endswith(" + 0.75 3 more + 0.50 cosine - 3.00 constant")
    assert json.loads(json.dumps(asdict(found)))["matches"][8]["position"] == 8
    assert str(Explanation("d", -1.0, (), {"constant": -1.0})) == "-1.00 = -1.00 constant"
