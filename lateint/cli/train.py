"""`lateint train`: a method, or a recipe of ours, on ranking data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lateint.model import Model
    from lateint.train.data import TrainingSet
    from lateint.train.loop import Step


@click.command("train")
@click.option("--method", metavar="NAME", help="A preset; see `lateint methods`.")
@click.option("--recipe", metavar="NAME", help="A recipe of ours (`default`): method, base, steps and shares in one.")
@click.option("--base", "--model", metavar="NAME", help="Encoder to start from.  [default: all-MiniLM-L6-v2]")
@click.option("--data", multiple=True, required=True, metavar="DIR", help="BEIR-like folder with runs/; repeatable.")
@click.option("--split", default="train", show_default=True, help="Split of the data.")
@click.option("--output", required=True, type=click.Path(), help="Folder of the checkpoint.")
@click.option("--offline-layers", metavar="L", help="Layers run per document.")
@click.option("--query-max-length", type=click.IntRange(min=3), metavar="N")
@click.option("--doc-max-length", type=click.IntRange(min=3), metavar="N")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of every stage.  [default: 500, or the recipe's]")
@click.option("--minutes", type=float, default=float("inf"), help="Stop a stage after so long; the rate is at zero then.")
@click.option("--teacher", metavar="NAME", help="A model whose scores guide losses that need one. Default: the start itself.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads of torch.")
@click.option(
    "--delta/--full",
    default=None,
    help="Save a delta over the base, or everything.  [default: delta if the base is a name]",
)
def command(data: tuple[str, ...], split: str, output: str, seed: int, **options: Any) -> None:
    """Train a method and save a checkpoint with its loss curve.

    \b
    Example:
      lateint train --recipe default --data squad --data medquad --data selqa --output my-default
      lateint train --method mice --base all-MiniLM-L6-v2 --data squad --steps 300 --output mice-squad
    """
    from lateint.train.prepare import prepare
    from lateint_eval.datasets.folder import training_set

    model, shares, steps = _start(options)
    sets = [training_set(folder, split) for folder in data]
    fitted = prepare(model, sets, seed)
    for name, value in fitted.items():
        click.echo(f"prepared: {name} {value:.4f}", err=True)
    history = _train(model, sets, shares, steps, seed, options)
    _save(model, Path(output), history, options)


def _start(options: dict[str, Any]) -> tuple[Model, dict[str, int], tuple[int, ...]]:
    """The model at step 0, the sources' shares, and steps for every stage."""
    from lateint.checkpoint import load_model
    from lateint.train.recipes import recipe

    if (options["method"] is None) == (options["recipe"] is None):
        raise click.UsageError("name one of --method and --recipe")
    chosen = None if options["recipe"] is None else recipe(options["recipe"])
    options["base"] = options["base"] or ("all-MiniLM-L6-v2" if chosen is None else chosen.base)
    lengths = {key: options[key] for key in ("offline_layers", "query_max_length", "doc_max_length", "threads")}
    model = load_model(options["base"], options["method"] if chosen is None else chosen.method, **lengths)
    stages = len(model.method.stages)
    planned = chosen.steps if chosen is not None else (500,) * stages
    steps = (options["steps"],) * stages if options["steps"] is not None else planned
    return model, {} if chosen is None else chosen.shares, steps


def _train(
    model: Model,
    sets: list[TrainingSet],
    shares: dict[str, int],
    steps: tuple[int, ...],
    seed: int,
    options: dict[str, Any],
) -> list[list[Step]]:
    from tqdm import tqdm

    from lateint.train.data import Sampler
    from lateint.train.loop import Budget, train_stage

    teacher = None if options["teacher"] is None else _teacher(options)
    history = []
    for number, (stage, count) in enumerate(zip(model.method.stages, steps, strict=True)):
        sampler = Sampler(sets, stage.pool or stage.negatives, shares=shares, seed=seed + number)
        with tqdm(total=count, unit=" steps", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:

            def watch(step: Step, bar: Any = bar) -> None:
                bar.set_postfix_str(f"loss {step.loss:.3f} distill {step.distill:.3f}", refresh=False)
                bar.update()

            history.append(train_stage(model, stage, sampler, Budget(count, options["minutes"]), teacher=teacher, watch=watch))
        last = history[-1][-20:]
        mean = sum(step.loss for step in last) / len(last)
        click.echo(f"stage {number}: {len(history[-1])} steps in {history[-1][-1].seconds:.0f} s, loss {mean:.4f}", err=True)
    return history


def _teacher(options: dict[str, Any]) -> Model:
    """The model that guides: a lateint checkpoint as it is, a classifier unsplit, a bare encoder by its cosine."""
    from lateint.checkpoint import load_model

    lengths = {key: options[key] for key in ("query_max_length", "doc_max_length")}
    found = load_model(options["teacher"], **lengths)
    split = not found.checkpoint and found.method.head.name == "joint_layers"
    return load_model(options["teacher"], "cross_encoder", **lengths) if split else found


def _save(model: Model, output: Path, history: list[list[Step]], options: dict[str, Any]) -> None:
    from dataclasses import asdict

    from lateint.checkpoint import save

    delta = options["delta"] if options["delta"] is not None else not Path(options["base"]).exists()
    save(model, output, base=options["base"] if delta else None)
    curve = [[asdict(step) for step in stage] for stage in history]
    (output / "history.json").write_text(json.dumps(curve), encoding="utf-8")
    size = sum(file.stat().st_size for file in output.iterdir())
    click.echo(f"saved {output} ({size / 1e6:.1f} MB)", err=True)
