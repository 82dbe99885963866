"""What `rank`, `retrieve` and `eval-pairs` check before they compute, and what they say of text that was not read."""

import json
import re

import pytest

from lateint.backbone.tokenizer import TextEncoder
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from tests.support.commands import build, model
from tests.support.paths import TOY


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("before"))


@pytest.fixture
def ranks_nothing(monkeypatch):
    def rank(*_, **__):
        raise AssertionError("a query was ranked")

    monkeypatch.setattr(Ranker, "rank", rank)
    monkeypatch.setattr(Ranker, "logits", rank)


TOO_MANY = "\n".join(f"q2 Q0 d{n} {n} 1 x" for n in range(1001))
CANDIDATES = {
    "an unknown document": ("q2 Q0 nosuch 2 1 x", [], "'q2': 1 of the candidates are not in .*nosuch"),
    "a query without text": ("q9 Q0 1 1 1 x", [], "no text for query 'q9'"),
    "an unreadable line": ("q2 Q0 2 one 1 x", [], "line 3: rank 'one'"),
    "a document twice": ("q2 Q0 1 2 1 x", [], "document '1' of query 'q2' is already in line 2"),
    "more than a run holds": (
        TOO_MANY,
        ["--format", "msmarco"],
        "1000: add --top-k",
    ),
}


@pytest.mark.parametrize("what", CANDIDATES)
@pytest.mark.usefixtures("ranks_nothing")
def test_a_fault_in_the_last_query_is_found_before_the_first_is_ranked(call, tmp_path, store, what):
    line, options, message = CANDIDATES[what]
    (tmp_path / "q.tsv").write_text("q1\ta query\nq2\tanother\n")
    (tmp_path / "r").write_text(f"q1 Q0 1 1 2 x\nq2 Q0 1 1 2 x\n{line}\n")
    given = ["--store", store, "--queries", tmp_path / "q.tsv", "--candidates", tmp_path / "r", "--output", tmp_path / "out"]
    code, _, err = call("rank", *given, *options)
    assert code == 1
    assert re.search(message, err), err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("ranks_nothing")
def test_names_that_a_run_cannot_hold_and_files_that_cannot_be_written_are_found_first(call, tmp_path, store):
    (tmp_path / "c.jsonl").write_text('{"query_id":"a b","query":"x","candidates":[{"id":"1"}]}\n')
    given = ["--store", store, "--candidates", tmp_path / "c.jsonl", "--output", tmp_path / "out"]
    assert "query id 'a b' cannot be written" in call("rank", *given)[2]
    (tmp_path / "c.jsonl").write_text('{"query_id":"q","query":"x","candidates":[{"id":"1"}]}\n')
    code, _, err = call("rank", *given, "--timing", tmp_path / "none" / "t")
    assert code == 1 and "cannot write" in err
    pairs = ["--pairs", tmp_path / "p.tsv", *model(), "--scores", tmp_path / "none" / "s"]
    (tmp_path / "p.tsv").write_text("sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t0\n")
    code, _, err = call("eval-pairs", *pairs)
    assert code == 1 and "cannot write" in err


def test_without_candidates_no_run_is_written(call, tmp_path, store):
    (tmp_path / "r").touch()
    given = ["--store", store, "--queries", TOY / "queries.tsv", "--candidates", tmp_path / "r", "--output", tmp_path / "out"]
    code, _, err = call("rank", *given)
    assert code == 1 and "holds no candidates" in err and not (tmp_path / "out").exists()


def test_queries_and_documents_that_were_cut_are_said(call, tmp_path, store):
    (tmp_path / "q.tsv").write_text(f"q1\tshort\nq2\t{'many words ' * 30}\n")
    (tmp_path / "r").write_text("q1 Q0 1 1 2 x\nq2 Q0 1 1 2 x\n")
    given = ["--queries", tmp_path / "q.tsv", "--candidates", tmp_path / "r", "--output", tmp_path / "out"]
    code, _, err = call("rank", "--store", store, *given, "--timing", tmp_path / "t")
    assert code == 0 and "1 queries (50.0 %) were cut at 24 tokens (--query-max-length)" in err
    assert [json.loads(line)["cut_queries"] for line in (tmp_path / "t").read_text().splitlines()] == [0, 1]
    (tmp_path / "c.tsv").write_text(f"1\t{'many words ' * 60}\n")
    code, _, err = call("rank", "--corpus", tmp_path / "c.tsv", *given, *model())
    assert code == 0 and "1 documents (100.0 %) were cut at 48 tokens (--doc-max-length)" in err


def test_documents_that_lose_chunks_are_said_and_queries_are_tokenised_once(call, tmp_path, monkeypatch):
    (tmp_path / "q.tsv").write_text(f"q1\tshort\nq2\t{'many words ' * 30}\n")
    (tmp_path / "c.tsv").write_text(f"1\t{'many words ' * 60}\n2\tfew words\n")
    (tmp_path / "r").write_text("".join(f"q{q} Q0 {d} {d} {3 - d} x\n" for q in (1, 2) for d in (1, 2)))
    tokenise, read = TextEncoder.tokenise, []
    monkeypatch.setattr(
        TextEncoder, "tokenise", lambda self, texts, layout: read.extend(texts) or tokenise(self, texts, layout)
    )
    given = ["--queries", tmp_path / "q.tsv", "--candidates", tmp_path / "r", "--output", tmp_path / "out", *model()]
    for limit, said in (((), False), (("--max-chunks", 2), True)):
        read.clear()
        code, _, err = call("rank", "--corpus", tmp_path / "c.tsv", *given, "--chunk-tokens", 16, *limit)
        assert code == 0 and ("1 documents (50.0 %) were cut after 2 chunks (--max-chunks)" in err) == said
        assert "1 queries (50.0 %) were cut at 24 tokens" in err and read.count("short") == 1


def test_candidates_that_are_skipped_are_counted(call, tmp_path, store):
    (tmp_path / "q.tsv").write_text("q1\tshort\n")
    (tmp_path / "r").write_text("q1 Q0 1 1 2 x\nq1 Q0 nosuch 2 1 x\n")
    given = ["--queries", tmp_path / "q.tsv", "--candidates", tmp_path / "r", "--output", tmp_path / "out"]
    code, _, err = call("rank", "--store", store, *given, "--missing", "skip")
    assert code == 0 and "1 candidates were skipped" in err


def test_text_behind_more_blanks_than_are_tokenised_is_counted_as_cut(call, tmp_path):
    (tmp_path / "c.tsv").write_text(f"1\tshort\n2\t{' ' * 48 * 250} lost\n3\tkept{' ' * 48 * 250}\n")
    code, _, err = call("index", "--corpus", tmp_path / "c.tsv", "--store", tmp_path / "s", *model())
    assert code == 0 and "1 documents (33.3 %) were cut at 48 tokens" in err


def test_a_query_that_its_layout_fills_is_cut_only_if_its_text_fills_it():
    encoder, layout = (
        (found := load_model(model()[1], "colbert", query_max_length=24, doc_max_length=48)).texts,
        found.method.query,
    )
    (short, long), cut = encoder.tokenise(["short", "many words " * 30], layout)
    assert len(short) == len(long) == 24
    assert cut == [False, True]
