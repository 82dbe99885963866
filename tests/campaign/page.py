"""Write the figures of the campaign into the table of its page in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
TRIED = {
    "kills": "SIGKILL of builds, deletions, compactions, seals and merges, at named points and at random times",
    "index": "SIGKILL of `lateint index`",
    "flips": "a flipped bit in a store, every document read",
    "headers": "every bit of every header and page structure",
    "truncations": "an LMDB file cut to every length",
    "memory": "builds of 10,000 and 100,000 documents",
    "replace": "another store in the place of an open one, at rest or during calls; or the store's own writer changes it",
    "writers": "two threads, or two processes, change one store, against a model in memory",
    "readers": "SIGKILL of readers, inside and outside a view, while a writer works",
    "continue": "SIGKILL, SIGINT or SIGTERM to index, add, delete, train and study, then the same command",
    "facts": "every field of `config.json` (6 families) and of the tokenizer's files (2 families) changed, one at a time",
    "shapes": "stores whose arrays the model would not write, ranked by numpy's code and by kernels",
    "bounds": "the same with kernels compiled with `NUMBA_BOUNDSCHECK=1`",
    "files": "a flipped bit in stores, checkpoints, deltas, teacher scores, graphs, settings and stages of runs, study points",
    "fuzz": "odd values in `manifest.json` and `lateint.json` under right digests",
    "links": "links, pipes, devices, sockets, folders and empty files in the place of each file",
    "terminal": "control characters in ids, texts, names and options of every verb, at a pseudo-terminal",
    "misuse": "every public call with one argument of another kind",
}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Format the sections that are in the results as a table."""
    lines = ["| section | what was tried | cases | ended in | wrong, lost, untyped, signals |", "|---|---|---|---|---|"]
    for name, tried in TRIED.items():
        if name in results:
            lines.append(f"| {name} | {tried} | {' | '.join(_cells(results[name]))} |")
    return "\n".join(lines)


def write(page: Path, results: dict[str, dict[str, Any]]) -> None:
    """Replace the table between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    made = f"{BEGIN}\n{table(results)}\n{END}"
    page.write_text(re.sub(rf"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8")


def _cells(result: dict[str, Any]) -> list[str]:
    """The number of cases, the good outcomes, and the bad ones."""
    if "wrong" in result:
        bad = sum(result[name] for name in ("wrong", "lost", "untyped", "signals"))
        return [f"{result['cases']:,}", _grouped(result["outcomes"]), str(bad)]
    if "kills" in result:
        return [f"{result['kills']:,}", "equal digests", str(len(result["failures"]))]
    if "outcomes" in result:
        bad = sum(result["outcomes"][name] for name in ("missing", "untyped", "wrong", "death"))
        return [
            f"{result['cases']:,}",
            f"{result['outcomes']['right']:,} right, {result['outcomes']['error']:,} errors",
            str(bad),
        ]
    return ["2", f"{result['grown MB']} MB more for ten times the documents", str(len(result["failures"]))]


def _grouped(outcomes: dict[str, int]) -> str:
    """Good outcomes, the typed errors together."""
    errors = sum(count for name, count in outcomes.items() if name[0].isupper())
    found = {"typed errors": errors} if errors else {}
    for name, count in outcomes.items():
        if not name[0].isupper():
            short = name.partition(":")[2].strip() if name.endswith((": found", ": right")) else name.partition(":")[0]
            found[short] = found.get(short, 0) + count
    return ", ".join(f"{count:,} {name}" for name, count in sorted(found.items(), key=lambda pair: -pair[1]))
