"""`lateint train`: a method, or a recipe of ours, on ranking lists or sentence pairs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lateint.model.model import Model
    from lateint.train.budget import Budget, Setup
    from lateint.train.history import Step

STEPS = 500
LINES = 20  # of progress, at most, in a log of a run
PRECISIONS = ("float32", "bfloat16")
WEIGHTS = ("float32", "float16", "int8")


@click.command("train")
@click.option("--method", metavar="NAME", help="A preset; see `lateint methods`.")
@click.option("--recipe", metavar="NAME", help="A recipe of ours: method, base, teacher, steps and shares in one.")
@click.option("--base", "--model", metavar="NAME", help="Encoder or checkpoint to start from.  [default: all-MiniLM-L6-v2]")
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="PATH",
    help="BEIR-like folder with runs/, a file of pairs, or texts in a .txt, one a line; repeatable.",
)
@click.option("--split", default="train", show_default=True, help="Split of the data.")
@click.option("--output", required=True, type=click.Path(), help="Folder of the checkpoint.")
@click.option("--offline-layers", metavar="L", help="Layers run per document.")
@click.option("--compressor", metavar="PART", help='Such as "bottleneck:width=128", or none.')
@click.option("--query-max-length", type=click.IntRange(min=3), metavar="N")
@click.option("--doc-max-length", type=click.IntRange(min=3), metavar="N")
@click.option("--steps", type=click.IntRange(min=1), help=f"Steps of every stage.  [default: {STEPS}, or the recipe's]")
@click.option("--minutes", type=float, default=float("inf"), help="Stop a stage after so long; the rate is at zero then.")
@click.option("--teacher", metavar="NAME", help="A model whose scores guide losses that need one. Default: the start itself.")
@click.option("--scores", type=click.Path(), help="File that keeps the teacher's scores, for every student after.")
@click.option("--spans", type=click.IntRange(min=1), metavar="N", help="Add N queries that are spans of each folder's texts.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--precision", type=click.Choice(PRECISIONS), help="Of the layers while training.  [default: float32]")
@click.option("--save-every", type=click.IntRange(min=1), default=100, show_default=True, help="Steps between saved states.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads of torch.")
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cpu]")
@click.option("--weights", type=click.Choice(WEIGHTS), help="Of the saved tensors; int8 for deltas.  [default: float32]")
@click.option(
    "--delta/--full",
    default=None,
    help="Save a delta over the base, or everything.  [default: delta if the base is a name]",
)
def command(data: tuple[str, ...], split: str, output: str, **options: Any) -> None:
    """Train a method and save a checkpoint with its loss curves.

    A run that was interrupted goes on when the same command is repeated.

    \b
    Example:
      lateint train --recipe evidence --data squad --data medquad --data selqa --output my-evidence
      lateint train --method mice --base all-MiniLM-L6-v2 --teacher default --data squad --steps 300 --output mice-squad
    """
    from lateint.train.initialise import initialise
    from lateint.train.run import check

    model, shares, budgets = _start(options)
    sets = _sources(data, split, options)
    check(model, sets, taught=options["teacher"] is not None)
    setup = _setup(Path(output), budgets, shares, options)
    _announce(_claim(setup.folder, model, data, split, options), setup)
    for name, value in initialise(model, sets, options["seed"]).items():
        click.echo(f"prepared: {name} {value:.4f}", err=True)
    history = _train(model, sets, setup, options)
    _save(model, Path(output), history, options)
    shutil.rmtree(setup.folder)


def _sources(data: tuple[str, ...], split: str, options: dict[str, Any]) -> list[Any]:
    from lateint.train.data import TrainingSet
    from lateint_eval.datasets.sources import training_source
    from lateint_eval.datasets.spans import span_queries

    sets = [training_source(path, split, options["seed"]) for path in data]
    if options["spans"]:
        sets += [span_queries(s, options["spans"], options["seed"]) for s in sets if isinstance(s, TrainingSet)]
    return sets


def _start(options: dict[str, Any]) -> tuple[Model, dict[str, int] | None, tuple[Budget, ...]]:
    """The model at step 0, the sources' shares, and a budget for every stage."""
    from lateint.loading.load import load_model
    from lateint.train.budget import Budget
    from lateint.train.recipes.named import recipe

    if (options["method"] is None) == (options["recipe"] is None):
        raise click.UsageError("name one of --method and --recipe")
    chosen = None if options["recipe"] is None else recipe(options["recipe"])
    if chosen is not None:
        options["base"] = options["base"] or chosen.base
        options["teacher"] = options["teacher"] or chosen.teacher
        options["precision"] = options["precision"] or chosen.precision
        options["spans"] = options["spans"] or chosen.spans
        options["weights"] = options["weights"] or chosen.weights
    options["base"] = options["base"] or "all-MiniLM-L6-v2"
    if options["weights"] == "int8" and not _delta(options):
        raise click.UsageError("--weights int8 keeps differences from a base: use --delta")
    keys = ("offline_layers", "query_max_length", "doc_max_length", "compressor", "threads", "device")
    changes = {key: options[key] for key in keys if options[key] is not None}
    model = load_model(options["base"], options["method"] if chosen is None else chosen.method, **changes)
    stages = len(model.method.stages)
    planned = chosen.steps if chosen is not None else (STEPS,) * stages
    steps = (options["steps"],) * stages if options["steps"] is not None else planned
    budgets = tuple(Budget(count, options["minutes"]) for count in steps)
    return model, None if chosen is None else chosen.shares, budgets


