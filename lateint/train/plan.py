"""A training plan: everything that decides how a run goes, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lateint.errors import InputError
from lateint.methods.method import Method
from lateint.methods.presets import preset
from lateint.train.recipes.named import recipe as recipe_by_name
from lateint.train.recipes.recipe import Recipe

if TYPE_CHECKING:
    from lateint.model.model import Model

DEFAULT_BASE = "all-MiniLM-L6-v2"
DEFAULT_STEPS = 500  # of each stage


@dataclass(frozen=True, slots=True)
class Budget:
    """How long one stage trains: `steps` optimizer steps, or `minutes` if they are over first."""

    steps: int
    minutes: float = float("inf")

    def share(self, step: int, seconds: float) -> float:
        """The share of the budget that is used up, 0..1; the learning rate falls to zero with it."""
        return min(1.0, max(step / self.steps, seconds / 60 / self.minutes))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What is trained, from what, on which data, for how long, and how the checkpoint is saved.

    `from_method` and `from_recipe` make a plan; `dataclasses.replace` changes it; `lateint.train.run.run_plan` runs it.

    Args: `base`, the encoder or checkpoint that training starts from; `method` with its stages; `recipe`, the name of the
    recipe that the plan was made from; `data`, names of the training sources, and their `split`; `shares`, how often each
    source gets a turn (default: once); `steps` of each stage, and `minutes` that end a stage early; `teacher`, the model
    that scores lists for losses that need it: a name or path, or a method over the base; None: the student as it is when a
    stage begins; `partners`, more teachers by name or path, each with its share of the scores, of which the teacher's is the
    rest (`train/teacher.py: Ensemble`); `scores`, a file that keeps the teacher's scores (those of the first partner are kept
    in the file of that name with `-2` behind it, and so on); `spans`, queries without labels made of each ranking
    source's own documents; `precision` of the layers while training: bfloat16 is about 2.5 times as fast on a CPU with
    AVX512-BF16, weights and scores stay float32; `save_every`, steps between saved states, from which an interrupted run
    resumes; `weights`, dtype of the saved tensors; `delta`, whether only the differences from the base are saved (default:
    if the base is a name, not a path); `offline_layers` to `device` as in `lateint.load_model`.
    """

    base: str = DEFAULT_BASE
    method: Method
    recipe: str | None = None
    data: tuple[str, ...] = ()
    split: str = "train"
    shares: Mapping[str, int] = field(default_factory=dict)
    steps: tuple[int, ...]
    minutes: float = float("inf")
    teacher: str | Method | None = None
    partners: tuple[tuple[str, float], ...] = ()
    scores: str | None = None
    spans: int = 0
    seed: int = 0
    precision: str = "float32"
    save_every: int = 100
    weights: str = "float32"
    delta: bool | None = None
    offline_layers: int | str | None = None
    compressor: str | None = None
    query_max_length: int | None = None
    doc_max_length: int | None = None
    threads: int | None = None
    device: str | None = None

    @classmethod
    def from_method(cls, method: str | Method) -> TrainingPlan:
        """Plan a method, or the preset of that name, over the default base. Raises: InputError for an unknown name."""
        chosen = preset(method) if isinstance(method, str) else method
        return cls(method=chosen, steps=(DEFAULT_STEPS,) * len(chosen.stages))

    @classmethod
    def from_recipe(cls, recipe: str | Recipe) -> TrainingPlan:
        """Plan a recipe, or the recipe of that name. Raises: InputError for an unknown name."""
        chosen = recipe_by_name(recipe) if isinstance(recipe, str) else recipe
        return cls(
            base=chosen.base,
            method=chosen.method,
            recipe=chosen.name,
            shares=chosen.shares,
            steps=chosen.steps,
            teacher=chosen.teacher,
            partners=chosen.partners,
            spans=chosen.spans,
            seed=chosen.seed,
            precision=chosen.precision,
            weights=chosen.weights,
            delta=chosen.delta,
        )

    def with_steps(self, steps: int) -> TrainingPlan:
        """The same plan with `steps` steps for each stage."""
        return replace(self, steps=(steps,) * len(self.method.stages))

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budget of each stage."""
        return tuple(Budget(steps, self.minutes) for steps in self.steps)

    @property
    def saves_delta(self) -> bool:
        """True if the checkpoint holds only the differences from its base."""
        from lateint.loading.load import base_of

        return self.delta if self.delta is not None else not Path(base_of(self.base)).exists()

    def check(self) -> None:
        """Refuse settings that contradict each other. Raises: InputError."""
        if len(self.steps) != len(self.method.stages):
            raise InputError(f"steps for {len(self.steps)} stages; method {self.method.name!r} has {len(self.method.stages)}")
        if self.scores is not None and self.teacher is None:
            raise InputError("a scores file keeps the scores of a teacher; name the teacher (--teacher)")
        if self.partners and self.teacher is None:
            raise InputError("a partner shares the scoring with a teacher; name the teacher (--teacher)")
        shares = [share for _, share in self.partners]
        if not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
            raise InputError(
                f"partners have shares {shares}; expected numbers above 0 with a sum below 1, the teacher's is the rest"
            )

    def load_student(self) -> Model:
        """Load the model at step 0: the base under the method. Raises: InputError, ModelError, DamagedCheckpoint."""
        from lateint.loading.load import load_model

        return load_model(
            self.base,
            self.method,
            offline_layers=self.offline_layers,
            compressor=self.compressor,
            query_max_length=self.query_max_length,
            doc_max_length=self.doc_max_length,
            threads=self.threads,
            device=self.device,
        )

    def facts(self, student: Model) -> dict[str, object]:
        """The settings that a run must share with the interrupted run that it resumes, as plain data.

        `design` is the method with all overrides, `start` the digest of the weights at step 0.
        """
        from lateint.model.digests import digest_tensors

        names = ("recipe", "base", "spans", "seed", "precision", "split")
        facts: dict[str, object] = {name: getattr(self, name) for name in names}
        facts |= {"partners": self.partners} if self.partners else {}
        return facts | {
            "data": sorted(self.data),
            "steps": list(self.steps),
            "minutes": str(self.minutes),  # JSON has no infinity
            "method": self.method.name,
            "teacher": self.teacher.to_json() if isinstance(self.teacher, Method) else self.teacher,
            "design": student.method.to_json(),
            "start": digest_tensors(student.state_dict()),
        }
