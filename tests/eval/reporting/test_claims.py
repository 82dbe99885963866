import pytest

from lateint_eval.reporting.claims import QUANTITIES, budget, reasons, verdict
from lateint_eval.reporting.page import GAIN_SETS, Page
from lateint_eval.reporting.rows import ROWS, TEACHER, Claim, ResultRow
from tests.support import report_pages as pages

GOOD = {"squad test": 0.9, "medquad test": 0.8, "msmarco-dl19": 0.75}
ROW = ResultRow("prettr", ("prettr",), "as good [V:mice]", "on the moon", (Claim("gain", 0.9), Claim("speed-up", 100.0)))


def page(scores, teacher=pages.TEACHER, **changes):
    return Page([pages.result("prettr", scores, **changes), pages.result(TEACHER, teacher)])


def gain(page):
    return page.gain(page.results[0])


def test_gain_is_the_sum_over_three_sets_whatever_their_sizes():
    three = page({"squad test": 0.85, "medquad test": 0.80, "msmarco-dl19": 0.70})
    found = gain(three)
    assert (found.system_sum, found.teacher_sum) == (pytest.approx(0.15 + 0.20 + 0.05), pytest.approx(0.20 + 0.20 + 0.10))
    assert found.value == pytest.approx(0.8) == QUANTITIES["gain"](three, ROW)
    assert found.counted == GAIN_SETS == ("squad test", "medquad test", "msmarco-dl19")


def test_a_set_where_the_teacher_is_hardly_ahead_is_named_but_not_counted():
    scores, teacher = GOOD | {"medquad test": 0.7}, {"squad test": 0.71, "medquad test": 0.8, "msmarco-dl19": 0.66}
    found = gain(page(scores, teacher))
    assert found.value == pytest.approx(0.5) and found.counted == ("medquad test",)
    assert "not counted (teacher - cosine < 0.02): squad test, msmarco-dl19" in str(found)


def test_no_gain_without_a_teacher_or_one_of_the_sets_or_a_set_that_counts():
    for missing in GAIN_SETS:
        some = {name: value for name, value in GOOD.items() if name != missing}
        assert gain(page(some)) is None and gain(page(GOOD, some)) is None
    assert gain(Page(page(GOOD).results[:1])) is None
    flat = page(GOOD, {name: pages.COSINE[name] for name in GAIN_SETS})
    assert QUANTITIES["gain"](flat, ROW) is None and gain(flat).not_counted == GAIN_SETS
    assert verdict(flat, ROW) == "open"


@pytest.mark.parametrize(
    ("score", "speedup", "expected"),
    [(0.9, 180, "supported"), (0.9, 99, "in part"), (0.72, 180, "in part"), (0.72, 99, "not supported")],
)
def test_the_verdict_follows_from_the_figures(score, speedup, expected):
    found = page(GOOD | {"squad test": score}, speed=pages.SPEED | {"speedup": speedup})
    assert verdict(found, ROW) == expected
    assert ("What differs" in reasons(found, ROW)) == (expected != "supported")
    assert ("on the moon" in reasons(found, ROW)) == (expected != "supported")


def test_a_missing_figure_leaves_it_open_and_a_missing_checkpoint_is_said():
    found = page(GOOD)
    del found.results[0]["speed"]
    assert verdict(found, ROW) == "open" and "speed-up not measured" in reasons(found, ROW)
    assert verdict(Page([]), ROW) == "not trained yet"


def test_the_newest_result_of_a_name_stands_for_it():
    found = page(GOOD)
    newer = pages.result("prettr", {"squad test": 0.1, "medquad test": 0.1}, digest="f" * 64)
    both = Page([*found.results, newer])
    assert both.of(ROW) is newer and found.results[0] in both.others()
    assert both.replaced(found.results[0]) and not both.replaced(newer)


def test_what_an_earlier_teacher_scored_stays_on_the_page_and_teaches_no_gain():
    former = pages.result("teacher", GOOD)
    found = Page([former, pages.result("prettr", GOOD)])
    assert found.teacher() is None and gain(found) is None and former in found.others()
    assert page(GOOD).teacher()["checkpoint"] == "reranker"
    full = next(row for row in ROWS if row.preset == "cross_encoder")
    assert found.of(full) is None and page(GOOD).of(full) == page(GOOD).teacher()


def test_other_quantities_by_hand():
    sdr, prettr = (next(row for row in ROWS if row.preset == name) for name in ("sdr", "prettr"))
    others = [pages.task("medquad test", 0.8), pages.task("msmarco-dl19", 0.66)]
    small = pages.result("sdr", {}, tasks=[pages.task("squad test", 0.63, size=100.0), *others])
    found = Page([pages.result("prettr", {"squad test": 0.9}), small])
    values = {name: quantity(found, sdr) for name, quantity in QUANTITIES.items()}
    assert values["times smaller than `prettr`"] == pytest.approx(10.0)
    assert values["share of the cosine's nDCG@10"] == pytest.approx((0.63 + 0.8 + 0.66) / (0.7 + 0.6 + 0.65))
    assert values["low end of the lead over the cosine"] == pytest.approx(0.63 - 0.70 - 0.03)
    assert values["gain"] is values["STS-B"] is values["share of the teacher's STS-B"] is None
    assert QUANTITIES["low end of the lead over the cosine"](found, prettr) is None, "two of its sets are missing"


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
