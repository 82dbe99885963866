"""`lateint plan`, and `lateint index` of a corpus so large that it shows its plan first."""

import json

import pytest

from lateint.cli import index
from tests.support.commands import DOCUMENTS, model
from tests.support.paths import TOY


def test_plan_prints_what_a_corpus_takes(call):
    code, out, _ = call("plan", "--corpus", TOY / "collection.tsv", "--queries", TOY / "queries.tsv", *model())
    assert code == 0 and f"{DOCUMENTS} documents" in out and "bytes a document" in out and "free" in out and "p50" in out
    code, out, _ = call("plan", "--corpus", TOY / "collection.tsv", "--json", "--codecs", "states=int8", *model())
    found = json.loads(out)
    assert code == 0 and found["documents"] == DOCUMENTS and found["bytes"][0]["codecs"].startswith("states=int8")
    assert set(found["hours"]) == {"value", "low", "high"}


def test_errors_of_a_plan(call, tmp_path):
    (tmp_path / "empty.tsv").write_text("")
    assert call("plan", "--corpus", tmp_path / "empty.tsv", *model())[0] == 1
    assert call("plan", "--corpus", TOY / "collection.tsv", "--sample", 0, *model())[0] == 2
    assert call("plan", "--corpus", tmp_path / "none.tsv", *model())[0] == 1


def test_a_large_corpus_is_planned_and_wants_yes(call, tmp_path):
    corpus = tmp_path / "large.tsv"
    corpus.write_text("".join(f"{i}\tfile {i}\n" for i in range(index._LARGE + 1)))
    given = ["index", "--corpus", corpus, "--store", tmp_path / "s", *model()]
    code, _, err = call(*given)
    assert code == 1 and "--yes" in err and f"{index._LARGE + 1:,} documents" in err and not (tmp_path / "s").exists()


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(index, "_LARGE", 20)


def test_with_yes_or_once_begun_nothing_is_asked(call, tmp_path, small_limit):
    given = ["index", "--corpus", TOY / "collection.tsv", "--store", tmp_path / "s", *model()]
    assert call(*given)[0] == 1
    code, _, err = call(*given, "--yes")
    assert code == 0 and "corpus  " not in err
    assert call(*given)[0] == 0, "a store that is there was wanted before"
