"""Gain: the share of the teacher's advantage over the base cosine that a system retains, over several sets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lateint_eval.measures.significance import RESAMPLES
from lateint_store.errors import InputError

ScoresBySet = Mapping[str, Mapping[str, float]]
SMALLEST_MARGIN = 0.02  # with a smaller lead of the teacher, a set is too noisy to measure retention


@dataclass(frozen=True, slots=True)
class Gain:
    """The ratio and its two sums; `value` is nan if no set counts."""

    value: float
    system_sum: float  # sum of (system - cosine) over the counted sets
    teacher_sum: float  # sum of (teacher - cosine) over the counted sets
    counted: tuple[str, ...]
    not_counted: tuple[str, ...]  # teacher - cosine < 0.02

    def __str__(self) -> str:
        """Format the gain as one line, with both sums and the sets that are not counted."""
        text = "gain not defined: no set counts"
        if self.counted:
            sums = f"{self.system_sum:+.4f} / {self.teacher_sum:+.4f}"
            text = f"gain {self.value:.3f} = {sums} over {', '.join(self.counted)}"
        if self.not_counted:
            text += f"; not counted (teacher - cosine < {SMALLEST_MARGIN}): {', '.join(self.not_counted)}"
        return text


def gain(system: Mapping[str, float], cosine: Mapping[str, float], teacher: Mapping[str, float]) -> Gain:
    """Compute sum(system - cosine) / sum(teacher - cosine) over the sets; each argument maps set name to quality.

    Raises: InputError if the three arguments name different sets, or a value is not finite.
    """
    if not system.keys() == cosine.keys() == teacher.keys():
        sets = ", ".join(str(sorted(values)) for values in (system, cosine, teacher))
        raise InputError(f"gain over different sets: {sets}; expected the same sets for system, cosine and teacher")
    for name in system:
        if not all(math.isfinite(values[name]) for values in (system, cosine, teacher)):
            raise InputError(f"gain on {name!r}: a value is not finite")
    # A margin of exactly 0.02 counts; the tolerance absorbs rounding, as in 0.67 - 0.65.
    counted = tuple(name for name in system if teacher[name] - cosine[name] >= SMALLEST_MARGIN - 1e-12)
    system_sum = math.fsum(system[name] - cosine[name] for name in counted)
    teacher_sum = math.fsum(teacher[name] - cosine[name] for name in counted)
    value = system_sum / teacher_sum if counted else math.nan
    return Gain(value, system_sum, teacher_sum, counted, tuple(name for name in system if name not in counted))


def gain_interval(system: ScoresBySet, cosine: ScoresBySet, teacher: ScoresBySet, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % percentile bootstrap interval of the gain; the three systems share the resampled queries.

    Args: {set name: {query id: quality}}. The same sets count as in `gain` of the means.
    Returns: (low, high), or (nan, nan) if no set counts.
    Raises: InputError as `gain`, and for a set whose queries differ between the three systems.
    """
    import numpy as np

    sides = (system, cosine, teacher)
    means = ({name: math.fsum(each.values()) / len(each) for name, each in side.items()} for side in sides)
    counted = gain(*means).counted
    generator, sums = np.random.default_rng(seed), np.zeros((2, RESAMPLES))
    for name in counted:
        queries = sorted(system[name])
        if any(side[name].keys() != system[name].keys() for side in sides):
            raise InputError(
                f"gain on {name!r}: the queries differ; expected the same {len(queries)} queries for all three systems"
            )
        ours, base, best = (np.array([side[name][query] for query in queries]) for side in sides)
        drawn = generator.integers(0, len(queries), (RESAMPLES, len(queries)))
        sums += [(ours - base)[drawn].mean(axis=1), (best - base)[drawn].mean(axis=1)]
    low, high = np.quantile(sums[0] / sums[1], (0.025, 0.975)) if counted else (math.nan, math.nan)
    return float(low), float(high)
