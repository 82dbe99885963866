"""The verbs of `lateint store` on the toy collection."""

import gzip
import json
import subprocess

import pytest

from lateint.testing import tiny
from lateint_store.format.manifest import read_manifest
from tests.support.commands import DOCUMENTS, build, info, model
from tests.support.paths import TOY


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("cli"))


def test_info_prints_what_a_user_looks_for(call, store):
    found = info(call, store)
    for name in ("content_digest", "documents", "encoded_by_last_run", "fingerprint", "model", "head", "bytes", "codecs"):
        assert found[name] is not None
    assert found["model"]["name"] == str(tiny.checkpoint("bert")) and found["head"]["name"] == "joint_layers"
    code, out, err = call("store", "info", store)
    assert code == 0 and err == "" and found["content_digest"] in out
    assert [line.split()[0] for line in out.splitlines()] == list(found)


def test_verify_lists_damage_and_returns_1(call, tmp_path, store):
    code, out, _ = call("store", "verify", store)
    assert code == 0 and f"{DOCUMENTS} documents in" in out and "0 problems" in out
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", store, copy], check=True)
    data = next(copy.glob("shard-*")) / "data.mdb"
    spoilt = bytearray(data.read_bytes())
    for at in range(len(spoilt) // 3, len(spoilt) * 2 // 3, 512):
        spoilt[at] ^= 0xFF
    data.write_bytes(spoilt)
    code, out, _ = call("store", "verify", copy)
    assert code == 1 and "shard 0" in out and " 0 problems" not in out
    code, out, _ = call("store", "verify", copy, "--json")
    assert code == 1 and json.loads(out)["ok"] is False and json.loads(out)["problems"]


def test_add_delete_compact_and_seal(call, tmp_path):
    lines = (TOY / "collection.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "some.tsv").write_text("".join(lines[:50]))
    (tmp_path / "more.tsv").write_text("".join(lines[50:]))
    path = tmp_path / "s"
    assert call("index", "--corpus", tmp_path / "some.tsv", "--store", path, *model())[0] == 0
    code, _, err = call("store", "add", path, "--corpus", tmp_path / "more.tsv")
    assert code == 0 and f"{DOCUMENTS} documents" in err and f"{DOCUMENTS - 50} of them new" in err
    added = info(call, path)
    code, _, err = call("store", "add", path, "--corpus", tmp_path / "more.tsv")  # as after a kill behind the last commit
    assert code == 0 and "0 of them new" in err and info(call, path) == added
    (tmp_path / "ids").write_text("3\n4\n")
    code, _, err = call("store", "delete", path, "0", "--ids-from", tmp_path / "ids")
    assert code == 0 and f"3 documents deleted, {DOCUMENTS - 3} left" in err
    code, _, err = call("store", "delete", path, "0", "--ids-from", tmp_path / "ids")
    assert code == 0 and f"0 documents deleted, {DOCUMENTS - 3} left" in err
    assert call("store", "add", path, "--corpus", tmp_path / "more.tsv")[0] == 1
    assert call("store", "delete", path, "0")[0] == 1 and call("store", "delete", path)[0] == 2
    given = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--output", tmp_path / "r"]
    code, _, err = call("rank", "--store", path, *given)
    assert code == 1 and "query '1001'" in err and not (tmp_path / "r").exists()
    before = info(call, path)
    assert call("store", "compact", path)[0] == 0 and info(call, path)["content_digest"] == before["content_digest"]
    assert call("store", "seal", path)[0] == 0 and info(call, path)["sealed"]
    assert call("store", "seal", path)[0] == 0
    for verb in (["delete", path, "1"], ["compact", path], ["add", path, "--corpus", tmp_path / "some.tsv"]):
        code, _, err = call("store", *verb)
        assert code == 1 and "sealed" in err


@pytest.fixture
def shards(call, tmp_path):
    planned = tmp_path / "windows"
    code, _, err = call("corpus", "windows", TOY / "collection.tsv", "--output", planned)
    assert code == 0 and f"{DOCUMENTS} documents in 1 windows" in err
    for i in range(2):
        given = ["--shard", f"{i}/2", "--map-size", 1 << 24, "--windows", planned]
        assert call("index", "--corpus", TOY / "collection.tsv", "--store", tmp_path / str(i), *given, *model())[0] == 0
    return [tmp_path / "0", tmp_path / "1"]


def test_shards_merge_to_the_content_of_the_whole(call, tmp_path, store, shards):
    code, _, err = call("store", "merge", tmp_path / "all", *shards[::-1])
    assert code == 0 and f"{DOCUMENTS} documents" in err
    assert read_manifest(tmp_path / "all").map_size == 1 << 24
    assert info(call, tmp_path / "all")["content_digest"] == info(call, store)["content_digest"]
    assert call("store", "merge", tmp_path / "half", shards[0])[0] == 1


def test_a_corpus_is_written_in_blocks_whose_windows_are_planned_and_built(call, tmp_path, store):
    blocks, plan = tmp_path / "corpus.jsonl.zst", tmp_path / "plan"
    (tmp_path / "whole.tsv.gz").write_bytes(gzip.compress((TOY / "collection.tsv").read_bytes()))
    code, _, err = call("corpus", "windows", tmp_path / "whole.tsv.gz", "--output", plan, "--window", 16)
    assert code == 1 and "lateint corpus split" in err and not plan.exists()
    code, _, err = call("corpus", "split", tmp_path / "whole.tsv.gz", "--output", blocks, "--block", 16)
    assert code == 0 and f"{DOCUMENTS} documents in {blocks}, 16 in each block" in err
    assert call("corpus", "windows", blocks, "--output", plan, "--window", 16)[0] == 0
    given = ["index", "--corpus", blocks, "--windows", plan, "--store", tmp_path / "s", *model()]
    code, _, err = call(*given, "--documents", DOCUMENTS + 1)
    assert code == 1 and f"plans {DOCUMENTS} documents; expected {DOCUMENTS + 1}" in err
    code, _, err = call(*given, "--progress")
    assert code == 0 and f"{DOCUMENTS} documents in {tmp_path / 's'}, {DOCUMENTS} of them new" in err
    assert info(call, tmp_path / "s")["window"] == 16
    assert info(call, tmp_path / "s")["progress"]["source_digest"] == info(call, store)["progress"]["source_digest"]
    blocks.write_bytes(blocks.read_bytes() + b"x")
    code, _, err = call(*given)
    assert code == 1 and "when its windows were planned; plan it again" in err


def test_a_set_of_shards_and_a_split_store_are_stores_to_every_verb(call, tmp_path, store, shards):
    code, _, err = call("store", "set", tmp_path / "set", *shards)
    assert code == 0 and f"{DOCUMENTS} documents in {tmp_path / 'set'}, a set of 2 stores" in err
    code, _, err = call("store", "split", store, "--by-id", 3, "--output", tmp_path / "split")
    assert code == 0 and f"{DOCUMENTS} documents in {tmp_path / 'split'}, by member: " in err
    code, out, _ = call("store", "info", tmp_path / "set")
    assert code == 0 and f"documents            {DOCUMENTS}\n" in out and "../0" in out
    assert call("store", "verify", tmp_path / "set")[0] == 0
    path = tmp_path / "split"
    assert "0 documents deleted" not in call("store", "delete", path, "3", "4")[2]
    (tmp_path / "new.tsv").write_text("n1\tbread and yeast\nn2\train\n")
    for new in (2, 0):
        code, _, err = call("store", "add", path, "--corpus", tmp_path / "new.tsv")
        assert code == 0 and f"{DOCUMENTS} documents in {path}, {new} of them new" in err
    assert call("store", "compact", path)[0] == 0 and call("store", "seal", path)[0] == 0 and info(call, path)["sealed"]
    assert call("store", "seal", path)[0] == 0 and "sealed" in call("store", "delete", path, "5")[2]
    for verb in (
        ["set", path, shards[0]],
        ["set", tmp_path / "x", shards[0], store],
        ["recode", path, "--codecs", "states=int8"],
    ):
        code, _, err = call("store", *verb, *(["--output", tmp_path / "y"] if verb[0] == "recode" else []))
        assert code == 1 and "lateint: " in err
    code, _, err = call("store", "set", "--extend", tmp_path / "set", path)
    assert code == 1 and "single store" in err
