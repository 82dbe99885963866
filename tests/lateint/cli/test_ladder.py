"""`lateint rank --ladder`, `--budget-ms` and `--then` on the toy collection."""

import json
from dataclasses import replace

import pytest

import lateint
from lateint.cli.corpus import read_documents
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.testing import tiny
from tests.support.commands import run_lines
from tests.support.paths import TOY

QUERIES = ("--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Blocks over states, and vectors."""
    method = replace(preset("mores"), vector=part("mean"))
    model = load_model(tiny.checkpoint("bert"), method, query_max_length=24, doc_max_length=48)
    folder = tmp_path_factory.mktemp("ladder") / "s"
    lateint.build_store(model, read_documents(str(TOY / "collection.tsv")), folder).close()
    return folder


def test_a_ladder_at_full_depth_writes_the_run_of_its_last_rung(call, tmp_path, store):
    plain = ["rank", "--store", store, *QUERIES]
    assert call(*plain, "--output", tmp_path / "plain")[0] == 0
    assert call(*plain, "--output", tmp_path / "deep", "--ladder", "cosine:1000")[0] == 0
    assert run_lines(tmp_path / "deep") == run_lines(tmp_path / "plain")
    assert call(*plain, "--output", tmp_path / "short", "--ladder", "cosine:3", "--timing", tmp_path / "t")[0] == 0
    assert run_lines(tmp_path / "short") != run_lines(tmp_path / "plain")
    rungs = [json.loads(row)["rungs"] for row in (tmp_path / "t").read_text().splitlines()]
    assert [[rung["head"] for rung in found] for found in rungs] == [["cosine", "cross_blocks"]] * 20
    assert [found[1]["candidates"] for found in rungs] == [3] * 20


def test_a_budget_for_all_ranks_as_without_and_one_for_nothing_keeps_the_given_order(call, tmp_path, store):
    plain = ["rank", "--store", store, *QUERIES]
    assert call(*plain, "--output", tmp_path / "plain")[0] == 0
    assert call(*plain, "--output", tmp_path / "rich", "--budget-ms", "100000")[0] == 0
    assert [line[:4] for line in run_lines(tmp_path / "rich")] == [line[:4] for line in run_lines(tmp_path / "plain")]
    assert call(*plain, "--output", tmp_path / "poor", "--budget-ms", "0.000001")[0] == 0
    given = [line[2] for line in run_lines(TOY / "run.trec") if line[0] == run_lines(TOY / "run.trec")[0][0]]
    assert [line[2] for line in run_lines(tmp_path / "poor")][: len(given)] == given


def test_a_budget_is_measured_on_stored_documents_if_the_first_query_has_one_candidate(call, tmp_path, store):
    first = run_lines(TOY / "run.trec")[0]
    (tmp_path / "one").write_text(" ".join(first) + "\n")
    given = ["--queries", TOY / "queries.tsv", "--candidates", tmp_path / "one", "--output", tmp_path / "out"]
    code, _, err = call("rank", "--store", store, *given, "--budget-ms", "100000")
    assert code == 0, err
    assert [line[2] for line in run_lines(tmp_path / "out")] == [first[2]]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--ladder", "maxsim:3"], 1, "no rung 'maxsim'"),
        (["--ladder", "cosine"], 1, "expected head:depth"),
        (["--budget-ms", "-3"], 1, "expected milliseconds above 0"),
    ],
)
def test_what_cannot_be_climbed_is_one_line(call, tmp_path, store, options, code, message):
    found, out, err = call("rank", "--store", store, *QUERIES, "--output", tmp_path / "run", *options)
    assert (found, out) == (code, "") and message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_corpus_has_no_ladder(call, tmp_path):
    corpus = ["--corpus", TOY / "collection.tsv", "--model", tiny.checkpoint("bert")]
    code, _, err = call("rank", *corpus, *QUERIES, "--output", tmp_path / "run", "--ladder", "cosine:3")
    assert code == 2 and "entries of a --store" in err


@pytest.fixture(scope="module")
def pairwise(tmp_path_factory):
    """Token ids for a cross-encoder."""
    model = load_model(tiny.checkpoint("bert"), "cross_encoder", query_max_length=24, doc_max_length=48)
    folder = tmp_path_factory.mktemp("then") / "s"
    lateint.build_store(model, read_documents(str(TOY / "collection.tsv")), folder).close()
    return folder


def test_then_ranks_the_best_again_by_another_store(call, tmp_path, store, pairwise):
    plain = ["rank", "--store", store, *QUERIES]
    assert call(*plain, "--output", tmp_path / "plain")[0] == 0
    assert call(*plain, "--output", tmp_path / "two", "--then", f"{pairwise}:3", "--timing", tmp_path / "t")[0] == 0
    rungs = [json.loads(row)["rungs"] for row in (tmp_path / "t").read_text().splitlines()]
    assert [[rung["head"] for rung in found] for found in rungs] == [["cross_blocks", "joint_layers"]] * 20
    assert [found[1]["candidates"] for found in rungs] == [3] * 20
    before, after = ([line[:3] for line in run_lines(tmp_path / name)] for name in ("plain", "two"))
    assert before != after and sorted(before) == sorted(after)
    assert before[3:10] == after[3:10]
    assert call(*plain, "--output", tmp_path / "none", "--ladder", "cosine:9", "--then", f"{pairwise}:3")[0] == 0


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("{}", 2, "expected STORE:DEPTH"), ("{}:x", 2, "STORE:DEPTH"), ("{}:0", 1, "whole numbers"), ("gone:3", 1, "gone")],
)
def test_what_cannot_come_then_is_refused(call, tmp_path, store, pairwise, text, code, message):
    found, out, err = call("rank", "--store", store, *QUERIES, "--output", tmp_path / "run", "--then", text.format(pairwise))
    assert (found, out) == (code, "") and message in err
    assert not (tmp_path / "run").exists()
