import re
from pathlib import Path

import pytest

from lateint.loading.shipped import DEFAULT
from lateint.methods.presets import PRESETS
from lateint_eval.reporting.page import Page
from lateint_eval.reporting.render import render
from lateint_eval.reporting.rows import ROWS, SOURCES, TEACHER
from tests.support import report_pages as pages

GOLDEN = Path(__file__).parent / "golden.md"
STUDENT = {"squad test": 0.89, "medquad test": 0.795, "msmarco-dl19": 0.64, "squad dev": 0.9}


@pytest.fixture
def page():
    lossy = [pages.task(name, score, full=score + 0.01) for name, score in STUDENT.items()]
    prettr = pages.result("prettr", STUDENT, tasks=lossy)
    prettr["method"] = prettr["method"] | {"head": "joint_layers(readout='matches')"}
    hpd = pages.result("hpd", {"squad dev": 0.8}, training={"command": None, "steps": None, "seconds": None}, residual=True)
    rows = [row for row in ROWS if row.preset in ("cross_encoder", "prettr", "mice", "hpd", "dse")]
    references = {"squad test": {"bm25": {"nDCG@10": 0.51}, "cosine": {"nDCG@10": 0.70, "bytes_per_document": 1542.0}}}
    teacher = pages.result(TEACHER, pages.TEACHER)
    latent = [pages.result(DEFAULT, STUDENT | {"squad test": 0.8 + n / 20}, date=f"2026-01-0{n}") for n in (1, 2)]
    budget = {"steps": [800, 200], "seconds": [60, 65]}
    pairs = [
        pages.stsb("base, layer 3, 128 numbers", 0.79),
        pages.stsb("base, layer T, 384 numbers", 0.82),
        pages.stsb("hpd", 0.84, budget=budget),
        pages.stsb("stsb-dse", 0.86, split="dev", budget=budget),
    ]
    return Page([*latent, pages.old_result(), hpd, prettr, teacher], references, pairs, pages.SPEED, rows)


def test_the_page_is_what_it_should_be(page):
    assert render(page) == GOLDEN.read_text(encoding="utf-8")


def test_only_tables_have_long_lines(page):
    assert not [line for line in render(page).splitlines() if len(line) > 120 and not line.startswith("|")]
    assert max(map(len, render(page).splitlines())) < 160


def test_nothing_stored_gives_a_page_of_rows_that_are_not_trained():
    text = render(Page([]))
    assert text.count("**not trained yet**") == len(PRESETS) and "0 checkpoints, 0 runs on test sets" in text
    assert "supported" not in text


def test_the_default_leads_the_table_and_a_former_one_is_listed_with_its_date(page):
    rows = [line.split("|") for line in render(page).splitlines() if line.startswith(f"| `{DEFAULT}`")]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        (f"`{DEFAULT}` (the default)", "0.900"),
        (f"`{DEFAULT}` (of 2026-01-01)", "0.850"),
    ]
    assert f"| `{DEFAULT}` (the default) | - |" in render(Page([]))


def test_gains_are_open_until_the_teacher_has_all_sets(page):
    def said(results):
        return " ".join(render(Page(results)).split())

    assert "over 3 sets, squad test, medquad test, msmarco-dl19," in said([]) and "checkpoint `reranker`" in said([])
    without = [found for found in page.results if found["checkpoint"] != TEACHER]
    assert "The teacher has no result yet, so all gains are open." in said(without)
    part = pages.result(TEACHER, {"squad test": 0.9})
    assert "has no result on one of the sets yet, so all gains are open." in said([*without, part])
    close = pages.result(TEACHER, pages.TEACHER | {"msmarco-dl19": 0.66})
    assert "Not counted here: msmarco-dl19." in said([*without, close])
    assert "Not counted here: none." in said(page.results)


def test_every_preset_has_one_row_and_no_row_is_of_anything_else():
    assert sorted(row.preset for row in ROWS) == sorted(PRESETS)


def test_every_headline_says_where_it_was_read_and_every_source_is_used():
    tags = [re.findall(r"\[([VS]):([a-z-]+)\]", row.headline) for row in ROWS]
    assert all(tags) and {key for found in tags for _, key in found} == set(SOURCES)
    assert not [row.preset for row in ROWS if "[R]" in row.headline or not row.claims]


def test_a_timing_that_was_taken_over_says_whose_it_is():
    twin = pages.result("mice", pages.TEACHER, speed=pages.SPEED | {"of": "abcdef012345" + "0" * 52})
    shown = [" ".join(render(Page([found])).split()) for found in (twin, pages.result("mice", pages.TEACHER))]
    assert ["timed on [abcdef012345]" in text for text in shown] == [True, False]
