"""`lateint train`: options into a training plan, and the messages of its run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lateint.cli.printing import echo
from lateint.errors import InputError
from lateint.train.plan import DEFAULT_BASE, DEFAULT_STEPS, Budget, TrainingPlan
from lateint.train.progress import TrainingProgress

if TYPE_CHECKING:
    from tqdm import tqdm

    from lateint.train.data import TrainingSource
    from lateint.train.history import Step

_LINES = 20  # most progress lines that a run writes to a log
_PRECISIONS = ("float32", "bfloat16")
_WEIGHTS = ("float32", "float16", "int8")


@click.command("train")
@click.option("--method", metavar="NAME", help="Preset to train; see `lateint methods`.")
@click.option("--recipe", metavar="NAME", help="One of our recipes: sets method, base, teacher, steps and shares of sources.")
@click.option("--base", "--model", metavar="NAME", help=f"Encoder or checkpoint to start from.  [default: {DEFAULT_BASE}]")
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="PATH",
    help="Training data: a BEIR-like folder with runs/, a file of sentence pairs, or a .txt file with a text per line; "
    "repeatable.",
)
@click.option("--split", default="train", show_default=True, help="Split of the data to train on.")
@click.option("--output", required=True, type=click.Path(), help="Folder for the checkpoint.")
@click.option("--offline-layers", metavar="L", help="Layers that run per document: a number, or e.g. T/2, T-2.")
@click.option("--compressor", metavar="PART", help='Compressor to train, e.g. "bottleneck:width=128", or none.')
@click.option("--query-max-length", type=click.IntRange(min=3), metavar="N", help="Longest query in tokens.")
@click.option("--doc-max-length", type=click.IntRange(min=3), metavar="N", help="Longest document in tokens.")
@click.option("--steps", type=click.IntRange(min=1), help=f"Steps of each stage.  [default: {DEFAULT_STEPS}, or the recipe's]")
@click.option("--minutes", type=float, default=float("inf"), help="End each stage by then, with a learning rate of zero.")
@click.option("--teacher", metavar="NAME", help="Model whose scores the student learns from.  [default: the student itself]")
@click.option(
    "--partner",
    "partners",
    multiple=True,
    metavar="NAME=SHARE",
    help="Another teacher and its share of the scores, e.g. my-encoder=0.4; the rest is the teacher's; repeatable.",
)
@click.option(
    "--scores",
    type=click.Path(),
    help="File that keeps the teacher's scores, for this and later students; those of partners in FILE-2, ...",
)
@click.option("--spans", type=click.IntRange(min=1), metavar="N", help="Add N queries cut from the texts of each folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of sampling and dropout.")
@click.option("--precision", type=click.Choice(_PRECISIONS), help="Precision of the layers in training.  [default: float32]")
@click.option("--save-every", type=click.IntRange(min=1), default=100, show_default=True, help="Steps between saved states.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads of torch.")
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cpu]")
@click.option("--weights", type=click.Choice(_WEIGHTS), help="Type of the saved weights.  [default: float32]")
@click.option(
    "--delta/--full",
    default=None,
    help="Save the differences from the base, or all weights.  [default: delta if the base is a name]",
)
def command(
    method: str | None, recipe: str | None, steps: int | None, output: str, partners: tuple[str, ...], **options: object
) -> None:
    """Train a method and save a checkpoint with its loss curves.

    To resume an interrupted run, repeat its command.

    \b
    Example:
      lateint train --recipe evidence --data squad --data medquad --data selqa --output my-evidence
      lateint train --method mice --base all-MiniLM-L6-v2 --teacher default --data squad --steps 300 --output mice-squad
    """
    plan = make_plan(method, recipe, steps, options | {"partners": tuple(map(_partner, partners)) or None})
    from lateint.train.run import run_plan

    with _progress(plan.budgets) as progress:
        result = run_plan(plan, lambda: read_sources(plan), output, progress)
    if not result.has_curves:
        echo("loss curves were not drawn; for matplotlib, run: pip install 'lateint[train]'", err=True)
    size = sum(file.stat().st_size for file in Path(output).iterdir() if file.is_file())
    echo(f"saved {output} ({size / 1e6:.1f} MB)", err=True)


def make_plan(method: str | None, recipe: str | None, steps: int | None, options: Mapping[str, object]) -> TrainingPlan:
    """Make the plan that the options describe; those that are not given keep the defaults of method or recipe.

    Raises: click.UsageError for options that contradict each other; InputError for an unknown method or recipe.
    """
    if recipe is not None and method is None:
        plan = TrainingPlan.from_recipe(recipe)
    elif method is not None and recipe is None:
        plan = TrainingPlan.from_method(method)
    else:
        raise click.UsageError("name one of --method and --recipe")
    plan = plan if steps is None else plan.with_steps(steps)
    given = {name: value for name, value in options.items() if value is not None}
    plan = replace(plan, **given)  # type: ignore[arg-type]  # click has checked the types
    try:
        plan.check()
    except InputError as error:
        raise click.UsageError(str(error)) from error
    return plan


def _partner(text: str) -> tuple[str, float]:
    """Parse `NAME=SHARE`. Raises: click.UsageError."""
    name, _, share = text.rpartition("=")
    try:
        return name, float(share if name else "")
    except ValueError as error:
        raise click.UsageError(f"--partner {text}: expected a model and its share of the scores, such as NAME=0.4") from error


def read_sources(plan: TrainingPlan) -> list[TrainingSource]:
    """Read the training sources of a plan, and add span queries of each ranking source where it asks for them."""
    from lateint.train.data import TrainingSet
    from lateint_eval.datasets.sources import training_source
    from lateint_eval.datasets.spans import span_queries

    sources = [training_source(path, plan.split, plan.seed) for path in plan.data]
    if plan.spans:
        sources += [span_queries(source, plan.spans, plan.seed) for source in sources if isinstance(source, TrainingSet)]
    return sources


class _Messages(TrainingProgress):
    """Writes the messages that every run has to standard error."""

    def resumed(self, folder: Path) -> None:
        echo(f"resuming the interrupted run in {folder}", err=True)

    def initialised(self, qualities: Mapping[str, float]) -> None:
        for name, value in qualities.items():
            echo(f"fitted: {name} {value:.4f}", err=True)

    def trained(self, history: Sequence[Sequence[Step]]) -> None:
        for stage, steps in enumerate(history):
            done = f"{len(steps)} steps in {steps[-1].seconds:.0f} s, {_means(steps[-20:])}" if steps else "nothing to train"
            echo(f"stage {stage}: {done}", err=True)


class _Log(_Messages):
    """Writes a line whenever another part of a stage's budget is used up; all stages share `_LINES` lines."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self.budgets = budgets
        self.parts = [0] * len(budgets)  # parts of each stage that have a line
        self.unwritten: list[list[Step]] = [[] for _ in budgets]

    def step(self, stage: int, step: Step) -> None:
        budget, steps = self.budgets[stage], self.unwritten[stage]
        steps.append(step)
        share = budget.share(step.step + 1, step.seconds)
        part = int(_LINES / len(self.budgets) * share)
        if self.parts[stage] < part and share < 1:  # the end of a stage has a line of its own
            self.parts[stage] = part
            at = f"step {step.step + 1} of {budget.steps}"
            echo(f"stage {stage}: {at}, {_means(steps)}, {step.seconds:.0f} s", err=True)
            steps.clear()


class _Bar(_Messages):
    """Moves a bar with every step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.bar: tqdm[Any] | None = None

    def initialised(self, qualities: Mapping[str, float]) -> None:
        from tqdm import tqdm

        super().initialised(qualities)
        self.bar = tqdm(total=self.steps, unit=" steps", file=sys.stderr)

    def step(self, stage: int, step: Step) -> None:
        assert self.bar is not None
        losses = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
        self.bar.set_postfix_str(losses, refresh=False)
        self.bar.update()

    def trained(self, history: Sequence[Sequence[Step]]) -> None:
        self.close()
        super().trained(history)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextmanager
def _progress(budgets: Sequence[Budget]) -> Iterator[TrainingProgress]:
    """A bar at a terminal; elsewhere a few lines for a log."""
    if not sys.stderr.isatty():
        yield _Log(budgets)
        return
    with closing(_Bar(sum(budget.steps for budget in budgets))) as bar:
        yield bar


def _means(steps: Sequence[Step]) -> str:
    """The mean of each loss, before its weight, over these steps."""
    means = {name: sum(step.losses[name] for step in steps) / len(steps) for name in steps[0].losses}
    return ", ".join(f"{name} {value:.4f}" for name, value in means.items()) + f" (mean of the last {len(steps)})"
