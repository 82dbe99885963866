"""Claims of papers, stated in quantities that are measured here, and verdicts on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lateint_eval.reporting.page import GAIN_SETS, Number, Page, difference, score, stored_bytes
from lateint_eval.reporting.rows import Claim, Quantity, ResultRow
from lateint_eval.reporting.similarity import spearman, stsb_row, training_of
from lateint_eval.reporting.stored import Result


def gain_kept(page: Page, row: ResultRow) -> Number:
    """Return the gain over the cosine; None without a teacher, or if no set counts."""
    result = page.of(row)
    found = None if result is None else page.gain(result)
    return found.value if found is not None and found.counted else None


def speed_up(page: Page, row: ResultRow) -> Number:
    """Return the speed-up against the full cross-encoder of the same backbone."""
    found: Number = (page.of(row) or {}).get("speed", {}).get("speedup")
    return found


def lead(page: Page, row: ResultRow) -> Number:
    """Return the lower bound of the lead over the base cosine in nDCG@10, on the worst of the sets of gain."""
    result = page.of(row)
    found = [] if result is None else [difference(result, name, "cosine") for name in GAIN_SETS]
    lows = [each[1] for each in found if each is not None]
    return min(lows) if len(lows) == len(GAIN_SETS) else None


def share_of_cosine(page: Page, row: ResultRow) -> Number:
    """Return the mean nDCG@10 over the sets of gain, divided by that of the base cosine."""
    result = page.of(row)
    ours = [None if result is None else score(result, name) for name in GAIN_SETS]
    return _ratio(_sum(ours), _sum([page.reference("cosine", name) for name in GAIN_SETS]))


def times_smaller(page: Page, row: ResultRow) -> Number:
    """Return the bytes per passage of the preset `prettr`, which stores uncompressed states, divided by those of the row."""
    result = page.of(row)
    prettr = next((found for other in page.rows if other.preset == "prettr" and (found := page.of(other)) is not None), None)
    return None if prettr is None or result is None else _ratio(stored_bytes(prettr), stored_bytes(result))


def stsb(page: Page, row: ResultRow) -> Number:
    """Return Spearman's correlation on STS-B."""
    return spearman(page.stsb(row))


def share_of_stsb(page: Page, row: ResultRow) -> Number:
    """Return the STS-B correlation divided by that of the row's teacher."""
    return _ratio(stsb(page, row), spearman(stsb_row(page.pairs, row.rival)))


def lead_on_stsb(page: Page, row: ResultRow) -> Number:
    """Return the STS-B correlation minus that of the teacher's vectors at the student's depth and width."""
    return _sum([stsb(page, row), _negative(spearman(stsb_row(page.pairs, row.rival)))])


QUANTITIES: dict[Quantity, Callable[[Page, ResultRow], Number]] = {
    "gain": gain_kept,
    "speed-up": speed_up,
    "low end of the lead over the cosine": lead,
    "share of the cosine's nDCG@10": share_of_cosine,
    "times smaller than `prettr`": times_smaller,
    "STS-B": stsb,
    "share of the teacher's STS-B": share_of_stsb,
    "lead on STS-B over the teacher cut to its size": lead_on_stsb,
}


def verdict(page: Page, row: ResultRow) -> str:
    """Return the verdict on a row: `supported`, `in part`, `not supported`, `open` or `not trained yet`."""
    if page.of(row) is None and page.stsb(row) is None:
        return "not trained yet"
    kept = [None if value is None else value >= claim.at_least for claim, value in _figures(page, row)]
    if None in kept:
        return "open"
    return "supported" if all(kept) else "in part" if any(kept) else "not supported"


def reasons(page: Page, row: ResultRow) -> str:
    """Return the reasons for a verdict: our value for every claim and, if one fails, how our setting differs."""
    outcome = verdict(page, row)
    if outcome == "not trained yet":
        return f"To show: {', '.join(f'{claim.quantity} at least {claim.at_least:g}' for claim in row.claims)}."
    parts = []
    for claim, value in _figures(page, row):
        held = "" if value is None else ", holds" if value >= claim.at_least else ", does not hold"
        said = "not measured" if value is None else f"{value:.3g}"
        parts.append(f"{claim.quantity} {said} (at least {claim.at_least:g}{held})")
    text = f"Ours: {'; '.join(parts)}."
    if outcome in ("in part", "not supported"):
        text += f" What differs: ours {_setting(page, row)}. The paper: {row.setting}."
    return text


def _figures(page: Page, row: ResultRow) -> list[tuple[Claim, Number]]:
    return [(claim, QUANTITIES[claim.quantity](page, row)) for claim in row.claims]


def _setting(page: Page, row: ResultRow) -> str:
    """Describe the size and training budget of our checkpoint."""
    result, pairs = page.of(row), page.stsb(row)
    if result is None:
        return f"is judged on sentence pairs alone; training: {budget({'training': training_of(pairs or {})})}"
    size = f"{result['method']['layers']} layers, {result['method']['head']}" if "method" in result else "size unknown"
    return f"has {size}; training: {budget(result)}"


def budget(result: Result) -> str:
    """Format steps and time of the training, as far as they are known."""
    known = result.get("training") or {}
    steps, seconds = known.get("steps"), known.get("seconds")
    if steps is None and seconds is None:
        return "unknown"
    said = [] if steps is None else [f"{steps:,} steps"]
    if seconds is not None:
        said.append(f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s")
    return " in ".join(said)


def _negative(value: Number) -> Number:
    return None if value is None else -value


def _sum(values: Sequence[Number]) -> Number:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _ratio(above: Number, below: Number) -> Number:
    return above / below if above is not None and below else None
