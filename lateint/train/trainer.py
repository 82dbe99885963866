"""transformers' Trainer around an objective: the Trainer steps, schedules, saves and resumes; the objective gives the loss."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from lateint.errors import MissingExtra, TrainingError
from lateint.model.model import Model
from lateint.train.data import Example, Sampler
from lateint.train.features import features_of
from lateint.train.history import StageHistory
from lateint.train.objective import Objective
from lateint.train.parameters import parameter_groups
from lateint.train.plan import Budget, TrainingPlan
from lateint.train.resume import StateKeeper
from lateint.train.teacher import Teacher

_WARM_UP = 0.1  # share of the steps


class Examples(Dataset[Example]):
    """Examples 0..number of a sampler, in order."""

    def __init__(self, sampler: Sampler, number: int) -> None:
        self.sampler, self.number = sampler, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Example:
        return self.sampler.example(index)


class StageTrainer(Trainer):
    """The Trainer of one stage. Parameters that the stage freezes are not in the optimizer and get no gradient.

    Args: `history` records the steps and holds the stage's budget. `teacher` is set by the caller if a loss needs one.
    """

    def __init__(
        self, model: Model, objective: Objective, history: StageHistory, arguments: TrainingArguments, data: Examples
    ) -> None:
        self.student = model
        self.objective: Objective = objective
        self.history: StageHistory = history
        self.examples = data
        self.features = features_of(model, objective.stage)
        self.teacher: Teacher | None = None
        super().__init__(
            model=model, args=arguments, train_dataset=data, data_collator=_collate, callbacks=[history, StateKeeper()]
        )
        self.remove_callback(PrinterCallback)  # standard output is for data

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """AdamW over the parameters that the stage trains."""
        groups = parameter_groups(self.student, self.objective.stage)
        self.optimizer = AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """Warm up, then decay the rate to zero in proportion to the used share of the budget, in steps or in time."""
        warm = max(1.0, _WARM_UP * self.history.budget.steps)

        def rate(step: int) -> float:
            return min(1.0, (step + 1) / warm) * (1 - self.history.share(step))

        chosen = optimizer or self.optimizer
        assert chosen is not None  # the Trainer makes the optimizer first
        self.lr_scheduler = LambdaLR(chosen, rate)
        return self.lr_scheduler

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, None]:
        """The objective on the examples of one step. Raises: TrainingError if it is not finite."""
        stage = self.objective.stage
        trains_layers = "layers" in stage.train or stage.trains_query_tower
        self.student.train(stage.dropout and trains_layers)  # the Trainer has just switched training mode on
        total, losses = self.objective(self.student, self.features, inputs["examples"], self.teacher)
        if not torch.isfinite(total):
            raise TrainingError(
                f"the loss is {float(total.detach())} at step {self.state.global_step} ({losses}); "
                "expected a finite number: lower the learning rate, or check the labels and the teacher's scores"
            )
        self.history.pending = (float(total.detach()), losses)
        return (total, None) if return_outputs else total

    def _get_train_sampler(self, train_dataset: Dataset[Example] | None = None) -> SequentialSampler:
        """In order: example i is already random, and a resumed run must continue with the next example."""
        return SequentialSampler(self.examples)


def _collate(examples: list[Example]) -> dict[str, list[Example]]:
    """Pass the examples of a step on as they are: the objective encodes them."""
    return {"examples": examples}


def check_extra() -> None:
    """Raise MissingExtra if accelerate is not installed, which transformers' Trainer requires."""
    if find_spec("accelerate") is None:
        raise MissingExtra("accelerate", "train")


def arguments(folder: Path, objective: Objective, budget: Budget, plan: TrainingPlan) -> TrainingArguments:
    """Set every option that the Trainer would otherwise choose by itself. Raises: MissingExtra."""
    check_extra()
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=objective.stage.queries,
        max_steps=budget.steps,
        max_grad_norm=1.0,
        seed=plan.seed,
        bf16=plan.precision == "bfloat16",
        use_cpu=(plan.device or "cpu") == "cpu",
        save_strategy="steps",
        save_steps=plan.save_every,
        save_total_limit=2,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
