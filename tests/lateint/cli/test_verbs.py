"""The command line on the toy collection: methods, index, rank, eval."""

import gzip
import json

import pytest

from lateint.methods.presets import PRESETS
from tests.support import processes
from tests.support.commands import DOCUMENTS, build, info, model, run_lines
from tests.support.paths import TOY


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("cli"))


def rank(call, output, *arguments):
    code, out, err = call("rank", "--output", output, *arguments)
    assert (code, out) == (0, ""), err
    assert "median" in err and "20 queries" in err
    return run_lines(output)


def test_methods_lists_every_preset_with_its_source(call):
    code, out, err = call("methods")
    assert code == 0 and err == ""
    assert all(f"{name} " in out and method.source in out for name, method in PRESETS.items())
    assert [each["name"] for each in json.loads(call("methods", "--json")[1])] == list(PRESETS)


def test_index_says_what_it_did_on_stderr_and_a_second_run_does_nothing(call, tmp_path):
    command = ["index", "--corpus", TOY, "--store", tmp_path / "s", *model(), "--progress", "--yes"]
    code, out, err = call(*command)
    assert code == 0 and out == ""
    assert f"{DOCUMENTS} documents in {tmp_path / 's'}, {DOCUMENTS} of them new" in err and "documents/s" in err
    assert "% cut" in err and "documents (" in err.splitlines()[-1] and "48 tokens" in err.splitlines()[-1]
    first = info(call, tmp_path / "s")
    assert first["documents"] == first["encoded_by_last_run"] == DOCUMENTS
    assert call(*command)[0] == 0
    again = info(call, tmp_path / "s")
    assert again["encoded_by_last_run"] == 0 and again["content_digest"] == first["content_digest"]


def test_a_killed_index_goes_on_when_the_same_command_runs_again(call, tmp_path, store):
    arguments = ["index", "--corpus", str(TOY / "collection.tsv"), "--store", str(tmp_path / "s"), *model(), "--threads", "1"]
    killed = processes.start(*arguments, kill_at="append.before_commit:1")
    killed.join()
    assert killed.exitcode == -9
    assert info(call, tmp_path / "s")["documents"] == 0
    assert call(*arguments)[0] == 0
    assert info(call, tmp_path / "s")["documents"] == DOCUMENTS
    assert call("store", "verify", tmp_path / "s")[0] == 0


def test_codecs_replace_those_of_the_method(call, tmp_path, store):
    codecs = "states=int8+zstd"
    assert call("index", "--corpus", TOY / "collection.tsv", "--store", tmp_path / "s", "--codecs", codecs, *model())[0] == 0
    found = info(call, tmp_path / "s")
    assert "int8" in str(found["codecs"]) and found["bytes"] <= info(call, store)["bytes"]


def test_store_and_corpus_and_top1000_texts_give_the_same_ranking(call, tmp_path, store):
    queries, candidates = TOY / "queries.tsv", TOY / "run.trec"
    given = ["--queries", queries, "--candidates", candidates]
    stored = rank(call, tmp_path / "a", "--store", store, *given)
    assert len(stored) == 300 and {line[5] for line in stored} == {"lateint"}
    corpus = rank(call, tmp_path / "b", "--corpus", TOY / "collection.tsv", *given, *model())
    texts = rank(call, tmp_path / "c", "--candidates", TOY / "top1000.tsv", *model())
    for other in (corpus, texts):
        found, wanted = ({(line[0], line[2]): float(line[4]) for line in lines} for lines in (other, stored))
        assert all(abs(found[pair] - score) < 1e-4 for pair, score in wanted.items())
    narrow = rank(call, tmp_path / "d", "--store", store, *given, "--format", "msmarco", "--top-k", "3")
    assert narrow == [[q, d, rank] for q, _, d, rank, *_ in stored if int(rank) <= 3]


def test_beir_ids_and_gzip_and_timing(call, tmp_path):
    assert call("index", "--corpus", TOY, "--store", tmp_path / "s", *model())[0] == 0
    packed = tmp_path / "run.trec.gz"
    packed.write_bytes(gzip.compress((TOY / "run.beir.trec").read_bytes()))
    arguments = ["--store", tmp_path / "s", "--queries", TOY, "--candidates", packed, "--timing", tmp_path / "t.jsonl"]
    lines = rank(call, tmp_path / "out.trec", *arguments)
    assert "tea-🍵" in {line[2] for line in lines}
    timings = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert len(timings) == 20 and all(row["total_ms"] > row["fetch_ms"] > 0 and row["bytes_read"] > 0 for row in timings)
    assert {row["head"] for row in timings} == {"joint_layers"} and timings[0]["query_id"] == lines[0][0]
    beir = ["--queries", TOY, "--corpus", TOY, *model()]
    assert len(rank(call, tmp_path / "j.trec", "--candidates", TOY / "candidates.jsonl", *beir)) == len(lines)


def test_a_run_of_ours_can_be_evaluated(call, tmp_path, store):
    given = ["--store", store, "--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec"]
    rank(call, tmp_path / "a.trec", *given)
    rank(call, tmp_path / "a.tsv", *given, "--format", "msmarco")
    means = []
    for name in ("a.trec", "a.tsv"):
        code, out, _ = call("eval", "--qrels", TOY / "qrels.tsv", "--run", tmp_path / name, "--json")
        assert code == 0
        means.append({measure: found["mean"] for measure, found in json.loads(out)["runs"][0]["measures"].items()})
    assert means[0] == means[1] and 0 < means[0]["nDCG@10"] < 1
    code, out, _ = call("eval", "--qrels", TOY / "qrels.tsv", "--run", tmp_path / "a.tsv", "--msmarco")
    assert code == 0 and "MRR @10:" in out


def test_a_store_is_ranked_in_the_precision_in_which_it_was_built(call, tmp_path):
    assert call("index", "--corpus", TOY / "collection.tsv", "--store", tmp_path / "s", *model(), "--dtype", "bfloat16")[0] == 0
    given = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec"]
    assert len(rank(call, tmp_path / "r", "--store", tmp_path / "s", *given)) == 300
