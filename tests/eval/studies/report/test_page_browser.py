"""The page in a real browser, driven through chromedriver's HTTP interface."""

import base64
import json
import math
import random
import shutil
import struct
import subprocess
import urllib.request

import pytest

from lateint_eval.studies.report.page import render
from tests.support import study_results as results

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no chromium and chromedriver"),
]
FLAGS = (
    "--headless --no-sandbox --hide-scrollbars --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
DESKTOP, PHONE, PAPER = (1280, 900), (390, 844), (718, 1040)
SCHEME = "prefers-color-scheme"
LABELS = "return [...document.querySelectorAll('tbody')[0].rows].map(row => row.cells[0].textContent)"
CLICK = "document.querySelectorAll('table.points')[0].tHead.rows[0].cells[arguments[0]].querySelector('button').click()"
SORTED = "return [...document.querySelectorAll('thead')[0].rows[0].cells].map(cell => cell.getAttribute('aria-sort'))"
# Pairs of names in a drawing whose boxes overlap by more than a hairline, and names that leave their drawing.
CROWDED = """
const found = [];
for (const svg of document.querySelectorAll('svg')) {
  const frame = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  boxes.forEach(([name, a], at) => {
    if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
      found.push([name, 'clipped']);
    for (const [other, b] of boxes.slice(at + 1)) {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1.5 && high > 3) found.push([name, other]);
    }
  });
}
return found;
"""


class Browser:
    """A session of chromedriver."""

    def __init__(self, port, profile):
        self.base = f"http://127.0.0.1:{port}/session"
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS.split(), f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        wanted["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        session = self.call("", {"capabilities": {"alwaysMatch": wanted}})
        self.base += "/" + session["sessionId"]

    def call(self, path, body=None, method="POST"):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        return self.call("/execute/sync", {"script": script, "args": arguments})

    def dev(self, command, **parameters):
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def show(self, size, scheme="light", media="screen"):
        """Set the inner width and height of the window, the preferred colour scheme, and the medium (screen or print)."""
        small = size[0] < 600
        self.dev("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=small)
        self.dev("Emulation.setEmulatedMedia", media=media, features=[{"name": SCHEME, "value": scheme}])

    def open(self, file):
        """Open a file. Returns: the requested addresses and the messages of the console."""
        for kind in ("browser", "performance"):
            self.call("/se/log", {"type": kind})
        self.call("/url", {"url": file.as_uri()})
        sent = [json.loads(each["message"])["message"] for each in self.call("/se/log", {"type": "performance"})]
        asked = [each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"]
        return asked, [each["message"] for each in self.call("/se/log", {"type": "browser"})]

    def picture(self, file):
        """Save the whole page as PNG. Returns: its width and height in pixels."""
        data = base64.b64decode(self.dev("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        file.write_bytes(data)
        return struct.unpack(">II", data[16:24])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        started = next(line for line in driver.stdout if "started successfully on port" in line)
        opened = Browser(int(started.split("port")[1].strip(" .\n")), tmp_path_factory.mktemp("profile"))
        yield opened
        opened.call("", method="DELETE")
    finally:
        driver.terminate()
        driver.wait(20)
        driver.stdout.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(results.study()), encoding="utf-8")
    return file


def addresses(asked):
    return [url for url in asked if not url.startswith("data:")]


def test_the_page_asks_for_nothing_and_the_console_stays_empty(browser, page):
    asked, complaints = browser.open(page)
    assert addresses(asked) == [page.as_uri()]
    assert complaints == []


def test_a_page_that_asks_for_something_would_be_noticed(browser, page, tmp_path):
    inside = '<script src="missing.js"></script><script>undefined_name()</script>'
    for policy, file in ((True, tmp_path / "with.html"), (False, tmp_path / "without.html")):
        text = page.read_text(encoding="utf-8").replace("<main>", f"<main>{inside}")
        file.write_text(text if policy else text.replace("http-equiv", "data-nothing"), encoding="utf-8")
        asked, complaints = browser.open(file)
        assert any("undefined_name" in each for each in complaints)
        assert (len(addresses(asked)) == 1 or any("Content Security" in each for each in complaints)) == policy


def test_a_column_sorts_both_ways_with_missing_values_last(browser, tmp_path):
    study = results.study(results.POINTS[:4], ("squad",))
    study["points"][1]["timing"] = {}
    page = tmp_path / "report.html"
    page.write_text(render(study), encoding="utf-8")
    browser.open(page)
    labels = [point["label"] for point in study["points"]]
    heads = browser.run("return [...document.querySelectorAll('thead th')].map(head => head.textContent)")
    assert browser.run(LABELS) == labels and browser.run(SORTED) == [None] * len(heads)
    column = heads.index("ms p50")
    browser.run(CLICK, column)
    rising = [labels[3], labels[2], labels[0], labels[1]]
    assert browser.run(LABELS) == rising and browser.run(SORTED)[column] == "ascending"
    browser.run(CLICK, column)
    assert browser.run(LABELS) == [*reversed(rising[:-1]), rising[-1]] and browser.run(SORTED)[column] == "descending"
    browser.run(CLICK, 0)
    assert browser.run(LABELS) == sorted(labels) and browser.run(SORTED) == ["ascending", *[None] * (len(heads) - 1)]


def test_the_keyboard_reaches_and_presses_a_column(browser, page):
    browser.open(page)
    browser.run("document.querySelectorAll('thead button')[0].focus()")
    for kind in ("keyDown", "keyUp"):
        browser.dev("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert browser.run(SORTED)[0] == "ascending"


def test_a_point_of_the_table_opens_its_command(browser, page):
    browser.open(page)
    assert not browser.run("return document.querySelectorAll('details')[2].open")
    browser.run("document.querySelectorAll('tbody th a')[2].click()")
    browser.run("return new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert browser.run("return document.querySelectorAll('details')[2].open")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_is_clipped_or_scrolls_sideways(browser, page, tmp_path, size, scheme):
    browser.show(size, scheme)
    browser.open(page)
    assert browser.run(CROWDED) == []
    assert browser.run("return document.documentElement.scrollWidth") == size[0]
    width, height = browser.picture(tmp_path / "page.png")
    assert width == size[0] and height > size[1]
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


def test_paper_is_white_and_wide_enough(browser, page):
    browser.show(PAPER, "dark", "print")
    browser.open(page)
    assert browser.run("return document.documentElement.scrollWidth") == PAPER[0]
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("return [...document.querySelectorAll('details')].every(each => each.open)")
    browser.show(DESKTOP)


def test_many_points_stay_readable(browser, tmp_path):
    generator = random.Random(1)
    costs = [(10 ** generator.uniform(2, 5), 10 ** generator.uniform(0, 2.5)) for _ in range(34)]
    qualities = [0.5 + 0.04 * math.log10(size) + 0.02 * math.log10(time) + generator.gauss(0, 0.02) for size, time in costs]
    rows = [(f"method {n} L={n % 5}, {n} numbers, int8", *costs[n], round(qualities[n], 4)) for n in range(34)]
    page = tmp_path / "report.html"
    page.write_text(render(results.study(rows, ("squad",))), encoding="utf-8")
    browser.show(PHONE)
    browser.open(page)
    assert browser.run(CROWDED) == []


def test_an_overlap_would_be_noticed(browser, page):
    browser.open(page)
    browser.run("const [a, b] = document.querySelectorAll('svg text'); b.replaceWith(a.cloneNode(true))")
    assert browser.run(CROWDED)
