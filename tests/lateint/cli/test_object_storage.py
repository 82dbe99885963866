"""The verbs that publish and fetch, and a URL where a command takes a store."""

import json

import pytest

from tests.support.commands import DOCUMENTS, build, info

pytest.importorskip("obstore", reason="obstore (extra `remote`) is not installed")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("published"))


def test_a_published_store_is_used_by_its_url(call, store, tmp_path, monkeypatch):
    monkeypatch.setenv("LATEINT_STORE_CACHE", str(tmp_path / "cache"))
    url = (tmp_path / "objects" / "store").as_uri()
    code, _, err = call("store", "publish", store, url)
    assert code == 1 and "is not sealed" in err and "lateint store seal" in err
    assert call("store", "seal", store)[0] == 0
    code, out, err = call("store", "publish", store, url)
    assert code == 0 and out == "" and f"published at {url}" in err and f"{DOCUMENTS} entries" in err
    code, _, err = call("store", "publish", store, url)
    assert code == 0 and "is published already at" in err and " 0 bytes sent" in err
    code, _, err = call("store", "fetch", url, tmp_path / "copy")
    assert code == 0 and f"{DOCUMENTS} documents in" in err
    assert json.loads(call("store", "info", url, "--json")[1]) | {"bytes": 0, "bytes_per_document": 0} == info(
        call, tmp_path / "copy"
    ) | {"bytes": 0, "bytes_per_document": 0}
    code, out, _ = call("store", "verify", url)
    assert code == 0 and "0 problems" in out
    (tmp_path / "queries.tsv").write_text("q1\twhat is a list\n")
    (tmp_path / "candidates.trec").write_text("".join(f"q1 Q0 {number} {number + 1} 0 x\n" for number in range(5)))
    made = []
    for place in (store, url):
        run = tmp_path / f"run{len(made)}"
        options = ["--queries", tmp_path / "queries.tsv", "--candidates", tmp_path / "candidates.trec", "--output", run]
        code, _, err = call("rank", "--store", place, *options)
        assert code == 0, err
        made.append(run.read_text())
    assert made[0] == made[1] and made[0]


def test_what_is_published_cannot_change(call, store, tmp_path):
    for words in (("store", "delete", "s3://bucket/x", "1"), ("store", "compact", "s3://bucket/x")):
        code, _, err = call(*words)
        assert code == 1 and "is published and cannot change" in err
    code, _, err = call("store", "merge", tmp_path / "merged", "s3://bucket/x")
    assert code == 1 and "lateint store fetch URL FOLDER" in err