def _setup(output: Path, budgets: tuple[Budget, ...], shares: dict[str, int] | None, options: dict[str, Any]) -> Setup:
    from lateint.train.budget import Setup

    return Setup(
        folder=output / ".training",
        budgets=budgets,
        shares=shares,
        seed=options["seed"],
        precision=options["precision"] or "float32",
        save_every=options["save_every"],
        on_gpu=str(options["device"] or "cpu") != "cpu",
    )


def _claim(folder: Path, model: Model, data: tuple[str, ...], split: str, options: dict[str, Any]) -> bool:
    from lateint.model.digests import digest_tensors
    from lateint.train.run import claim

    keys = ("method", "recipe", "base", "teacher", "spans", "steps", "minutes", "seed", "precision")
    settings: dict[str, Any] = {key: str(options[key]) for key in keys} | {"data": sorted(map(str, data)), "split": split}
    settings |= {"design": model.method.to_json(), "start": digest_tensors(model.state_dict())}
    return claim(folder, settings)


def _announce(resumed: bool, setup: Setup) -> None:
    if resumed:
        click.echo(f"going on with the interrupted run in {setup.folder}", err=True)


def _train(model: Model, sets: list[Any], setup: Setup, options: dict[str, Any]) -> list[list[Step]]:
    from lateint.train.run import train
    from lateint.train.scores import Scores, identity

    teacher = None if options["teacher"] is None else _teacher(options)
    if options["scores"] is not None and teacher is None:
        raise click.UsageError("--scores keeps the scores of a teacher; name one with --teacher")
    kept: Any = nullcontext() if options["scores"] is None else Scores(options["scores"], identity(teacher))  # type: ignore[arg-type]
    with kept as scores, _watching(setup.budgets) as watch:
        history = train(model, sets, setup, teacher=teacher, scores=scores, watch=watch)
    for number, steps in enumerate(history):
        _summarise(number, steps)
    return history


@contextmanager
def _watching(budgets: Sequence[Budget]) -> Iterator[Callable[[int, Step], None]]:
    """What to call after every step: it moves a bar on a terminal, and elsewhere writes a line now and then."""
    if not sys.stderr.isatty():
        yield _lines(budgets)
        return
    from tqdm import tqdm

    with tqdm(total=sum(budget.steps for budget in budgets), unit=" steps", file=sys.stderr) as bar:

        def watch(number: int, step: Step) -> None:
            bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in step.losses.items()), refresh=False)
            bar.update()

        yield watch


def _lines(budgets: Sequence[Budget]) -> Callable[[int, Step], None]:
    """Write a line whenever another part of a stage's budget is used up; the stages share `LINES`."""
    told = [0] * len(budgets)
    untold: list[list[Step]] = [[] for _ in budgets]

    def watch(number: int, step: Step) -> None:
        budget, steps = budgets[number], untold[number]
        steps.append(step)
        share = budget.share(step.step + 1, step.seconds)
        part = int(LINES / len(budgets) * share)
        if told[number] < part and share < 1:  # the end of a stage has a line of its own
            told[number] = part
            at = f"step {step.step + 1} of {budget.steps}"
            click.echo(f"stage {number}: {at}, {_means(steps)}, {step.seconds:.0f} s", err=True)
            steps.clear()

    return watch


def _summarise(number: int, steps: list[Step]) -> None:
    if not steps:
        click.echo(f"stage {number}: no step fitted its budget", err=True)
        return
    click.echo(f"stage {number}: {len(steps)} steps in {steps[-1].seconds:.0f} s, {_means(steps[-20:])}", err=True)


def _means(steps: Sequence[Step]) -> str:
    """Each loss, before its weight, as the mean of some steps."""
    means = {name: sum(step.losses[name] for step in steps) / len(steps) for name in steps[0].losses}
    return ", ".join(f"{name} {value:.4f}" for name, value in means.items()) + f" (mean of the last {len(steps)})"


def _teacher(options: dict[str, Any]) -> Model:
    """The model that guides: a lateint checkpoint as it is, a classifier unsplit, a bare encoder by its cosine."""
    from lateint.loading.load import load_model
    from lateint.methods.method import Method

    chosen = {key: options[key] for key in ("query_max_length", "doc_max_length", "device")}
    lengths = {key: value for key, value in chosen.items() if value is not None}
    if isinstance(options["teacher"], Method):
        return load_model(options["base"], options["teacher"], **lengths)
    found = load_model(options["teacher"], **lengths)
    split = not found.checkpoint and found.method.head.name == "joint_layers"
    return load_model(options["teacher"], "cross_encoder", **lengths) if split else found


def _delta(options: dict[str, Any]) -> bool:
    """Whether a delta is saved: if asked for, else if the base goes by a name that others have too."""
    from lateint.loading.load import base_of

    return options["delta"] if options["delta"] is not None else not Path(base_of(options["base"])).exists()


def _save(model: Model, output: Path, history: list[list[Step]], options: dict[str, Any]) -> None:
    import torch

    from lateint.loading.delta import save_delta
    from lateint.loading.load import base_of
    from lateint.model.saving import save
    from lateint.train.history import write_json, write_png

    dtype = getattr(torch, options["weights"] or "float32")
    if _delta(options):
        save_delta(model, output, base_of(options["base"]), dtype=dtype)
    else:
        save(model, output, dtype=dtype)
    write_json(history, output / "history.json")
    if not write_png(history, output / "history.png"):
        click.echo("no picture of the loss curves: pip install 'lateint[train]' brings matplotlib", err=True)
    size = sum(file.stat().st_size for file in output.iterdir() if file.is_file())
    click.echo(f"saved {output} ({size / 1e6:.1f} MB)", err=True)
