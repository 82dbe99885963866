"""`lateint store recode` and the scores that it compares."""

import json
import shutil

import numpy as np
import pytest

from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.ranking.drift import drift
from lateint.testing import tiny
from tests.support.commands import DOCUMENTS, info, model, run_lines
from tests.support.paths import TOY


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The toy corpus in float32, and in codecs that the method does not have by itself, both encoded."""
    from lateint.cli.main import run

    folder = tmp_path_factory.mktemp("recode")
    for name, codecs in (("master", "states=raw"), ("direct", "states=int8+zstd")):
        given = ["--corpus", TOY / "collection.tsv", "--store", folder / name, "--codecs", codecs, *model()]
        assert run(list(map(str, ["index", *given]))) == 0
    return folder


def test_a_recoded_store_ranks_as_one_that_was_built_so(call, stores, tmp_path):
    code, out, err = call("store", "recode", stores / "master", "--codecs", "states=int8+zstd", "--output", tmp_path / "made")
    assert code == 0 and err == ""
    assert "states: changed by" in out and "scores: changed by" in out and f"{DOCUMENTS} documents" in out
    made, direct = info(call, tmp_path / "made"), info(call, stores / "direct")
    differ = {name for name in made if made[name] != direct[name]}
    assert made["content_digest"] == direct["content_digest"] and differ <= {"uuid", "bytes", "bytes_per_document"}, differ
    runs = []
    for store in (tmp_path / "made", stores / "direct"):
        given = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--output", tmp_path / "run"]
        assert call("rank", "--store", store, *given)[0] == 0
        runs.append(run_lines(tmp_path / "run"))
    assert runs[0] == runs[1]


def test_json_says_what_was_lost_and_a_store_without_its_model_is_recoded_all_the_same(call, stores, tmp_path):
    code, out, _ = call("store", "recode", stores / "master", "--codecs", "states=int4", "--output", tmp_path / "a", "--json")
    found = json.loads(out)
    assert code == 0 and found["loss"]["states"]["largest"] > found["loss"]["states"]["mean"] > 0
    assert found["scores"]["pairs"] == 3 * min(DOCUMENTS, 100) and found["scores"]["spread"] > 0
    moved = tmp_path / "moved"
    shutil.copytree(tiny.checkpoint("bert"), moved)
    given = ["--corpus", TOY / "collection.tsv", "--store", tmp_path / "lost", "--model", moved, "--method", "prettr"]
    assert call("index", *given, "--doc-max-length", 48)[0] == 0
    shutil.rmtree(moved)
    code, out, _ = call("store", "recode", tmp_path / "lost", "--codecs", "states=int4", "--output", tmp_path / "b")
    assert code == 0 and "scores: not compared, because" in out and info(call, tmp_path / "b")["documents"] == DOCUMENTS


def test_refusals_leave_no_store(call, stores, tmp_path):
    out = ["--output", tmp_path / "made"]
    code, _, err = call("store", "recode", stores / "direct", "--codecs", "states=cast:float16", *out)
    assert code == 1 and "--finer" in err and not (tmp_path / "made").exists()
    assert call("store", "recode", stores / "direct", "--codecs", "vector=int8", *out)[0] == 1
    assert call("store", "recode", stores / "direct", "--codecs", "states", *out)[0] == 1
    assert call("store", "recode", tmp_path / "none", "--codecs", "states=int8", *out)[0] == 1
    assert call("store", "recode", stores / "direct", "--codecs", "states=cast:float16", "--finer", *out)[0] == 0


def test_drift_is_the_largest_and_mean_change_of_scores(stores, tmp_path):
    from lateint.ranking.ranker import Ranker
    from lateint_store import parse_codecs, recode

    loaded = load_model(tiny.checkpoint("bert"), "prettr", query_max_length=24, doc_max_length=48)
    made, _ = recode(stores / "master", tmp_path / "made", parse_codecs("states=int4"))
    made.close()
    with open_store(stores / "master") as before, open_store(tmp_path / "made") as after:
        found = drift(loaded, before, after, documents=10)
        ids = list(before.ids())[:10]
        from lateint.indexing.fingerprint import PROBES

        moved = []
        for query in PROBES:
            old, new = ({h.doc_id: h.score for h in Ranker(loaded, s).rank(query, ids)} for s in (before, after))
            moved += [abs(new[i] - old[i]) for i in ids]
        assert found.pairs == 30 and found.largest == max(moved) > 0 and found.mean == pytest.approx(np.mean(moved))
        assert drift(loaded, before, before, documents=10).largest == 0.0
