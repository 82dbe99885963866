import json

import pytest

from lateint_eval.formats import Run, RunEntry
from lateint_eval.measures.comparison import score_runs

QRELS = {str(n): {"a": 1} for n in range(20)}


def run_with(hits, misses=(), name="run"):
    good, bad = [RunEntry("a", 1, 2.0, 1), RunEntry("b", 2, 1.0, 2)], [RunEntry("b", 1, 2.0, 1), RunEntry("a", 2, 1.0, 2)]
    return Run(name, {**{str(n): good for n in hits}, **{str(n): bad for n in misses}})


def test_text_holds_means_counts_and_no_second_average_when_all_queries_are_there():
    comparison = score_runs(QRELS, {"mine": run_with(range(10), range(10, 20))}, ["RR@10"])
    assert comparison.warnings() == []
    header, row = comparison.to_text().splitlines()
    assert header.split("  ")[0] == "run" and "RR@10" in header
    assert row.split() == ["mine", "0.7500", "20", "of", "20", "(100.0%)", "0", "0"]


@pytest.mark.parametrize(("present", "warned"), [(18, False), (17, True)])
def test_below_ninety_per_cent_both_averages_are_shown(present, warned):
    comparison = score_runs(QRELS, {"mine": run_with(range(present))}, ["RR@10"])
    assert bool(comparison.warnings()) == warned
    text = comparison.to_text()
    assert (f"mine, ranked queries only  1.0000  {present} of {present}" in text) == warned
    assert f"{present / 20:.4f}" in text


def test_baseline_comparison_with_holm_over_runs():
    half, most = run_with(range(10), range(10, 20)), run_with(range(18), range(18, 20))
    runs = {"base": half, "better": most, "same": half}
    comparison = score_runs(QRELS, runs, ["RR@10", "P@1"], "base")
    assert set(comparison.tests) == {"better", "same"} and set(comparison.tests["better"]) == {"RR@10", "P@1"}
    better, same = comparison.tests["better"]["P@1"], comparison.tests["same"]["P@1"]
    assert better.comparison.difference == pytest.approx(0.4) and better.comparison.low > 0
    assert better.p_holm == pytest.approx(min(1.0, 2 * better.comparison.p_value))
    assert same.comparison.difference == 0.0 and same.p_holm == 1.0
    assert "better - base" in comparison.to_text() and "+0.4000" in comparison.to_text()


def test_json_is_strict_and_full():
    runs = {"base": run_with([]), "mine": run_with(range(20))}
    data = json.loads(json.dumps(score_runs(QRELS, runs, ["RR@10"], "base").to_json(), allow_nan=False))
    assert data["baseline"] == "base" and [run["run"] for run in data["runs"]] == ["base", "mine"]
    base, mine = data["runs"]
    assert base["queries"] == {"judged": 20, "ranked": 0, "missing": 20, "unjudged": 0}
    assert base["measures"]["RR@10"]["mean_ranked"] is None and base["against_baseline"] == {}
    assert mine["measures"]["RR@10"]["per_query"]["7"] == 1.0
    assert mine["against_baseline"]["RR@10"]["difference"] == 1.0


def test_runs_are_shown_by_file_name_unless_two_share_it():
    same = run_with(range(20))
    assert "\nx.trec " in score_runs(QRELS, {"deep/x.trec": same, "deep/y.trec": same}, ["P@1"]).to_text()
    runs = {"a/x.trec": same, "b/x.trec": run_with(range(1), range(1, 20))}
    text = score_runs(QRELS, runs, ["P@1"], "b/x.trec").to_text()
    assert "\na/x.trec " in text and "\na/x.trec - b/x.trec  P@1      +0.9500" in text and "<0.0001" in text


def test_intervals_stand_under_their_means_when_asked_for():
    runs = {"mine": run_with(range(10), range(10, 20))}
    comparison = score_runs(QRELS, runs, ["RR@10"], intervals=True)
    low, high = comparison.intervals["mine"]["RR@10"]
    assert abs(low - 0.64) < 0.02 and abs(high - 0.86) < 0.02, "0.75 and two standard errors of a coin that gives 0.5 or 1"
    assert f"mine, 95 %  [{low:.4f}, {high:.4f}]" in comparison.to_text()
    (row,) = comparison.to_json()["runs"]
    assert (row["measures"]["RR@10"]["low"], row["measures"]["RR@10"]["high"]) == (low, high)
    assert "95 %" not in score_runs(QRELS, runs, ["RR@10"]).to_text()
