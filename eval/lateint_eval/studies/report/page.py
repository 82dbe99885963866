"""The report of a study: one self-contained HTML page."""

from __future__ import annotations

import math
from pathlib import Path

from lateint_eval.formats.records import Json
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, chosen, index_of, inside, number, spots
from lateint_eval.studies.report.plots import PHASE_COLORS, Costs, quality_plot, query_plot, time_plot
from lateint_eval.studies.report.table import table
from lateint_eval.studies.report.words import counted, escaped, summary

_HERE = Path(__file__).parent
# With this policy the browser makes no request, whatever text a label contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_KEYS = (
    '<span class="key best">●</span> on the front <span class="key">○</span> other points '
    '<span class="key reference">◆</span> reference <span class="key">╌╌</span> first stage. '
    "Bars are 95 % intervals. Point at a mark to read its name."
)
_METHOD = """\
<p>Quality is the mean over the queries of a set. The 95 % intervals of means, and of differences from the baseline paired by
query, are percentile bootstrap intervals over the queries. The p&#8209;values are of two-sided paired t&#8209;tests, with
Holm's correction over the points of the study, separately for every set and measure. Points whose intervals overlap may
differ by chance only; a point on a front is not necessarily better than its neighbours.</p>
<p>A point is on a front if no other point is at least as good in both cost and quality and better in one of them. Bytes a
document are the bytes of the store per document. Milliseconds a query are the time to rank all candidates of a query, as
medians unless stated otherwise. Fetching, decoding and computing are measured separately; <em>rest</em> is the difference
between the median of the whole and the sum of their medians.</p>"""


def render(results: Json) -> str:
    """Return the page for the contents of `results.json`; equal results give equal bytes.

    Raises: MissingExtra without matplotlib.
    """
    title, sections = f"Study: {escaped(results['name'])}", [_section(results, *each) for each in enumerate(results["data"])]
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{summary(results)}
{_contents(results)}
</header>
<main>
{"".join(sections)}{_points(results)}<section>
<h2>What was run</h2>
{_made(results)}
</section>
<section>
<h2>Method</h2>
{_METHOD}
</section>
</main>
<script>
{script}</script>
</body>
</html>
"""


def _contents(results: Json) -> str:
    """Return links to the sets, if there are several."""
    links = [f'<a href="#data-{at}">{escaped(data)}</a>' for at, data in enumerate(results["data"])]
    return f"<nav>{' '.join(links)}</nav>" if len(links) > 1 else ""


def _section(results: Json, at: int, data: str) -> str:
    about, measure = results["data"][data], results["measures"][0]
    stage = number(about, "first_stage", measure, "mean")
    reference = index_of(results, results["reference"])
    drawn = []
    for cost, unit, label in ((BYTES, "bytes", "bytes a document"), (MILLISECONDS, "ms", "milliseconds a query, median")):
        costs = Costs(f"{unit}-{at}", label, unit)
        plot = quality_plot(spots(results, data, cost), costs, measure, stage, reference)
        drawn.append(_figure(f"{measure} against {label}", plot, _KEYS if plot else ""))
    drawn += [_queries(results, data, at), _times(results, data, at)]
    counts = [counted(about.get(key), noun) for key, noun in (("queries", "quer(y|ies)"), ("documents", "document(|s)"))]
    return f"""<section id="data-{at}">
<h2>{escaped(data)}</h2>
<p>{", ".join(counts)}, at most {counted(about.get("depth"), "candidate(|s)")} a query.</p>
<div class="plots">
{"".join(drawn)}</div>
{table(results, data)}
</section>
"""


def _figure(title: str, plot: str, caption: str) -> str:
    drawn = plot or '<p class="nothing">Nothing to draw.</p>'
    return f"<figure><h3>{escaped(title)}</h3>\n{drawn}\n<figcaption>{caption}</figcaption></figure>\n"


def _queries(results: Json, data: str, at: int) -> str:
    """Plot the best other point against the reference, query by query."""
    title, measure = "Query by query", results["measures"][0]
    best, reference = chosen(results, data), index_of(results, results["reference"])
    if best is None or reference is None:
        return _figure(title, "", "There is no point other than the reference.")
    path = ("results", data, "measures", measure, "per_query")
    theirs, ours = (inside(results["points"][index], *path) or {} for index in (reference, best.at))
    common = [query for query in sorted(ours) if None not in (number(ours, query), number(theirs, query))]
    pairs = [(float(theirs[query]), float(ours[query])) for query in common]
    names = (str(results["points"][reference]["label"]), best.label)
    said = f"<b>{escaped(names[1])}</b>, the best other point of the front, against the reference <b>{escaped(names[0])}</b>"
    if not pairs:
        return _figure(title, "", f"{said}: no query has values for both.")
    better, worse = sum(y > x for x, y in pairs), sum(y < x for x, y in pairs)
    said += f": better on {counted(better, 'quer(y|ies)')}, worse on {worse:,}, equal on {len(pairs) - better - worse:,}."
    plot = query_plot(pairs, names, measure, f"queries-{at}")
    return _figure(title, plot, f"{said} Queries above the line are better. A larger bubble stands for more queries.")


def _times(results: Json, data: str, at: int) -> str:
    rows = []
    for point in results["points"]:
        timing = inside(point, "timing", data)
        parts = {phase: number(timing, f"{phase}_ms", "p50") for phase in ("fetch", "decode", "compute", "total")}
        if any(value is not None for value in parts.values()):
            known = {phase: value or 0.0 for phase, value in parts.items()}
            total = known.pop("total")
            rows.append((str(point["label"]), known | {"rest": max(0.0, total - math.fsum(known.values()))}))
    keys = " ".join(f'<span class="key {phase}">■</span> {phase}' for phase in PHASE_COLORS)
    return _figure("Where the time goes", time_plot(rows, f"time-{at}"), keys if rows else "")


def _points(results: Json) -> str:
    """Return every point with its settings and its exact command, in collapsed sections."""
    keys = ("id", "model", "method", "offline_layers", "pool", "codecs", "depth", "threads", "device", "content_digest")
    found = []
    for at, point in enumerate(results["points"]):
        facts = {key.replace("_", " "): point.get(key) for key in keys}
        facts |= {f"run on {data}": inside(point, "results", data, "run") for data in results["data"]}
        opened = f"<details><summary>{escaped(point['label'])}</summary>\n"
        found.append(f'{opened}<pre id="point-{at}">{escaped(point.get("command", ""))}</pre>\n{_facts(facts)}</details>\n')
    body = "".join(found) or "<p>The study has no points.</p>\n"
    return f"<section>\n<h2>Points and their commands</h2>\n{body}</section>\n"


def _made(results: Json) -> str:
    made = results.get("made") or {}
    versions = ", ".join(f"{name} {version}" for name, version in (made.get("versions") or {}).items())
    indices = index_of(results, results["reference"]), index_of(results, results["baseline"])
    reference, baseline = (None if at is None else results["points"][at]["label"] for at in indices)
    facts = {key: made.get(key) for key in ("command", "commit", "date", "machine", "python")} | {"versions": versions}
    facts |= {"seed": results.get("seed"), "measures": ", ".join(results["measures"])}
    return _facts(facts | {"baseline": baseline or results["baseline"], "reference": reference or results["reference"]})


def _facts(facts: Json) -> str:
    """Return a list of names and values, without unknown values."""
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    rows = [f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in known.items()]
    return f"<dl>{''.join(rows)}</dl>\n"
