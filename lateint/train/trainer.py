"""Transformers' Trainer around an objective: it steps, schedules, saves and resumes; what a step is, the objective says."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from lateint.errors import InputError, MissingExtra
from lateint.model.model import Model
from lateint.train.budget import Budget, Setup
from lateint.train.data import Example, Sampler
from lateint.train.features import Frozen, Live
from lateint.train.history import Diary
from lateint.train.objective import Objective
from lateint.train.parameters import parameter_groups
from lateint.train.teacher import Guide

WARM_UP = 0.1  # share of the steps


class Examples(Dataset[Example]):
    """Examples 0..steps·queries of a sampler."""

    def __init__(self, sampler: Sampler, number: int) -> None:
        self.sampler, self.number = sampler, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, place: int) -> Example:
        return self.sampler.example(place)


class StageTrainer(Trainer):
    """The Trainer of one stage. What the stage freezes is not in the optimizer and gets no gradient."""

    def __init__(self, model: Model, objective: Objective, diary: Diary, arguments: TrainingArguments, data: Examples) -> None:
        self.student = model
        self.objective: Objective = objective
        self.diary: Diary = diary
        trained = {"layers", "embeddings", "compressor", "vector_map"} & set(objective.stage.train)
        stored = getattr(model.head, "stored_width", None)  # a head that stores its own keys and values trains them
        self.features: Frozen | Live = Live(model, quantised=objective.stage.quantised) if trained or stored else Frozen(model)
        self.guide: Guide | None = None
        super().__init__(model=model, args=arguments, train_dataset=data, data_collator=_together, callbacks=[diary])
        self.remove_callback(PrinterCallback)  # standard output is for data

    def create_optimizer(self, *_: Any, **__: Any) -> Any:
        """AdamW over what the stage trains."""
        groups = parameter_groups(self.student, self.objective.stage)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm up, then fall with the share of the budget that is used up, in steps or in time."""
        warm = max(1.0, WARM_UP * self.diary.budget.steps)
        chosen: Any = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(chosen, lambda step: min(1.0, (step + 1) / warm) * (1 - self.diary.share(step)))
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective on one step's examples. Raises: InputError if it is not finite."""
        stage = self.objective.stage
        self.student.train(stage.dropout and "layers" in stage.train)  # the Trainer has just switched everything on
        total, losses = self.objective(self.student, self.features, inputs["examples"], self.guide)
        if not torch.isfinite(total):
            raise InputError(
                f"the loss is {float(total.detach())} at step {self.state.global_step} ({losses}); "
                "expected a finite number: lower the rate, or look at the labels and the teacher's scores"
            )
        self.diary.pending = (float(total.detach()), losses)
        return (total, None) if return_outputs else total

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        """In order: example i is already random, and a resumed run must go on with the next."""
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def _together(examples: list[Example]) -> dict[str, list[Example]]:
    return {"examples": examples}


def check_extra() -> None:
    """Raise MissingExtra without accelerate, which transformers' Trainer stands on."""
    if find_spec("accelerate") is None:
        raise MissingExtra("accelerate", "train")


def arguments(folder: Path, objective: Objective, budget: Budget, setup: Setup) -> TrainingArguments:
    """Everything that the Trainer would otherwise decide by itself. Raises: MissingExtra."""
    check_extra()
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=objective.stage.queries,
        max_steps=budget.steps,
        max_grad_norm=1.0,
        seed=setup.seed,
        bf16=setup.precision == "bfloat16",
        use_cpu=not setup.on_gpu,
        save_strategy="steps",
        save_steps=setup.save_every,
        save_total_limit=2,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def saved_states(folder: Path) -> Iterator[Path]:
    """Complete saved states, newest first: the Trainer writes `trainer_state.json` last."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    yield from sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
