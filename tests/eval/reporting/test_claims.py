import pytest

from lateint_eval.reporting.claims import QUANTITIES, budget, reasons, verdict
from lateint_eval.reporting.page import Page
from lateint_eval.reporting.rows import ROWS, Claim, ResultRow
from tests.support import report_pages as pages

ROW = ResultRow("prettr", ("prettr",), "as good [V:mice]", "on the moon", (Claim("gain", 0.9), Claim("speed-up", 100.0)))


def page(scores, teacher=pages.TEACHER, **changes):
    return Page([pages.result("prettr", scores, **changes), pages.result("teacher", teacher)])


def gain(page):
    return page.gain(page.results[0])


def test_gain_is_the_sum_over_both_sets_whatever_their_sizes():
    both = page({"squad test": 0.85, "medquad test": 0.80})
    found = gain(both)
    assert (found.system_sum, found.teacher_sum) == (pytest.approx(0.15 + 0.20), pytest.approx(0.20 + 0.20))
    assert found.value == pytest.approx(0.875) == QUANTITIES["gain"](both, ROW)


def test_a_set_where_the_teacher_is_hardly_ahead_is_named_but_not_counted():
    found = gain(page({"squad test": 0.9, "medquad test": 0.7}, {"squad test": 0.71, "medquad test": 0.8}))
    assert found.value == pytest.approx(0.5) and found.counted == ("medquad test",)
    assert "not counted (teacher - cosine < 0.02): squad test" in str(found)


def test_no_gain_without_a_teacher_or_one_of_the_sets_or_a_set_that_counts():
    one = page({"squad test": 0.85})
    assert gain(one) is None and gain(Page(one.results[:1])) is None
    flat = page({"squad test": 0.9, "medquad test": 0.7}, {"squad test": 0.70, "medquad test": 0.60})
    assert QUANTITIES["gain"](flat, ROW) is None and gain(flat).not_counted == ("squad test", "medquad test")
    assert verdict(flat, ROW) == "open"


@pytest.mark.parametrize(
    ("score", "speedup", "expected"),
    [(0.9, 180, "supported"), (0.9, 99, "in part"), (0.72, 180, "in part"), (0.72, 99, "not supported")],
)
def test_the_verdict_follows_from_the_figures(score, speedup, expected):
    found = page({"squad test": score, "medquad test": 0.8}, speed=pages.SPEED | {"speedup": speedup})
    assert verdict(found, ROW) == expected
    assert ("What differs" in reasons(found, ROW)) == (expected != "supported")
    assert ("on the moon" in reasons(found, ROW)) == (expected != "supported")


def test_a_missing_figure_leaves_it_open_and_a_missing_checkpoint_is_said():
    found = page({"squad test": 0.9, "medquad test": 0.8})
    del found.results[0]["speed"]
    assert verdict(found, ROW) == "open" and "speed-up not measured" in reasons(found, ROW)
    assert verdict(Page([]), ROW) == "not trained yet"


def test_the_newest_result_of_a_name_stands_for_it():
    found = page({"squad test": 0.9, "medquad test": 0.8})
    newer = pages.result("prettr", {"squad test": 0.1, "medquad test": 0.1}, digest="f" * 64)
    both = Page([*found.results, newer])
    assert both.of(ROW) is newer and found.results[0] in both.others()


def test_other_quantities_by_hand():
    sdr, prettr = (next(row for row in ROWS if row.preset == name) for name in ("sdr", "prettr"))
    small = pages.result("sdr", {}, tasks=[pages.task("squad test", 0.63, size=100.0), pages.task("medquad test", 0.8)])
    found = Page([pages.result("prettr", {"squad test": 0.9}), small])
    values = {name: quantity(found, sdr) for name, quantity in QUANTITIES.items()}
    assert values["times smaller than `prettr`"] == pytest.approx(10.0)
    assert values["share of the cosine's nDCG@10"] == pytest.approx((0.63 + 0.8) / (0.7 + 0.6))
    assert values["low end of the lead over the cosine"] == pytest.approx(0.63 - 0.70 - 0.03)
    assert values["gain"] is values["STS-B"] is values["share of the teacher's STS-B"] is None
    assert QUANTITIES["low end of the lead over the cosine"](found, prettr) is None, "one of its sets is missing"


def test_sentence_pairs_alone_can_settle_a_row_and_the_test_split_wins():
    hpd, dse = (next(row for row in ROWS if row.preset == name) for name in ("hpd", "dse"))
    cut = pages.stsb("base, layer 3, 128 numbers", 0.80)
    found = Page([], pairs=[cut, pages.stsb("hpd", 0.7, split="dev"), pages.stsb("hpd", 0.83), pages.stsb("stsb-dse", 0.86)])
    assert QUANTITIES["STS-B"](found, hpd) == 0.83
    assert QUANTITIES["lead on STS-B over the teacher cut to its size"](found, hpd) == pytest.approx(0.03)
    assert verdict(found, hpd) == "in part" and "training: unknown. The paper" in reasons(found, hpd)
    assert verdict(found, dse) == "open", "its teacher is missing"
    taught = Page([], pairs=[pages.stsb("stsb-dse", 0.86), pages.stsb("stsb-teacher", 0.90)])
    assert verdict(taught, dse) == "supported"
    assert QUANTITIES["share of the teacher's STS-B"](taught, dse) == pytest.approx(0.86 / 0.90)


@pytest.mark.parametrize(
    ("steps", "seconds", "expected"),
    [(1500, 754.0, "1,500 steps in 13 min"), (None, None, "unknown"), (2, None, "2 steps"), (9, 9.4, "9 steps in 9 s")],
)
def test_the_budget_says_what_is_known(steps, seconds, expected):
    assert budget({"training": {"steps": steps, "seconds": seconds}}) == expected
