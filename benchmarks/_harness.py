"""What the benchmarks share: stored results, timing in alternation, texts, and a tiny random model.

torch and transformers are imported inside functions: child processes that report their memory
import this module too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import lateint
from lateint_eval.datasets.stdlib.passages import Passage, build_passages
from lateint_eval.datasets.stdlib.questions import load_questions
from lateint_eval.machine import describe

__all__ = [
    "BASE",
    "RESULTS",
    "alternate",
    "argument_parser",
    "describe",
    "library_documents",
    "library_questions",
    "load",
    "load_tiny",
    "median_ratio",
    "medians",
    "milliseconds",
    "random_texts",
    "save",
    "timed",
    "tiny_checkpoint",
    "wall_and_processor",
    "write",
]

RESULTS = Path(__file__).parent / "results"
BASE = "all-MiniLM-L6-v2"
T = TypeVar("T")


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows the module docstring of a benchmark with its line breaks."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def write(name: str, result: Mapping[str, Any]) -> Path:
    """Write `benchmarks/results/NAME.json`: the commit, machine and library versions, then the result. Returns its path."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(describe() | dict(result), indent=2) + "\n", encoding="utf-8")
    return path


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write a result and print its path."""
    print(f"written to {write(name, result)}")


def timed(work: Callable[[], T], clock: Callable[[], float] = time.perf_counter) -> tuple[float, T]:
    """Milliseconds of one call, by default of wall-clock time, and what the call returned."""
    start = clock()
    result = work()
    return 1e3 * (clock() - start), result


def milliseconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Milliseconds of one call, by default of wall-clock time. Its result is freed before the next call."""
    return timed(work, clock)[0]


def wall_and_processor(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of one call: wall-clock time, and processor time of all threads."""
    start = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - start[0]), 1e3 * (time.process_time() - start[1])


def alternate(measurements: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run every measurement once a round, in order, so that all of them meet the same load; values by name, one a round."""
    values: dict[str, list[T]] = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, measure in measurements.items():
            values[name].append(measure())
    return values


def medians(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each name's values."""
    return {name: statistics.median(each) for name, each in values.items()}


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of paired measurements: a disturbance that lasts for a pair hits both of its sides."""
    return statistics.median(above / below for above, below in zip(numerators, denominators, strict=True))


@cache
def _passages() -> tuple[Passage, ...]:
    return tuple(build_passages())


def library_documents(count: int | None = None) -> list[lateint.Document]:
    """The first `count` passages of the standard library's documentation, by default all."""
    return [lateint.Document(passage.id, passage.text, passage.title) for passage in _passages()[:count]]


def library_questions() -> list[str]:
    """The demo's development questions about the standard library's documentation."""
    return [question.text for question in load_questions("dev", {passage.id for passage in _passages()}).kept]


def load(name: str) -> lateint.Model:
    """A preset over the base, whose new parts are fresh; for any other name, the checkpoint."""
    return lateint.load_model(BASE, method=name) if name in lateint.PRESETS else lateint.load_model(name)


def tiny_checkpoint(folder: Path) -> Path:
    """Save a random BERT of two layers and 32 numbers a token, with a word-level tokenizer; returns the folder."""
    import torch
    from transformers import AutoModelForSequenceClassification, BertConfig

    from lateint.testing.tiny import SHAPE, WIDE, tokenizer

    torch.manual_seed(0)
    config = BertConfig(**SHAPE, **(WIDE | {"num_hidden_layers": 2}), max_position_embeddings=96)
    model: Any = AutoModelForSequenceClassification
    model.from_config(config).save_pretrained(folder)
    tokenizer("bert").save_pretrained(folder)
    return folder


def load_tiny(folder: Path, doc_max_length: int) -> lateint.Model:
    """The tiny checkpoint as `prettr` with one offline layer and queries of at most 16 tokens."""
    return lateint.load_model(folder, method="prettr", offline_layers=1, query_max_length=16, doc_max_length=doc_max_length)


def random_texts(documents: int, shortest: int, longest: int) -> Iterator[str]:
    """Texts of `shortest` to `longest` random words that the tiny tokenizer knows, made one at a time, always the same."""
    import numpy as np

    from lateint.testing.tiny import WORDS

    rng = np.random.default_rng(0)
    for _ in range(documents):
        yield " ".join(WORDS[index] for index in rng.integers(0, len(WORDS), rng.integers(shortest, longest + 1)))
