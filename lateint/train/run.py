"""A training run: the stages of a method, one after the other, resumable at any point."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lateint.errors import InputError
from lateint.loading.pretrained import quiet
from lateint.methods.method import Stage
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.budget import Budget, Setup
from lateint.train.data import Sampler, Source, TextSet
from lateint.train.history import Diary, Step, steps_before
from lateint.train.objective import Objective
from lateint.train.parameters import parameter_groups
from lateint.train.scores import Scores
from lateint.train.teacher import Guide
from lateint.train.trainer import Examples, StageTrainer, arguments, check_extra, saved_states

FITTED_ON = 4_000  # texts that a loss is fitted on, e.g. principal directions


def train(
    model: Model,
    sets: Sequence[Source],
    setup: Setup,
    *,
    teacher: Model | None = None,
    scores: Scores | None = None,
    watch: Callable[[int, Step], None] | None = None,
) -> list[list[Step]]:
    """Train a model in place, through all stages of its method.

    Args: `teacher` scores lists for losses that need one (default: the model as it is when a stage begins); `scores`
    keeps them on disk; `watch` is called with the stage's number after each step.
    Returns: the losses of every step of every stage; none for a stage of a compressor that the model does not have.
    Raises: InputError for data, stages or budgets that do not fit, or a loss that is not finite; StoreMismatch for scores
    of another teacher; MissingExtra without accelerate.
    """
    stages = model.method.stages
    if len(stages) != len(setup.budgets):
        raise InputError(f"{len(setup.budgets)} budgets for the {len(stages)} stages of method {model.method.name!r}")
    history: list[list[Step]] = []
    for number, (stage, budget) in enumerate(zip(stages, setup.budgets, strict=True)):
        if not _has_work(model, stage):
            history.append([])
            continue
        done = _finished(setup.folder, number)
        if done is not None:
            model.load_state_dict(load_file(_weights(setup.folder, number)))
            history.append(done)
            continue

        def told(step: Step, number: int = number) -> None:
            if watch is not None:
                watch(number, step)

        history.append(_train_stage(model, stage, sets, setup, _Stage(number, budget, teacher, scores, told)))
    model.requires_grad_(True).eval()
    return history


def check(model: Model, sets: Sequence[Source], *, taught: bool) -> None:
    """Refuse, before anything is written, stages and data with which a run could not go on to its end.

    Args: `taught`: a teacher is named. Raises: InputError; MissingExtra without accelerate.
    """
    check_extra()
    for stage in model.method.stages:
        if _has_work(model, stage):
            _check_texts(Objective(stage, taught=taught), sets)
            Sampler(sets, stage.pool or stage.negatives)
            parameter_groups(model, stage)
    model.requires_grad_(True)


def _check_texts(objective: Objective, sets: Sequence[Source]) -> None:
    """Refuse texts alone for a loss that scores candidates: there would be nothing to tell apart. Raises: InputError."""
    scored = [name for name, loss in zip(objective.names, objective.losses, strict=True) if loss.needs_scores]
    alone = [source.name for source in sets if isinstance(source, TextSet)]
    if scored and alone:
        raise InputError(f"{alone[0]} holds texts alone, and loss {scored[0]!r} compares candidates; give lists or pairs")


def _has_work(model: Model, stage: Stage) -> bool:
    """A stage of a compressor alone has nothing to do for a method that is used without one."""
    return model.compressor is not None or set(stage.train) != {"compressor"}


@dataclass(frozen=True, slots=True)
class _Stage:
    number: int
    budget: Budget
    teacher: Model | None
    scores: Scores | None
    watch: Callable[[Step], None]


def _train_stage(model: Model, stage: Stage, sets: Sequence[Source], setup: Setup, about: _Stage) -> list[Step]:
    objective = Objective(stage, taught=about.teacher is not None)
    sampler = Sampler(sets, stage.pool or stage.negatives, shares=setup.shares, seed=setup.seed + about.number)
    folder = setup.folder / f"stage{about.number}"
    saved = next(saved_states(folder), None)
    diary = Diary(about.budget, about.watch, [] if saved is None else steps_before(saved))
    data = Examples(sampler, about.budget.steps * stage.queries)
    devices = [] if model.device.type == "cpu" else [model.device]
    bypass = nullcontext() if stage.compressed else model.uncompressed()
    with torch.random.fork_rng(devices=devices), bypass, quiet():  # the caller's random state stays as it is
        trainer = StageTrainer(model, objective, diary, arguments(folder, objective, about.budget, setup), data)
        if objective.needs_teacher_scores or objective.needs_teacher_model:
            trainer.guide = Guide(model, about.teacher, trainer.features, about.scores if about.teacher is not None else None)
            objective.fit(model, trainer.guide, _texts(sets, setup.seed))
        trainer.train(resume_from_checkpoint=None if saved is None else str(saved))
    _finish(model, setup.folder, about.number, diary.steps)
    return diary.steps


def _texts(sets: Sequence[Source], seed: int) -> list[Document]:
    random = np.random.default_rng(seed)
    return [document for source in sets for document in source.sample(FITTED_ON // len(sets), random)[1]]


def _weights(folder: Path, number: int) -> Path:
    return folder / f"stage{number}.safetensors"


def _finish(model: Model, folder: Path, number: int, steps: Sequence[Step]) -> None:
    """Keep a stage's outcome, its steps last, and drop the states on the way to it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(weights, _weights(folder, number))
    partial = folder / f"stage{number}.json.partial"
    partial.write_text(json.dumps([asdict(step) for step in steps]), encoding="utf-8")
    partial.replace(folder / f"stage{number}.json")
    shutil.rmtree(folder / f"stage{number}", ignore_errors=True)


def _finished(folder: Path, number: int) -> list[Step] | None:
    """The steps of a stage that an earlier, interrupted run has finished."""
    file = folder / f"stage{number}.json"
    if not file.is_file():
        return None
    return [Step(**step) for step in json.loads(file.read_text(encoding="utf-8"))]


def claim(folder: Path, settings: dict[str, Any]) -> bool:
    """Take a folder for a run with these settings; True if an interrupted run of the same settings is there to go on with.

    Raises: InputError if the folder holds an interrupted run with other settings, naming one that differs.
    """
    file = folder / "run.json"
    plain = json.loads(json.dumps(settings))
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(plain, indent=1), encoding="utf-8")
        return False
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    if odd := sorted(key for key in plain.keys() | found.keys() if plain.get(key) != found.get(key)):
        raise InputError(
            f"{folder} holds an interrupted run with another {odd[0]}: {found.get(odd[0])!r}, now {plain.get(odd[0])!r}; "
            "repeat its command to go on with it, or remove the folder to start anew"
        )
    return True
