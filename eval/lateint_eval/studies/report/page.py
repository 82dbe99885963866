"""The report of a study: one page of HTML that needs nothing but itself."""

from __future__ import annotations

import math
from pathlib import Path

from lateint_eval.formats.records import Json
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, chosen, inside, number, place_of, spots
from lateint_eval.studies.report.plots import PHASE_COLORS, Costs, quality_plot, query_plot, time_plot
from lateint_eval.studies.report.table import table
from lateint_eval.studies.report.words import counted, escaped, summary

_HERE = Path(__file__).parent
# A browser that reads this asks for nothing, whatever the text of a label may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_KEYS = (
    '<span class="key best">●</span> on the front <span class="key">○</span> other points '
    '<span class="key reference">◆</span> reference <span class="key">╌╌</span> first stage. '
    "Bars are 95 % intervals. A mark without a name tells it when pointed at."
)
_METHOD = """\
<p>Quality is the mean over the queries of a set. Its 95 % interval is a percentile bootstrap over the queries, and so is that
of a difference to the baseline, paired by query. The p&#8209;values are of two-sided paired t&#8209;tests, corrected with
Holm's method over the points of the study, for every set and measure by itself. Points whose intervals overlap may well
differ by chance; being on a front is no proof that a point is better than its neighbours.</p>
<p>A point is on a front if no other costs at most as much, ranks at least as well and is better in one of the two. Bytes a
document are what the store takes for it. Milliseconds a query are those of ranking all candidates of a query, medians where
nothing else is said. Fetching, decoding and computing are measured apart; <em>rest</em> is what lies between the sum of
their medians and the median of the whole.</p>"""


def render(results: Json) -> str:
    """The page, from what `results.json` holds; equal results give equal bytes.

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
    """Links to the sets, if there are several."""
    links = [f'<a href="#data-{at}">{escaped(data)}</a>' for at, data in enumerate(results["data"])]
    return f"<nav>{' '.join(links)}</nav>" if len(links) > 1 else ""


def _section(results: Json, at: int, data: str) -> str:
    about, measure = results["data"][data], results["measures"][0]
    stage = number(about, "first_stage", measure, "mean")
    reference = place_of(results, results["reference"])
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
    """The best point but the reference against the reference, query by query."""
    title, measure = "Query by query", results["measures"][0]
    best, reference = chosen(results, data), place_of(results, results["reference"])
    if best is None or reference is None:
        return _figure(title, "", "There is no point beside the reference.")
    path = ("results", data, "measures", measure, "per_query")
    theirs, ours = (inside(results["points"][place], *path) or {} for place in (reference, best.at))
    common = [query for query in sorted(ours) if None not in (number(ours, query), number(theirs, query))]
    pairs = [(float(theirs[query]), float(ours[query])) for query in common]
    names = (str(results["points"][reference]["label"]), best.label)
    said = f"<b>{escaped(names[1])}</b>, the best other point of the front, against the reference <b>{escaped(names[0])}</b>"
    if not pairs:
        return _figure(title, "", f"{said}: no query has a value under both.")
    better, worse = sum(y > x for x, y in pairs), sum(y < x for x, y in pairs)
    said += f": better on {counted(better, 'quer(y|ies)')}, worse on {worse:,}, equal on {len(pairs) - better - worse:,}."
    plot = query_plot(pairs, names, measure, f"queries-{at}")
    return _figure(title, plot, f"{said} Above the line it is better. A larger bubble holds more queries.")


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
    """Every point with its settings and its exact command, closed until asked for."""
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
    place = place_of(results, results["reference"]), place_of(results, results["baseline"])
    reference, baseline = (None if at is None else results["points"][at]["label"] for at in place)
    facts = {key: made.get(key) for key in ("command", "commit", "date", "machine", "python")} | {"versions": versions}
    facts |= {"seed": results.get("seed"), "measures": ", ".join(results["measures"])}
    return _facts(facts | {"baseline": baseline or results["baseline"], "reference": reference or results["reference"]})


def _facts(facts: Json) -> str:
    """Names and values; what is not known is left out."""
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    rows = [f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in known.items()]
    return f"<dl>{''.join(rows)}</dl>\n"
