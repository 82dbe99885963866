"""`lateint rank --explain` and the answer of `lateint demo --ask`: the words of the best hits, and what is refused."""

import json
from dataclasses import replace

import pytest

import lateint
from lateint.cli.corpus import read_documents
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from lateint_eval import demo
from tests.support.commands import run_lines
from tests.support.paths import TOY

MODEL = ("--model", tiny.checkpoint("bert"), "--query-max-length", "24", "--doc-max-length", "48")


@pytest.fixture(scope="module")
def model():
    """Max similarities with word codes, of queries that are not filled up."""
    query, compressor = replace(preset("colbert").query, fill=""), part("words", width=16, bits=8, vocabulary=128)
    method = replace(preset("colbert"), query=query, compressor=compressor, codecs=())
    return load_model(tiny.checkpoint("bert"), method, query_max_length=24, doc_max_length=48)


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    """Options for two queries of the toy collection with all their candidates."""
    folder = tmp_path_factory.mktemp("queries")
    (folder / "run").write_text(
        "".join(f"{' '.join(line)}\n" for line in run_lines(TOY / "run.trec") if line[0] in ("1001", "1002"))
    )
    return "--queries", TOY / "queries.tsv", "--candidates", folder / "run"


@pytest.fixture(scope="module")
def store(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("explain") / "s"
    lateint.build_store(model, read_documents(str(TOY / "collection.tsv")), folder).close()
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_best_hits_of_each_query_are_explained_and_the_run_does_not_change(call, tmp_path, store, queries):
    given = ["rank", "--store", store, *queries]
    assert call(*given, "--output", tmp_path / "plain")[0] == 0
    assert call(*given, "--output", tmp_path / "run", "--explain", tmp_path / "words", "--explain-hits", 2)[0] == 0
    assert (tmp_path / "run").read_bytes() == (tmp_path / "plain").read_bytes()
    best = [line for line in run_lines(tmp_path / "run") if int(line[3]) <= 2]
    found = lines(tmp_path / "words")
    assert [(row["query_id"], row["doc_id"], str(row["rank"])) for row in found] == [(b[0], b[2], b[3]) for b in best]
    for row, (*_, score, _) in zip(found, best, strict=True):
        shares = [match["share"] for match in row["matches"]]
        assert sum(shares) + sum(row["parts"].values()) == pytest.approx(row["score"], abs=1e-4)
        assert row["score"] == pytest.approx(float(score), abs=1e-4)
        assert all(isinstance(match["query_word"], str) and isinstance(match["document_word"], str) for match in row["matches"])


def test_without_a_store_texts_are_explained(call, tmp_path, queries):
    given = ["rank", "--corpus", TOY / "collection.tsv", "--method", "colbert", *MODEL, *queries, "--output", tmp_path / "run"]
    assert call(*given, "--explain", tmp_path / "words")[0] == 0
    found = lines(tmp_path / "words")
    assert (
        len(found) == sum(int(line[3]) <= 10 for line in run_lines(tmp_path / "run"))
        and found[0]["matches"][0]["document_word"]
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--explain-hits", "3"], 2, "--explain-hits belongs to --explain"),
        (["--explain", "words", "--ladder", "cosine:3"], 2, "--ladder mixes those of several"),
        (["--explain", "words", "--budget-ms", "3"], 2, "--budget-ms mixes those of several"),
        (["--explain", "words", "--then", "other:3"], 2, "--then mixes those of several"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(call, tmp_path, monkeypatch, store, queries, options, code, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = call("rank", "--store", store, *queries, "--output", "run", *options)
    assert found == code and message in err and not list(tmp_path.iterdir())


def test_a_head_that_cannot_explain_is_refused_by_name_and_nothing_is_written(call, tmp_path, queries):
    given = ["rank", "--corpus", TOY / "collection.tsv", "--method", "prettr", *MODEL, *queries]
    code, _, err = call(*given, "--output", tmp_path / "run", "--explain", tmp_path / "words")
    assert code == 1 and "head 'joint_layers' cannot explain" in err and not list(tmp_path.iterdir())


def test_an_answer_of_the_demo_shows_the_matched_words_and_no_control_character(call, tmp_path, monkeypatch, model):
    texts = {"bread": "bread in the oven and yeast", "star": "a star and \x1b[2Jthe moon", "bolt": "oil the bolt"}
    monkeypatch.setenv("LATEINT_HOME", str(tmp_path))
    monkeypatch.setattr(demo, "documents", lambda: {name: Document(name, text) for name, text in texts.items()})
    monkeypatch.setattr(demo, "load", lambda: model)
    question = "st\x1bar and oven"
    code, out, _ = call("demo", "--ask", question)
    assert code == 0 and "\x1b" not in out and "st\\u001bar→" in out
    answers, shown = demo.ask(question), " ".join(out.split())
    assert answers and all(f"{document.id} ({found.score:.2f})" in shown and str(found) in shown for document, found in answers)
