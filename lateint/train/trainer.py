"""Transformers' Trainer around an objective: it steps, schedules, saves and resumes; what a step is, the objective says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState

from lateint.errors import InputError, MissingExtra
from lateint.model import Model
from lateint.train.data import Example, Sampler
from lateint.train.features import Frozen, Live
from lateint.train.guide import Guide
from lateint.train.objective import Objective

WARM_UP = 0.1  # share of the steps


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a stage trains: `steps`, and no longer than `minutes`; the rate is at zero when the first is used up."""

    steps: int
    minutes: float = float("inf")

    def share(self, step: int, seconds: float) -> float:
        """How much of the budget is used up: 0..1."""
        return min(1.0, max(step / self.steps, seconds / 60 / self.minutes))


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the total loss, each loss before its weight, and seconds since the stage began."""

    step: int
    total: float
    losses: dict[str, float]
    seconds: float


class Examples(Dataset[Example]):
    """Examples 0..steps·queries of a sampler."""

    def __init__(self, sampler: Sampler, number: int) -> None:
        self.sampler, self.number = sampler, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, place: int) -> Example:
        return self.sampler.example(place)


class Diary(TrainerCallback, ExportableState):
    """Every step's losses and the time that was spent, kept with each saved state; ends a stage when its time is up."""

    def __init__(self, budget: Budget, watch: Callable[[Step], None] | None, steps: Sequence[Step] = ()) -> None:
        self.budget, self.watch = budget, watch
        self.steps = list(steps)
        self.before = self.steps[-1].seconds if self.steps else 0.0
        self.started = time.monotonic()
        self.pending: tuple[float, dict[str, float]] = (0.0, {})

    @property
    def seconds(self) -> float:
        """Time spent on this stage, that of interrupted runs included."""
        return self.before + time.monotonic() - self.started

    def share(self, step: int) -> float:
        """How much of the budget is used up."""
        return self.budget.share(step, self.seconds)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock: what was fitted before the first step is not on the budget."""
        self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the step down."""
        total, losses = self.pending
        self.steps.append(Step(state.global_step - 1, total, losses, self.seconds))
        if self.watch is not None:
            self.watch(self.steps[-1])
        if self.share(state.global_step) >= 1:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"args": {"steps": [asdict(step) for step in self.steps]}, "attributes": {}}


class StageTrainer(Trainer):
    """The Trainer of one stage. What the stage freezes is not in the optimizer and gets no gradient."""

    def __init__(self, model: Model, objective: Objective, diary: Diary, arguments: TrainingArguments, data: Any) -> None:
        self.student = model
        self.objective: Objective = objective
        self.diary: Diary = diary
        trained = {"layers", "embeddings", "compressor", "vector_map"} & set(objective.stage.train)
        stored = getattr(model.head, "stored_width", None)  # a head that stores its own keys and values trains them
        self.features: Frozen | Live = Live(model) if trained or stored else Frozen(model)
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


def parameter_groups(model: Model, stage: Any) -> list[dict[str, Any]]:
    """Parameter groups of what a stage trains: the encoder, maps and vectors outside it. Freezes the rest."""
    parts = _parts(model)
    wanted = [name for name in stage.train if name != "compressor" or model.compressor is not None]
    if odd := [name for name in wanted if name not in parts]:
        raise InputError(f"stage trains {odd[0]!r}, which this model does not have; it has: {', '.join(parts)}")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    chosen = [parameter for name in wanted for parameter in parts[name]]
    if not chosen:
        raise InputError(f"method {model.method.name!r} has nothing to train in {', '.join(stage.train)}; train 'layers'")
    for parameter in chosen:
        parameter.requires_grad_(True)
    encoder = {id(p) for tower in (model.backbone, model.query_backbone) if tower is not None for p in tower.parameters()}
    inside = [p for p in chosen if id(p) in encoder]
    outside = [p for p in chosen if id(p) not in encoder]
    rate = stage.rate if stage.head_rate is None else stage.head_rate
    groups = [
        {"params": inside, "lr": stage.rate},
        {"params": [p for p in outside if p.dim() > 1], "lr": rate},
        {"params": [p for p in outside if p.dim() <= 1], "lr": rate * stage.vector_rate},
    ]
    return [group for group in groups if group["params"]]


def _parts(model: Model) -> dict[str, list[Any]]:
    """Parameters of what a stage can name; `layers` and `embeddings` of both towers, a classifier counts as a layer."""
    own = {"head": model.head, "compressor": model.compressor, "vector_map": model.vector_map}
    found = {name: list(part.parameters()) for name, part in own.items() if part is not None}
    found |= {"layers": [], "embeddings": []}
    for tower in (model.backbone, model.query_backbone):
        if tower is not None:
            embeddings = {id(p) for name, p in tower.bare.named_parameters() if name.startswith("embeddings")}
            for parameter in tower.parameters():
                found["embeddings" if id(parameter) in embeddings else "layers"].append(parameter)
    return found


def check_extra() -> None:
    """Raise MissingExtra without accelerate, which transformers' Trainer stands on."""
    if find_spec("accelerate") is None:
        raise MissingExtra("accelerate", "train")


def arguments(folder: Path, objective: Objective, budget: Budget, setup: Any) -> TrainingArguments:
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


def steps_before(saved: Path) -> list[Step]:
    """The steps that a saved state was reached by."""
    state = json.loads((saved / "trainer_state.json").read_text(encoding="utf-8"))
    return [Step(**step) for step in state["stateful_callbacks"]["Diary"]["args"]["steps"]]
