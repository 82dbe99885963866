"""MS MARCO documents on the command line: index in chunks, rank by docid, evaluate; and options that do not fit."""

import pytest

from tests.support.commands import DOCUMENTS, info, model, run_lines
from tests.support.paths import TOY

CUT = ["--chunk-tokens", "20", "--chunk-overlap", "5"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The toy collection as MS MARCO documents: three passages a document D0, D1, ..., with runs and judgements."""
    folder = tmp_path_factory.mktemp("documents")
    texts = [line.split("\t")[1] for line in (TOY / "collection.tsv").read_text().splitlines()]
    bodies = [" ".join(texts[at : at + 3]) for at in range(0, DOCUMENTS, 3)]
    rows = [f"D{k}\thttp://x/{k}\t{body.split('.')[0]}\t{body}\n" for k, body in enumerate(bodies)]
    (folder / "docs.tsv").write_text("".join(rows))
    pairs = {(line[0], f"D{int(line[2]) // 3}"): "" for line in run_lines(TOY / "run.trec")}
    (folder / "top.trec").write_text("".join(f"{query} Q0 {doc} {k} {-k} bm25\n" for k, (query, doc) in enumerate(pairs, 1)))
    judged = run_lines(TOY / "qrels.tsv")
    best = {(query, f"D{int(pid) // 3}") for query, _, pid, label in judged if int(label) > 1}
    (folder / "qrels.tsv").write_text("".join(f"{query}\t0\t{doc}\t1\n" for query, doc in sorted(best)))
    return folder


@pytest.fixture(scope="module")
def store(files):
    from lateint.cli.main import run

    path = files / "store"
    assert run(["index", "--corpus", str(files / "docs.tsv"), "--store", str(path), *CUT, *model()]) == 0
    return path


def given(files):
    return ["--queries", TOY / "queries.tsv", "--candidates", files / "top.trec"]


def test_documents_are_indexed_in_chunks_and_ranked_by_their_ids(call, tmp_path, files, store):
    found = info(call, store)
    assert found["fingerprint"]["chunks"] == "20/5" and found["documents"] > 2 * (DOCUMENTS // 3)
    runs = {}
    for name, options in {
        "stored": ["--store", store],
        "texts": ["--corpus", files / "docs.tsv", *CUT, *model()],
        "first": ["--store", store, "--aggregate", "first"],
        "mean": ["--store", store, "--aggregate", "mean_cls"],
        "whole": ["--corpus", files / "docs.tsv", *model()],
    }.items():
        code, out, err = call("rank", *options, *given(files), "--output", tmp_path / name)
        assert (code, out) == (0, ""), err
        assert ("(--doc-max-length)" in err) == (name == "whole"), "texts in chunks are read to their end"
        runs[name] = {(line[0], line[2]): float(line[4]) for line in run_lines(tmp_path / name)}
    wanted = {(line[0], line[2]) for line in run_lines(files / "top.trec")}
    assert all(set(run) == wanted for run in runs.values()) and {doc[0] for _, doc in wanted} == {"D"}
    assert all(abs(runs["texts"][pair] - score) < 1e-4 for pair, score in runs["stored"].items())
    assert len({tuple(sorted(runs[name].items())) for name in ("stored", "first", "mean", "whole")}) == 4
    code, out, err = call("eval", "--qrels", files / "qrels.tsv", "--run", tmp_path / "stored")
    assert code == 0 and "RR@10" in out, err


def test_an_msmarco_run_of_documents_can_be_written_and_evaluated(call, tmp_path, files, store):
    options = ["--store", store, *given(files), "--format", "msmarco", "--top-k", "100", "--aggregate", "mean_top:2"]
    assert call("rank", *options, "--output", tmp_path / "r.tsv")[0] == 0
    assert all(line[1].startswith("D") and len(line) == 3 for line in run_lines(tmp_path / "r.tsv"))
    assert call("eval", "--qrels", files / "qrels.tsv", "--run", tmp_path / "r.tsv", "--json")[0] == 0


def test_index_says_what_it_did_goes_on_and_refuses_other_chunks(call, tmp_path, files):
    command = ["index", "--corpus", files / "docs.tsv", "--store", tmp_path / "s", *model()]
    code, out, err = call(*command, *CUT, "--max-chunks", "2")
    assert (code, out) == (0, "") and " chunks in " in err and "; 21 documents are new" in err
    assert "were cut after 2 chunks (--max-chunks)" in err
    code, _, err = call(*command, *CUT, "--max-chunks", "2")
    assert code == 0 and "; 0 documents are new" in err
    for other in (CUT, []):
        code, _, err = call(*command, *other)
        assert code == 3 and "chunks 20/5/2 there" in err


def test_documents_that_are_missing_are_skipped_or_encoded(call, tmp_path, files):
    lines = (files / "docs.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "some.tsv").write_text("".join(lines[:12]))
    assert call("index", "--corpus", tmp_path / "some.tsv", "--store", tmp_path / "s", *CUT, *model())[0] == 0
    options = ["--store", tmp_path / "s", *given(files), "--output", tmp_path / "r"]
    code, _, err = call("rank", *options)
    assert code == 1 and "are not in" in err and not (tmp_path / "r").exists()
    assert call("rank", *options, "--missing", "skip")[0] == 0
    held = {f"D{i}" for i in range(12)}
    wanted = {(line[0], line[2]) for line in run_lines(files / "top.trec")}
    assert {(line[0], line[2]) for line in run_lines(tmp_path / "r")} == {pair for pair in wanted if pair[1] in held}
    assert call("rank", *options, "--missing", "encode", "--corpus", files / "docs.tsv")[0] == 0
    assert {(line[0], line[2]) for line in run_lines(tmp_path / "r")} == wanted
    code, _, err = call("rank", *options, "--missing", "encode", "--corpus", tmp_path / "some.tsv")
    assert code == 1 and "needs the texts of" in err
    texts = ["--corpus", tmp_path / "some.tsv", *CUT, *model(), *given(files), "--output", tmp_path / "r"]
    assert call("rank", *texts)[0] == 1 and call("rank", *texts, "--missing", "skip")[0] == 0
    assert {line[2] for line in run_lines(tmp_path / "r")} <= held


def test_options_that_do_not_fit_are_usage_errors(call, tmp_path, files, store):
    rank = ["rank", *given(files), "--output", tmp_path / "r"]
    for command, reason in (
        ([*rank, "--store", store, *CUT], "--chunk-tokens does not go with --store"),
        ([*rank, "--store", store, "--max-chunks", "2"], "--max-chunks belongs to --chunk-tokens"),
        ([*rank, "--corpus", files / "docs.tsv", "--chunk-overlap", "2"], "--chunk-overlap belongs to --chunk-tokens"),
        ([*rank, "--corpus", files / "docs.tsv", "--missing", "encode"], "--missing encode needs --store"),
        ([*rank, "--store", store, "--missing", "encode"], "candidates carry no text: give --corpus"),
        (["index", "--corpus", TOY, "--store", tmp_path / "s", "--chunk-overlap", "2"], "--chunk-overlap belongs"),
        (["index", "--corpus", TOY, "--store", tmp_path / "s", "--chunk-tokens", "0"], "0 is not in the range"),
    ):
        code, _, err = call(*command)
        assert code == 2 and reason in err, command
    for command, reason in (
        ([*rank, "--store", store, "--aggregate", "mean"], "aggregate='mean'"),
        ([*rank, "--corpus", files / "docs.tsv", *model(), "--aggregate", "max"], "documents are ranked whole"),
        (["index", "--corpus", TOY, "--store", tmp_path / "s", *model(), "--chunk-tokens", "64"], "reads 48 tokens"),
        (["index", "--corpus", TOY, "--store", tmp_path / "s", *model(), *CUT[:3], "20"], "overlap by 20"),
    ):
        code, out, err = call(*command)
        assert code == 1 and out == "" and err.startswith("lateint: ") and reason in err, command
    assert not (tmp_path / "s").exists() and not (tmp_path / "r").exists()
