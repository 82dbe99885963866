"""A plan as text."""

from __future__ import annotations

from collections.abc import Iterator

from lateint_eval.planning.estimate import Estimate
from lateint_eval.planning.plan import Plan, RankTime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the lines of a plan; brackets contain intervals."""
    yield f"corpus     {plan.documents:,} documents, {plan.sample:,} of them sampled"
    lost = _with(plan.cut.scaled(100), "{:.1f}")
    median, most = _with(plan.tokens_median, "{:.0f}"), _with(plan.tokens_p95, "{:.0f}")
    yield f"tokens     median {median}, 95 % have at most {most}; {lost} % of documents are truncated at {plan.max_length}"
    yield f"encoding   {_duration(plan.hours)} on this machine"
    yield "ranking    " + "; ".join(map(_ranking, plan.ranking))
    yield f"disk       {_size(plan.free_bytes)} free" + ("" if plan.fits else ": NOT ENOUGH")
    width = max(len(row.codecs) for row in plan.bytes)
    yield ""
    yield f"{'codecs':<{width}}  {'bytes a document':>24}  {'in all':>10}"
    for row in plan.bytes:
        yield f"{row.codecs:<{width}}  {_with(row.a_document, '{:,.0f}'):>24}  {_size(row.in_all.value):>10}"


def _with(estimate: Estimate, style: str) -> str:
    return f"{style.format(estimate.value)} [{style.format(estimate.low)}, {style.format(estimate.high)}]"


def _ranking(row: RankTime) -> str:
    guessed = " (extrapolated)" if row.extrapolated else ""
    return f"{row.candidates:,} candidates p50 {_with(row.ms, '{:,.1f}')} ms{guessed}"


def _duration(hours: Estimate) -> str:
    if hours.value >= 1:
        return _with(hours, "{:.1f}") + " hours"
    if hours.value >= 1 / 60:
        return _with(hours.scaled(60), "{:.1f}") + " minutes"
    return _with(hours.scaled(3600), "{:.1f}") + " seconds"


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError
