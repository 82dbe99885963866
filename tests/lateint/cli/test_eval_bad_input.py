"""Runs and judgements that are empty or nearly so: each way to evaluate them prints a number or one clear line."""

import json
import math

import pytest

from lateint.cli.main import run as lateint
from tests.support.paths import TOY

QRELS = {
    "toy": (TOY / "qrels.tsv").read_text(),
    "empty": "",
    "no positive": "1001\t0\t0\t0\n1002\t0\t1\t0\n",
    "unknown ids": "1001\t0\tnobody\t2\n1002\t0\tnone\t1\n",
    "one query": "1001\t0\t0\t1\n",
}
RUNS = {
    "toy": (TOY / "run.trec").read_text(),
    "empty": "",
    "one line": "1001 Q0 1 1 4.75 bm25\n",
    "one query": "1001 Q0 1 1 4.75 bm25\n1001 Q0 0 2 3.5 bm25\n",
}
OPTIONS = [[], ["--intervals"], ["--baseline"], ["--json"], ["--msmarco"], ["--msmarco", "--strict"], ["--audit"]]


@pytest.fixture
def evaluated(tmp_path, capsys):
    """Evaluate texts: (exit code, stdout, stderr)."""

    def call(qrels, run, *options):
        given = [f"--baseline={tmp_path / 'b'}" if option == "--baseline" else option for option in options]
        for name, text in (("q", qrels), ("r", run), ("b", RUNS["toy"])):
            (tmp_path / name).write_text(text)
        code = lateint(["eval", "--qrels", str(tmp_path / "q"), "--run", str(tmp_path / "r"), *given])
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("qrels", QRELS)
def test_it_is_a_figure_or_a_line(evaluated, qrels, run, options):
    code, out, err = evaluated(QRELS[qrels], RUNS[run], *options)
    refused = qrels == "empty" or (run == "empty" and "--audit" not in options)
    assert code == refused and bool(out) != refused
    if refused:
        (line,) = err.splitlines()
        assert any(words in line for words in ("hold no judgement", "is an empty run", "no query of the run is judged"))


def test_an_empty_run_is_named_and_the_audit_says_so(evaluated):
    assert "/r is an empty run" in evaluated(QRELS["toy"], "")[2]
    assert "the run is empty" in evaluated(QRELS["toy"], "", "--audit")[1]


def test_queries_without_positives_and_unknown_ids_count_as_nothing_found(evaluated):
    for qrels in ("no positive", "unknown ids"):
        found = json.loads(evaluated(QRELS[qrels], RUNS["toy"], "--json")[1])["runs"][0]
        assert found["queries"]["judged"] == 2 and {each["mean"] for each in found["measures"].values()} == {0.0}
    assert "no positive: 2 judged queries" in evaluated(QRELS["no positive"], RUNS["toy"], "--audit")[1]
    assert "unjudged documents: 30 lines" in evaluated(QRELS["unknown ids"], RUNS["toy"], "--audit")[1]


def test_one_query_has_a_figure_and_no_p_value(evaluated):
    found = json.loads(evaluated(QRELS["one query"], RUNS["one query"], "--json", "--baseline")[1])["runs"]
    (tested,) = (each["against_baseline"]["RR@10"] for each in found if each["against_baseline"])
    assert (tested["n"], tested["p_value"], tested["p_holm"]) == (1, None, None)
    assert tested["difference"] == tested["low"] == tested["high"] and math.isfinite(tested["low"])
