"""A training run: load what a plan names, train the stages of its method one after the other, save the checkpoint.

An interrupted run resumes where it stopped when it is started again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lateint.backbone.seeding import own_defaults
from lateint.errors import InputError
from lateint.loading.delta import save_delta
from lateint.loading.load import base_of
from lateint.loading.pretrained import quiet
from lateint.methods.method import Stage
from lateint.model.activation import trained_activation
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.model.saving import save
from lateint.train.data import Sampler, TextSet, TrainingSet, TrainingSource
from lateint.train.history import StageHistory, Step, saved_steps, write_json, write_png
from lateint.train.initialise import initialise
from lateint.train.objective import Objective
from lateint.train.parameters import parameter_groups
from lateint.train.plan import Budget, TrainingPlan
from lateint.train.progress import TrainingProgress
from lateint.train.resume import claim, keep_stage, release, restore_stage, saved_states, stage_folder
from lateint.train.scores import Scores, identity
from lateint.train.teacher import Ensemble, Teacher, load_teachers
from lateint.train.trainer import Examples, StageTrainer, arguments, check_extra

Sources = Sequence[TrainingSource] | Callable[[], Sequence[TrainingSource]]

_FITTED_ON = 4_000  # texts that a loss is fitted on, e.g. for principal directions


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The trained model, the steps of each stage, and whether loss curves were drawn (matplotlib is optional)."""

    model: Model
    history: list[list[Step]]
    has_curves: bool


def run_plan(
    plan: TrainingPlan, sources: Sources, output: str | os.PathLike[str], progress: TrainingProgress | None = None
) -> TrainingResult:
    """Train a plan and save its checkpoint in the folder `output`, with `history.json` and `history.png`.

    If the run is interrupted, the same call resumes it: its state is kept in `output/.training` until the end.

    Args: `sources`, the training sources, or a function that reads them once the base is loaded.
    Raises: InputError for settings, data or stages that do not fit; ModelError, DamagedCheckpoint for a base or teacher that
    cannot be loaded; StoreMismatch for scores of another teacher; TrainingError for a loss that is not finite;
    MissingExtra without accelerate.
    """
    plan.check()
    progress = progress or TrainingProgress()
    model = plan.load_student()
    data = sources() if callable(sources) else sources
    check(model, data, has_teacher=plan.teacher is not None)
    output = Path(output)
    folder = output / ".training"
    with ExitStack() as files:
        teachers = [(model, _scores(plan, number, model, files)) for number, model in enumerate(load_teachers(plan))]
        if claim(folder, plan.facts(model)):
            progress.resumed(folder)
        progress.initialised(initialise(model, data, plan.seed))
        teacher, scores = teachers[0] if teachers else (None, None)
        history = train(model, data, plan, folder, teacher=teacher, scores=scores, partners=teachers[1:], on_step=progress.step)
    progress.trained(history)
    has_curves = _save(model, plan, output, history)
    release(folder)
    return TrainingResult(model, history, has_curves)


def _scores(plan: TrainingPlan, number: int, teacher: Model, files: ExitStack) -> Scores | None:
    """Open the file that keeps the scores of teacher `number` of a plan; None if the plan names no file."""
    if plan.scores is None:
        return None
    name = plan.scores if number == 0 else f"{plan.scores}-{number + 1}"
    return files.enter_context(Scores(name, identity(teacher)))


def _save(model: Model, plan: TrainingPlan, output: Path, history: list[list[Step]]) -> bool:
    """Write checkpoint and history. Returns: False if no loss curves were drawn."""
    dtype = getattr(torch, plan.weights)
    if plan.saves_delta:
        save_delta(model, output, base_of(plan.base), dtype=dtype)
    else:
        save(model, output, dtype=dtype)
    write_json(history, output / "history.json")
    return write_png(history, output / "history.png")


@own_defaults()
def train(
    model: Model,
    sources: Sequence[TrainingSource],
    plan: TrainingPlan,
    folder: Path,
    *,
    teacher: Model | None = None,
    scores: Scores | None = None,
    partners: Sequence[tuple[Model, Scores | None]] = (),
    on_step: Callable[[int, Step], None] | None = None,
) -> list[list[Step]]:
    """Train a model in place, through all stages of its method, with the budgets and settings of a plan.

    Args: `folder` keeps states to resume from; `teacher` scores lists for losses that need one (default: the model as it is
    when a stage begins); `scores` keeps them on disk; `partners` are the models of `plan.partners`, in their order, and what
    keeps their scores; `on_step` is called with the stage's number after each step.
    Returns: the steps of each stage; none for a stage of a compressor that the model does not have.
    Raises: InputError for data, stages or budgets that do not fit; TrainingError for a loss that is not finite;
    StoreMismatch for scores of another teacher; MissingExtra without accelerate.
    """
    stages = model.method.stages
    if len(stages) != len(plan.budgets):
        raise InputError(f"{len(plan.budgets)} budgets for the {len(stages)} stages of method {model.method.name!r}")
    history: list[list[Step]] = []
    for number, (stage, budget) in enumerate(zip(stages, plan.budgets, strict=True)):
        steps = [] if not _has_work(model, stage) else restore_stage(model, folder, number)
        if steps is None:
            run = _StageRun(number, budget, stage_folder(folder, number), None if on_step is None else partial(on_step, number))
            steps = _train_stage(model, sources, plan, run, ((teacher, scores), *partners))
            keep_stage(model, folder, number, steps)
        history.append(steps)
    model.activation = trained_activation(model.method)
    model.requires_grad_(True).eval()
    return history


