"""`lateint retrieve` on the toy collection: one store retrieves by its vectors and re-ranks by its states."""

import itertools
import json

import pytest

from lateint.cli.main import run
from lateint.indexing.store import open_store
from lateint.ranking.ranker import Ranker
from tests.support import engine
from tests.support.commands import DOCUMENTS, run_lines
from tests.support.paths import TOY
from tests.support.retrieving import ALONE, RICH

QUERIES = ["--queries", TOY / "queries.tsv"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "rich"
    engine.fresh_model(RICH).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory, checkpoint):
    path = tmp_path_factory.mktemp("cli") / "store"
    assert run(["index", "--corpus", str(TOY / "collection.tsv"), "--store", str(path), "--model", str(checkpoint)]) == 0
    return path


def retrieve(call, output, *arguments):
    code, out, err = call("retrieve", *QUERIES, "--output", output, *arguments)
    assert (code, out) == (0, ""), err
    assert f"{DOCUMENTS} vectors from" in err and "20 queries, median" in err
    return run_lines(output)


def measured(call, path):
    code, out, _ = call("eval", "--qrels", TOY / "qrels.tsv", "--run", path, "--json")
    assert code == 0
    return {name: found["mean"] for name, found in json.loads(out)["runs"][0]["measures"].items()}


def test_one_store_retrieves_and_re_ranks(call, tmp_path, store):
    lines = retrieve(call, tmp_path / "first.trec", "--store", store, "--k", "15", "--threads", "1")
    assert len(lines) == 20 * 15 and [line[3] for line in lines[:15]] == [str(rank) for rank in range(1, 16)]
    given = ["--store", store, *QUERIES, "--candidates", tmp_path / "first.trec", "--output", tmp_path / "second.trec"]
    assert call("rank", *given)[0] == 0
    ranked = run_lines(tmp_path / "second.trec")
    found, again = ({(line[0], line[2]) for line in each} for each in (lines, ranked))
    assert found == again and [line[2] for line in lines] != [line[2] for line in ranked], "the head has its own order"
    first, second = measured(call, tmp_path / "first.trec"), measured(call, tmp_path / "second.trec")
    assert first["R@100"] == second["R@100"] > 0 and first["nDCG@10"] != second["nDCG@10"]


def test_the_run_is_what_a_cosine_ranker_puts_first(call, tmp_path, store):
    lines = retrieve(call, tmp_path / "all.trec", "--store", store, "--k", "10000")
    assert len(lines) == 20 * DOCUMENTS, "all there are"
    cosine = engine.fresh_model(ALONE)
    with open_store(store) as opened:
        ranker, ids = Ranker(cosine, opened), list(opened.ids())
        for line, query in zip((TOY / "queries.tsv").read_text().splitlines()[:5], itertools.count(), strict=False):
            query_id, text = line.split("\t")
            scores = engine.scores(ranker.rank(text, ids))
            mine = [each for each in lines if each[0] == query_id]
            assert {each[2]: float(each[4]) for each in mine} == pytest.approx(scores, abs=2e-6, rel=0), query
            assert all(scores[a[2]] > scores[b[2]] - 2e-6 for a, b in itertools.pairwise(mine))


def test_formats_and_a_graph_in_a_file_give_the_same_documents(call, tmp_path, store):
    plain = retrieve(call, tmp_path / "a", "--store", store, "--k", "5", "--progress")
    narrow = retrieve(call, tmp_path / "b", "--store", store, "--k", "5", "--format", "msmarco")
    assert narrow == [[line[0], line[2], line[3]] for line in plain]
    kept = ["--index", "hnsw", "--index-file", tmp_path / "graph"]
    for name in ("c", "d"):
        assert retrieve(call, tmp_path / name, "--store", store, "--k", "5", *kept) == plain
    assert json.loads((tmp_path / "graph.json").read_text())["documents"] == DOCUMENTS


def test_another_model_of_the_same_vectors_may_be_named(call, tmp_path, store, checkpoint):
    plain = retrieve(call, tmp_path / "a", "--store", store, "--k", "5")
    assert retrieve(call, tmp_path / "b", "--store", store, "--k", "5", "--model", checkpoint) == plain


def test_refusals_leave_no_run(call, tmp_path, store, checkpoint):
    output = ["--output", tmp_path / "run"]
    path = tmp_path / "colbert"
    with engine.store(tmp_path, "colbert") as made:
        path = made.path
    code, out, err = call("retrieve", "--store", path, *QUERIES, *output)
    assert (code, out) == (1, "") and "holds no array 'vector'" in err and "index with a method that stores one" in err
    other = tmp_path / "other"
    engine.shaken(RICH).save_pretrained(str(other))
    code, _, err = call("retrieve", "--store", store, *QUERIES, *output, "--model", other)
    assert code == 3 and str(other) in err and str(checkpoint) in err
    for wrong in (["--k", "0"], ["--k", "1001", "--format", "msmarco"], ["--index", "flat"], ["--index-file", tmp_path / "g"]):
        assert call("retrieve", "--store", store, *QUERIES, *output, *wrong)[0] == 2
    assert call("retrieve", "--store", tmp_path / "nothing", *QUERIES, *output)[0] == 1
    assert call("retrieve", "--store", store, "--queries", tmp_path / "none.tsv", *output)[0] == 1
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".run*"))
