"""`lateint methods`: list the presets."""

from __future__ import annotations

import json

import click

from lateint.cli.printing import echo


@click.command("methods")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with all settings of each preset.")
def command(as_json: bool) -> None:
    """List the published methods: what each stores, what it runs per query, and its source.

    \b
    Example:
      lateint methods
    """
    from lateint.methods.presets import PRESETS

    if as_json:
        echo(json.dumps([method.to_json() for method in PRESETS.values()], indent=2))
        return
    for method in PRESETS.values():
        echo(f"{method.name:<14} L = {method.offline_layers!s:<5} {method.summary}")
        echo(f"{'':<14} {'':<9} {method.source}")