def check(model: Model, sources: Sequence[TrainingSource], *, has_teacher: bool) -> None:
    """Refuse stages and data that could not be trained to the end, before anything is written.

    Raises: InputError; MissingExtra without accelerate.
    """
    check_extra()
    for stage in model.method.stages:
        if _has_work(model, stage):
            objective = Objective(stage, taught=has_teacher)
            _check_texts(objective, sources)
            _check_labels(objective, sources)
            Sampler(sources, stage.pool or stage.negatives)
            parameter_groups(model, stage)
    model.requires_grad_(True)


def _check_texts(objective: Objective, sources: Sequence[TrainingSource]) -> None:
    """Refuse a source of texts alone for a loss that compares candidates. Raises: InputError."""
    scored = [name for name, loss in zip(objective.names, objective.losses, strict=True) if loss.needs_scores]
    alone = [source.name for source in sources if isinstance(source, TextSet)]
    if scored and alone:
        raise InputError(f"{alone[0]} holds texts alone, but loss {scored[0]!r} compares candidates; give lists or pairs")


def _check_labels(objective: Objective, sources: Sequence[TrainingSource]) -> None:
    """Refuse lists without labels for a stage that asks no teacher. Raises: InputError."""
    unlabelled = [source.name for source in sources if isinstance(source, TrainingSet) and not source.is_labelled]
    if unlabelled and not objective.needs_teacher_scores:
        raise InputError(
            f"training set {unlabelled[0]!r} has no judgements (qrels), and no loss of this stage reads a teacher's scores; "
            "add judgements, or a method with a loss such as 'kl'"
        )


def _has_work(model: Model, stage: Stage) -> bool:
    """False for a stage that trains a compressor alone, if the model has none."""
    return model.compressor is not None or set(stage.train) != {"compressor"}


@dataclass(frozen=True, slots=True)
class _StageRun:
    """One stage in one run: its number, budget and folder of saved states, and what is called after each step."""

    number: int
    budget: Budget
    folder: Path
    on_step: Callable[[Step], None] | None


def _train_stage(
    model: Model,
    sources: Sequence[TrainingSource],
    plan: TrainingPlan,
    run: _StageRun,
    teachers: Sequence[tuple[Model | None, Scores | None]],
) -> list[Step]:
    """Train one stage from its latest saved state, or from the start. Returns: all its steps."""
    stage, teacher = model.method.stages[run.number], teachers[0][0]
    objective = Objective(stage, taught=teacher is not None)
    sampler = Sampler(sources, stage.pool or stage.negatives, shares=plan.shares, seed=plan.seed + run.number)
    saved = next(saved_states(run.folder), None)
    history = StageHistory(run.budget, run.on_step, [] if saved is None else saved_steps(saved))
    data = Examples(sampler, run.budget.steps * stage.queries)
    devices = [] if model.device.type == "cpu" else [model.device]
    bypass = nullcontext() if stage.compressed else model.uncompressed()
    with torch.random.fork_rng(devices=devices), bypass, quiet():  # the caller's random state stays as it is
        trainer = StageTrainer(model, objective, history, arguments(run.folder, objective, run.budget, plan), data)
        if objective.needs_teacher_scores or objective.needs_teacher_model:
            first, *others = (
                # Scores of a copy of the student are useless to other runs.
                Teacher(model, each, trainer.features, kept if each is not None else None)
                for each, kept in teachers
            )
            shares = [share for _, share in plan.partners]
            trainer.teacher = Ensemble(first, list(zip(others, shares, strict=True))) if others else first
            objective.fit(model, trainer.teacher, _sample_documents(sources, plan.seed))
        trainer.train(resume_from_checkpoint=None if saved is None else str(saved))
    return history.steps


def _sample_documents(sources: Sequence[TrainingSource], seed: int) -> list[Document]:
    """Sample the same number of documents from each source, for losses that are fitted before the first step."""
    random = np.random.default_rng(seed)
    return [document for source in sources for document in source.sample(_FITTED_ON // len(sources), random)[1]]
