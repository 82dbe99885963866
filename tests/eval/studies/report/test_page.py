"""The report of a study as text; test_page_browser.py tests it in a browser."""

import builtins
import copy
import html
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lateint_eval.studies.report import labels
from lateint_eval.studies.report.axes import MOST_TICKS, _ticks
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, Spot, budgets, chosen, front, number, round_up, spots
from lateint_eval.studies.report.labels import Box, Name, harm, place
from lateint_eval.studies.report.page import render
from lateint_eval.studies.report.table import table
from lateint_eval.studies.report.words import byte_count, milliseconds, p_value, summary
from lateint_store.errors import MissingExtra
from tests.support import study_results as results

HOSTILE = """<b>"L" & 'x'</b> $x^2$ ]]> #010203 中"""
ASKS = re.compile(r"https?://|\bsrc\s*=|@import|url\(|<link (?!rel=\"icon\" href=\"data:,\")", re.IGNORECASE)
VOID = {"meta", "link", "br"}


class Tree(HTMLParser):
    """Fails on tags that are not nested; records ids, cells, heads and the text of elements."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [given for name, given in self.tags if name == tag]

    def text_of(self, tag):
        return [data for name, data in self.texts if name == tag]


@pytest.fixture(scope="module")
def study():
    return results.study()


@pytest.fixture(scope="module")
def page(study):
    return render(study)


def test_the_page_names_nothing_outside_itself(page):
    assert not ASKS.search(page)
    assert page.count("default-src 'none'") == 1 and '<link rel="icon" href="data:,">' in page
    assert all(link.startswith(("#", "data:")) for link in Tree(page).links)


@pytest.mark.parametrize(
    "text", ['<img src="a.png">', "@import 'a'", "url(a)", "http://a", '<link rel="stylesheet" href="a">', "HTTPS://a"]
)
def test_what_asks_for_something_would_be_found(text):
    assert ASKS.search(text)


def test_equal_results_give_equal_bytes(page, study):
    assert render(json.loads(json.dumps(study))) == page
    small = results.study(results.POINTS[:2], ("squad",))
    before = render(small)
    small["points"][1]["timing"]["squad"]["total_ms"]["p50"] += 1
    assert render(small) != before


def test_tags_nest_ids_are_unique_and_links_lead_somewhere(page):
    tree = Tree(page)
    assert len(tree.ids) == len(set(tree.ids)) > len(results.POINTS)
    assert {link[1:] for link in tree.links if link.startswith("#")} <= set(tree.ids)
    assert {f"data-{at}" for at in range(2)} | {f"point-{at}" for at in range(len(results.POINTS))} <= set(tree.ids)


def test_every_set_has_four_drawings_and_their_text_is_text(study, page):
    assert page.count("<svg ") == page.count('role="img"') == 4 * len(study["data"])
    texts = Tree(page).text_of("text")
    assert texts.count("bytes a document") == texts.count("milliseconds a query, medians") == 2
    assert "first stage 0.600" in texts and "prettr L=1, float32" in texts


def test_lines_and_letters_take_the_colour_of_the_page(page):
    assert "#010203" not in page and "#000000" not in page and page.count("currentColor") > 100
    assert not re.search(r"font-family: '", page)


def test_everything_named_by_the_user_is_escaped(study):
    rows = [(HOSTILE, *results.POINTS[0][1:]), *results.POINTS[1:3]]
    changed = results.study(rows, (HOSTILE,), name=HOSTILE, measures=["nDCG@10", "RR@10"])
    changed["made"] |= {"command": HOSTILE, "machine": HOSTILE}
    changed["points"][0]["command"] = HOSTILE
    page = render(changed)
    tree = Tree(page)
    assert "<b>&quot;" in page.replace(html.escape("<b>"), "<b>") and '<b>"L"' not in page
    for tag in ("title", "h1", "h2", "pre", "summary", "dd", "caption"):
        assert any(HOSTILE in text for text in tree.text_of(tag)), tag
    assert {given["data-value"] for given in tree.all("th") if "data-value" in given} >= {HOSTILE}
    assert any(HOSTILE in text for text in tree.text_of("text"))  # dollar signs are not read as a formula


def test_every_command_of_a_point_is_there_exactly(study, page):
    shown = Tree(page).text_of("pre")
    assert shown == [point["command"] for point in study["points"]]
    assert page.count("<details>") == len(study["points"])


def test_the_table_can_be_sorted(study, page):
    tree = Tree(page)
    cells = [given for given in tree.all("td") if "colspan" not in given]
    columns = len(tree.all("button")) // len(study["data"])
    rows = len(study["points"]) * len(study["data"])
    stage = len(study["measures"]) * len(study["data"])
    assert columns == 14 and len(cells) == rows * (columns - 1) + stage and all("data-value" in cell for cell in cells)
    assert all(cell["data-value"] == "" or float(cell["data-value"]) is not None for cell in cells)
    heads = [given for given in tree.all("th") if given.get("scope") == "col"]
    assert {given["data-order"] for given in heads} == {"text", "ascending", "descending"}
    assert "412.0" in {cell["data-value"] for cell in cells} and "aria-sort" in page


def test_the_baseline_is_not_compared_with_itself(study):
    assert table(study | {"baseline": "p2"}, "squad").count('<td data-value="">baseline</td>') == len(study["measures"])
    assert ">baseline</td>" not in table(study, "squad")


def test_the_opening_names_the_best_point_within_each_budget(study):
    text = re.sub("<[^>]*>", "", summary(study))
    assert text.startswith("squad, nDCG@10 in brackets. With at most 100 bytes a document the best is one vector, 384 numbers")
    assert "with 5,000 bytes hpd L=4, 64 numbers a token, drive 4 bits (0.694)" in text
    assert "With at most 2 ms a query the best is one vector, 384 numbers, float16 (0.641)" in text
    assert "and with 500 ms prettr L=1, float32 (0.712). The first stage alone has 0.600." in text


def test_what_was_run_is_there(page):
    shown = Tree(page).text_of("dd")
    assert {"0123abcd", "a machine, 2 cores", "3.11.7", "2026-01-02", "torch 2.13.0, numpy 2.4.6", "0"} <= set(shown)
    assert {"lateint study grid.toml --output grid", "first stage", "prettr L=1, float32", "runs/p3.squad.trec"} <= set(shown)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("queries", [0, 1])
def test_small_studies(count, queries):
    page = render(results.study(results.POINTS[:count], ("squad",), queries))
    tree = Tree(page)
    assert len(tree.all("details")) == count
    assert page.count("<svg ") == (0 if count == 0 else 3 if count == 1 or queries == 0 else 4)
    assert ("1 query," in page) == (queries == 1)


def test_no_data_at_all():
    assert "The study holds no data." in render(results.study((), ()))


def without(study):
    """Yield copies of the study, each without one kind of value."""
    for point in study["points"]:
        yield point, "timing", {}
        yield point, "timing", None
        yield point, "results", {}
        yield point["results"]["squad"], "measures", {}
        yield point["results"]["squad"], "against_baseline", None
        yield point["results"]["squad"], "bytes_per_document", None
        yield point["results"]["squad"]["measures"]["nDCG@10"], "mean", float("nan")
        yield point["results"]["squad"]["measures"]["nDCG@10"], "low", None
        yield point["results"]["squad"]["measures"]["nDCG@10"], "per_query", {"q1": None}
        yield point["timing"]["squad"], "total_ms", {"p50": None, "p95": None}
        yield point["timing"]["squad"], "fetch_ms", None
    yield study["data"]["squad"], "first_stage", {}
    yield study, "made", {}


def test_what_is_missing_is_a_dash_or_left_out(monkeypatch):
    monkeypatch.setattr("lateint_eval.studies.report.svg._inline", lambda svg, *rest: "<svg></svg>")  # for speed
    study = results.study(results.POINTS[:1], ("squad",), 2)
    for holder, key, value in list(without(study)):
        kept, holder[key] = holder[key], value
        text = render(study)
        Tree(text)
        assert "None" not in text and "nan" not in re.sub("<script>.*</script>", "", text, flags=re.DOTALL), key
        holder[key] = kept


def test_a_cost_of_nothing_stands_at_the_left_of_the_axis():
    rows = [("nothing stored", 0.0, 5.0, 0.6), *results.POINTS[1:3]]
    page = render(results.study(rows, ("squad",)))
    assert "0" in Tree(page).text_of("text") and "With at most 0 bytes a document the best is <b>nothing stored</b>" in page


def test_without_matplotlib_the_error_says_what_to_install(study, monkeypatch):
    plain = builtins.__import__

    def fails(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fails)
    with pytest.raises(MissingExtra, match=r"pip install 'lateint\[study\]'"):
        render(study)


def made_up(seed):
    """Return spots with few different costs and qualities, so that some are equal."""
    generator = random.Random(seed)
    count = generator.randrange(12)
    return [Spot(at, "", float(generator.randrange(5)), float(generator.randrange(5)), None, None) for at in range(count)]


@pytest.mark.parametrize("seed", range(50))
def test_the_front_is_what_nothing_beats(seed):
    points = made_up(seed)

    def beats(a, b):
        return a.cost <= b.cost and a.quality >= b.quality and (a.cost, a.quality) != (b.cost, b.quality)

    expected = {spot.at for spot in points if not any(beats(other, spot) for other in points)}
    found = front(points)
    assert {spot.at for spot in found} == expected and len(found) == len(expected)
    assert [spot.cost for spot in found] == sorted(spot.cost for spot in found)


@pytest.mark.parametrize("seed", range(20))
def test_a_budget_names_the_best_that_it_can_pay(seed):
    points = made_up(seed)
    for limit, spot in budgets(front(points)):
        assert spot.cost <= limit and spot.quality == max(each.quality for each in points if each.cost <= limit)


def test_round_limits():
    assert [round_up(value) for value in (0, 0.011, 1, 1.01, 4.9, 5.1, 740, 61_440)] == [0, 0.02, 1, 2, 5, 10, 1000, 100_000]


def test_the_scatter_shows_the_best_other_point_of_the_front(study):
    assert chosen(study, "squad").label == "prettr L=3, float16"
    assert chosen(study | {"reference": "p1"}, "squad").label == "prettr L=1, float32"
    assert chosen(results.study(results.POINTS[:1]), "squad") is None
    worse = results.study((results.POINTS[-1], ("worse and larger", 60.0, 9.0, 0.5)))  # only the reference is on the front
    assert chosen(worse, "squad").label == "worse and larger"


def test_numbers_that_are_none():
    assert number({"a": {"b": 1}}, "a", "b") == 1.0
    no_numbers = (None, {}, {"a": None}, {"a": float("inf")}, {"a": True}, {"a": "1"}, [1])
    assert [number(found, "a") for found in no_numbers] == [None] * 7
    assert [byte_count(value) for value in (None, 52.0, 52.5, 61_440.4)] == ["–", "52", "52.5", "61,440"]
    assert [milliseconds(value) for value in (None, 1.234, 12.34, 1234.5)] == ["–", "1.23", "12.3", "1,234"]
    assert [p_value(value) for value in (None, 0.00001, 0.25)] == ["–", "< 0.0001", "0.2500"]


def test_spots_need_a_quality_and_a_cost(study):
    changed = copy.deepcopy(study)
    changed["points"][0]["timing"] = {}
    changed["points"][1]["results"]["squad"]["measures"]["nDCG@10"]["mean"] = None
    assert [spot.at for spot in spots(changed, "squad", BYTES)] == [0, *range(2, 12)]
    assert [spot.at for spot in spots(changed, "squad", MILLISECONDS)] == list(range(2, 12))


def test_logarithmic_ticks_are_few_and_round():
    for low, high in ((0.0, 0.85), (1.7, 5.6), (-2.0, 9.0), (3.1, 4.0)):
        ticks = _ticks(low, high)
        assert 1 <= len(ticks) <= max(MOST_TICKS, high - low + 1) and all(10**low <= tick <= 10**high for tick in ticks)


@pytest.mark.parametrize("seed", range(4))
def test_the_search_that_stops_early_finds_the_best_of_all_positions(seed):
    at = random.Random(seed)
    frame = Box(0, 0, 160, 100)
    taken = [Box(x - 9, y - 9, x + 9, y + 9) for x, y in ((at.uniform(0, 160), at.uniform(0, 100)) for _ in range(4 * seed))]
    name = Name(("a point",), at.uniform(0, 160), at.uniform(0, 100), True)
    every = [(harm(each.boxes(), taken, frame), each) for far in labels._DISTANCES for each in labels._around(name, far)]
    assert labels._best(name, taken, frame) == min(every, key=lambda each: each[0] + labels._PER_PIXEL * each[1].distance)


def test_names_keep_apart_and_inside():
    frame = Box(0, 0, 400, 300)
    points = [(60 + 22 * k, 60 + 16 * k) for k in range(12)]
    names = [Name(("a name of a point", "on two lines"), x, y, k % 2 == 0) for k, (x, y) in enumerate(points)]
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    placed = place(names, marks, frame)
    assert {each.name for each in placed} >= {name for name in names if name.needed}
    for at, each in enumerate(placed):
        assert harm([each.box], [*marks, *(other.box for other in placed[at + 1 :])], frame) < labels.FREE
    assert harm([Box(-10, 0, 20, 10)], [], frame) == 1000 and harm([Box(0, 0, 9, 9)], [Box(5, 5, 20, 20, 2.0)], frame) == 32


def test_a_long_label_ends_in_an_ellipsis():
    lines = labels.broken("word " * 40)
    assert len(lines) == labels.MAX_LINES and lines[-1].endswith("…")
    assert all(len(line) <= labels.LINE_LENGTH for line in lines)


def test_style_and_script_are_whole():
    folder = Path(labels.__file__).parent
    style = (folder / "page.css").read_text(encoding="utf-8")
    assert style.count("{") == style.count("}") > 20 and "</style" not in style
    assert "</script" not in (folder / "page.js").read_text(encoding="utf-8")
