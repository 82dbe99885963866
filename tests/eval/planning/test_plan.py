"""Predicted bytes against the bytes of a real store. `benchmarks/speed/plan.py` checks milliseconds."""

import dataclasses
import shutil
from collections import namedtuple

import numpy as np
import pytest

from lateint.errors import InputError
from lateint.indexing.build import build_store
from lateint.indexing.chunks import Chunks
from lateint.loading.load import load_model
from lateint.model.document import Document
from lateint.testing import tiny
from lateint_eval.planning.plan import make_plan
from lateint_eval.planning.text import plan_lines
from lateint_store import format_codecs, parse_codecs

NUMBER = 2_500


@pytest.fixture(scope="module")
def model():
    return load_model(tiny.checkpoint("bert"), "prettr", query_max_length=16, doc_max_length=64)


@pytest.fixture(scope="module")
def corpus():
    words = ["python", "list", "sort", "file", "path", "read", "write", "thread", "queue", "socket", "server", "client"]
    random = np.random.default_rng(0)
    lengths = np.minimum(np.exp(random.normal(3, 0.8, NUMBER)).astype(int) + 1, 200)
    return [Document(f"d{i}", " ".join(random.choice(words, n))) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("codecs", [None, "states=int8+zstd"])
def test_predicted_bytes_are_those_of_the_store(model, corpus, tmp_path, codecs):
    chosen = None if codecs is None else parse_codecs(codecs)
    plan = make_plan(model, corpus, codecs=chosen, sample=500)
    with build_store(model, corpus, tmp_path / "s", chosen) as store:
        real, tokens = store.info()["bytes"], store.info()["tokens"]
    first = plan.bytes[0]
    assert plan.documents == NUMBER and plan.sample == 500
    assert abs(first.in_all.value - real) < 0.03 * real
    assert first.a_document.value * NUMBER == pytest.approx(first.in_all.value)
    assert len({row.codecs for row in plan.bytes}) == len(plan.bytes) > 4
    assert plan.tokens_median.low <= tokens / NUMBER * 1.5 and 0 < plan.cut.value < 1 and plan.fits
    assert plan.hours.low <= plan.hours.value <= plan.hours.high


def test_chunks_are_counted_with_their_documents(model, corpus, tmp_path):
    chunks = Chunks(24, 8)
    plan = make_plan(model, corpus, chunks=chunks, sample=500)
    with build_store(model, corpus, tmp_path / "s", chunks=chunks) as store:
        real = store.info()["bytes"]
    assert abs(plan.bytes[0].in_all.value - real) < 0.05 * real and plan.cut.value == 0


def test_a_small_corpus_is_tried_whole_and_ranked_as_far_as_it_goes(model, corpus, tmp_path):
    plan = make_plan(model, corpus[:40], sample=500, queries=["sort a list"])
    with build_store(model, corpus[:40], tmp_path / "s") as store:
        real = store.info()["bytes"]
    assert plan.sample == 40 and [row.candidates for row in plan.ranking] == [40]
    assert abs(plan.bytes[0].in_all.value - real) <= 8192, "a page or two of the tree"


def test_a_thousand_candidates_are_extrapolated_from_fewer_and_said_to_be(model, corpus):
    plan = make_plan(model, corpus, sample=400)
    hundred, thousand = plan.ranking
    assert (hundred.candidates, hundred.extrapolated) == (100, False)
    assert (thousand.candidates, thousand.extrapolated) == (1_000, True) and thousand.ms.value > hundred.ms.value
    assert any("1,000 candidates" in line and "(extrapolated)" in line for line in plan_lines(plan))


def test_the_disk_that_is_too_small_is_named(model, corpus, monkeypatch, tmp_path):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 1_000))
    plan = make_plan(model, corpus, sample=50, beside=tmp_path / "not" / "there")
    assert not plan.fits and plan.to_json()["fits"] is False and any("NOT ENOUGH" in line for line in plan_lines(plan))


def test_a_method_of_vectors_compares_codecs_of_vectors(corpus):
    cosine = load_model(tiny.checkpoint("bert"), "cosine", query_max_length=16, doc_max_length=64)
    plan = make_plan(cosine, corpus, sample=100)
    assert all(row.codecs.startswith("vector=") for row in plan.bytes) and len(plan.bytes) > 3


def test_what_cannot_be_planned_is_refused(model, corpus):
    with pytest.raises(InputError, match="no document"):
        make_plan(model, [])
    with pytest.raises(InputError, match="vector"):
        make_plan(model, corpus[:5], codecs=parse_codecs("vector=int8"))


def test_the_first_codecs_are_those_that_were_asked_for(model, corpus):
    plan = make_plan(model, corpus[:30], codecs=parse_codecs("states=drive:bits=4"))
    assert plan.bytes[0].codecs.startswith("states=drive:bits=4")
    assert parse_codecs(plan.bytes[0].codecs) and format_codecs(parse_codecs(plan.bytes[0].codecs)) == plan.bytes[0].codecs
    assert dataclasses.asdict(plan)["bytes"]
