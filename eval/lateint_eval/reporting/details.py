"""Section of the results page about one checkpoint: its values on every set, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from lateint_eval.formats.records import Json
from lateint_eval.reporting.claims import budget
from lateint_eval.reporting.page import Page, on, remarks
from lateint_eval.reporting.sets import MAIN
from lateint_eval.reporting.stored import Result
from lateint_eval.reporting.text import wrapped

_COLUMNS = ("set", "n", "BM25", "cosine", MAIN, "minus BM25", "minus cosine", "second measure", "bytes")


def details(page: Page, result: Result) -> list[str]:
    """Return the section's lines: heading, facts, a table with one row per set, and remarks on gain and codecs."""
    said = remarks(result)
    lines = [f"## `{result['checkpoint']}` [{result['digest'][:12]}]" + (f" ({', '.join(said)})" if said else ""), ""]
    lines += [*_facts(result), "", f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    lines += [_row(task) for task in sorted(result["tasks"], key=lambda task: not task["test"])]
    after = [*_gain(page, result), *_codecs(result)]
    return lines + (["", *after] if after else [])


def n_of(page: Page, name: str) -> str:
    """Return the number of queries of a set, as text."""
    return next((str(task["queries"]) for result in page.results if (task := on(result, name)) is not None), "-")


def _facts(result: Result) -> list[str]:
    said = [f"Evaluated by `{result['command']}` on {result['date']}, commit {result['commit']}; {result['machine']}."]
    command = (result.get("training") or {}).get("command")
    said.append(f"Training: {budget(result)}" + (f"; `{command}`." if command else "."))
    if "method" in result:
        method, settings = result["method"], result["settings"]
        said.append(
            f"Method `{method['name']}`: L = {settings['L']} of {method['layers']} layers, head `{method['head']}`, compressor "
            f"`{method['compressor']}`, codecs `{settings['codecs'] or 'none'}`; {settings['query tokens']} query and "
            f"{settings['document tokens']} document tokens."
        )
    if "speed" in result:
        said.append(_speed(result["speed"]))
    return [line for text in said for line in wrapped(f"- {text}", "  ")]


def _speed(speed: Json) -> str:
    parts = ", ".join(f"{part} {speed[f'{part}_ms']:.1f}" for part in ("fetch", "decode", "compute"))
    texts = f"{speed['candidates']:,} passages of {speed['bytes_per_document']:,.0f} bytes"
    peer = f"{speed['peer_ms']:,.0f} ms at batch size {speed['batch_size']}; threads: {speed['threads']}"
    faster = f"{speed['speedup']:.1f} times faster than the cross-encoder in the same run"
    twin = f"; timed on [{speed['of'][:12]}], whose method and settings are the same" if "of" in speed else ""
    return f"Speed: {speed['ms']:,.1f} ms for {texts} ({parts}), {faster}: {peer}{twin}."


def _row(task: Json) -> str:
    systems, (main, second) = task["systems"], task["measures"]
    ours = systems["cached"]
    low, high = ours.get("intervals", {}).get(main, (None, None))
    cells = [
        task["set"] + (" (test)" if task["test"] and "test" not in task["set"] else ""),
        str(task["queries"]),
        f"{systems['bm25'][main]:.3f}",
        f"{systems['cosine'][main]:.3f}",
        f"{ours[main]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]"),
        _interval(ours["minus_bm25"]),
        _interval(ours["minus_cosine"]),
        f"{second} {ours[second]:.3f}",
        f"{ours['bytes_per_document']:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:+.3f} [{values[1]:+.3f}, {values[2]:+.3f}]"


def _gain(page: Page, result: Result) -> list[str]:
    lines = []
    for system, label in (("cached", ""), ("full", "Without codecs: ")):
        found = page.gain(result, system)
        if found is not None:
            lines += wrapped(f"- {label}{found}.", "  ")
    return lines


def _codecs(result: Result) -> list[str]:
    """Format the change of the main measure by lossy codecs."""
    moved = {task["set"]: task["systems"]["cached"].get("minus_full") for task in result["tasks"]}
    shown = [f"{name} {values[0]:+.4f}" for name, values in moved.items() if values is not None]
    return wrapped(f"- Codecs move {MAIN} by: {', '.join(shown)}.", "  ") if shown else []
