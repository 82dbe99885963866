"""`python -m tests.campaign`: break what can be broken by the thousand; exit code 1 if a guarantee does not hold.

All random choices come from one seed, which is printed. `--only flips --case 17 --seed S` repeats one case.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from tests.campaign import damage, index, kills, memory, page
from tests.campaign.pool import run_cases
from tests.campaign.sections import SECTIONS, run_numbered
from tests.campaign.stores import make_stores, scratch
from tests.campaign.summary import summarise

NAMES = ["kills", "index", *damage.SECTIONS, "memory", *SECTIONS]


def run_damage(name: str, seed: int, scale: float, case: int | None) -> dict[str, Any]:
    """Run the section flips, headers or truncations."""
    with scratch(fast=True) as folder:
        root = folder / "stores"
        make_stores(root)
        cases = damage.SECTIONS[name](root, seed, scale if case is None else 1.0)
        if case is not None:
            cases = [chosen for chosen in cases if chosen.number == case]
        return summarise(root, cases, run_cases(root, cases))


def run_section(name: str, seed: int, scale: float, case: int | None) -> dict[str, Any]:
    """Run one section and add its time."""
    start = time.perf_counter()
    others = {"kills": kills.run, "index": index.run, "memory": memory.run}
    others |= {name: partial(run_numbered, name) for name in SECTIONS}
    result = others[name](seed, scale, case) if name in others else run_damage(name, seed, scale, case)
    return result | {"seed": seed, "scale": scale, "seconds": round(time.perf_counter() - start, 1)}


def describe(name: str, result: dict[str, Any]) -> str:
    """Format the result of a section as one line."""
    shown = {key: value for key, value in result.items() if key not in ("ok", "failures", "seconds", "seed", "scale")}
    words = [f"{key} {value}" if not isinstance(value, dict) else _words(value) for key, value in shown.items() if value != {}]
    return f"{name:<12}{'PASS' if result['ok'] else 'FAIL'}  {'; '.join(words)}; {result['seconds']} s"


def _words(counts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in counts.items())


@click.command(help=__doc__)
@click.option("--scale", default=1.0, show_default=True, help="Fraction of the cases to run.")
@click.option("--seed", type=int, help="Default: random.")
@click.option("--only", multiple=True, type=click.Choice(NAMES))
@click.option("--case", type=int, help="Run this case of the one section named by --only.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Update the sections that were run in this file.")
@click.option("--page", "shown", type=click.Path(path_type=Path), help="Write the table of the file of --json into this page.")
def main(
    scale: float, seed: int | None, only: tuple[str, ...], case: int | None, file: Path | None, shown: Path | None
) -> None:
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    if case is not None and len(only) != 1:
        raise click.UsageError("--case needs exactly one --only")
    click.echo(f"seed {seed}, scale {scale}")
    results = {}
    for name in only or NAMES:
        results[name] = run_section(name, seed, scale, case)
        click.echo(describe(name, results[name]))
        for failure in results[name]["failures"]:
            click.echo(f"  {json.dumps(failure)}")
        sys.stdout.flush()
        if file is not None:
            write_results(file, {name: results[name]})
    if file is not None and shown is not None:
        page.write(shown, json.loads(file.read_text(encoding="utf-8")))
    sys.exit(0 if all(result["ok"] for result in results.values()) else 1)


def write_results(file: Path, results: dict[str, dict[str, Any]]) -> None:
    """Write each section with its commit and machine to a file; keep the sections that were not run."""
    from benchmarks._harness import describe as describe_machine

    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    after = before | {name: describe_machine() | result for name, result in results.items()}
    file.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
