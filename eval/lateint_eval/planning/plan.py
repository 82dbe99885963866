"""`make_plan`: estimate the cost of indexing a corpus and ranking from its store on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lateint.indexing.chunks import Chunks
from lateint.indexing.codecs import pipelines
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint_eval.formats.records import Json
from lateint_eval.planning.estimate import Estimate, proportion, quantile, total
from lateint_eval.planning.survey import Survey, survey
from lateint_eval.planning.trial import Codecs, Trial, TrialSize, encode_sample, measure_size, rank_times
from lateint_store import format_codecs, parse_codecs
from lateint_store.errors import SpecError

_SAMPLE = 1_000
_CODECS = ("cast:float16", "int8", "int4", "drive:bits=6", "drive:bits=4", "drive:bits=2")  # for states, else for vectors
QUERIES = 21
_WORDS = 6  # words of a query that is taken from a document
CANDIDATES, _MORE, _MANY = 100, 300, 1_000
_QUICK_MS = 300  # if _MORE candidates take at most this long, _MANY candidates are timed as well


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes on disk in some codecs, per document and for the whole corpus."""

    codecs: str
    a_document: Estimate
    in_all: Estimate


@dataclass(frozen=True, slots=True)
class RankTime:
    """Median milliseconds to rank a number of candidates; `extrapolated` if fewer were timed."""

    candidates: int
    ms: Estimate
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that `lateint plan` prints.

    Intervals are 95 % intervals, except those of times: they span the parts of the sample.
    """

    documents: int
    sample: int
    tokens_median: Estimate
    tokens_p95: Estimate
    cut: Estimate  # share of documents that are truncated
    max_length: int
    bytes: tuple[Bytes, ...]  # first the codecs of the store to be built, then alternatives
    hours: Estimate
    ranking: tuple[RankTime, ...]
    free_bytes: int

    @property
    def fits(self) -> bool:
        """Return True if the upper bound for the first codecs fits in the free disk space."""
        return self.bytes[0].in_all.high <= self.free_bytes

    def to_json(self) -> Json:
        """Return the plan as JSON."""
        return asdict(self) | {"fits": self.fits}


def make_plan(
    model: Model,
    documents: Iterable[Document],
    *,
    codecs: Codecs | None = None,
    queries: Sequence[str] | None = None,
    chunks: Chunks | None = None,
    sample: int = _SAMPLE,
    beside: Path | None = None,
    seed: int = 0,
) -> Plan:
    """Encode, store and rank a random sample as a build would do, and scale the costs to the corpus.

    Args: `codecs` of the store, None for the method's; `queries` to time, None for words of sampled documents; `beside` is
    the planned path of the store, whose disk is checked for free space.
    Raises: InputError for an empty corpus or codecs of unknown arrays; any error of encoding.
    Cost: reading the corpus, encoding `sample` documents, and 30 rankings of 100 to 1,000 candidates.
    """
    found, choices = survey(documents, sample, seed), _choices(model, codecs)
    with tempfile.TemporaryDirectory(prefix="lateint-plan-") as folder:
        trial = encode_sample(model, found.sample, Path(folder) / "built", choices[0], chunks)
        ranking = _rank(model, found, Path(folder) / "built", queries or _queries(found, seed))
        sizes = [_bytes(found, model, trial, chosen, chunks) for chosen in choices]
    hours = [seconds * found.documents / 3600 for seconds in trial.seconds]
    tokens = total(found, trial.tokens).value / found.documents / (sum(trial.tokens) / len(trial.tokens))
    mean = Estimate(sum(hours) / len(hours), min(hours), max(hours)).scaled(tokens)
    return Plan(
        documents=found.documents,
        sample=len(found.sample),
        tokens_median=quantile(trial.tokens, 0.5),
        tokens_p95=quantile(trial.tokens, 0.95),
        cut=proportion(trial.cut, len(found.sample)),
        max_length=model.method.document.max_length,
        bytes=tuple(sizes),
        hours=mean,
        ranking=ranking,
        free_bytes=shutil.disk_usage(_existing(beside or Path())).free,
    )


def _choices(model: Model, codecs: Codecs | None) -> list[Codecs]:
    """Return the codecs of the store, then alternatives for the largest array."""
    first = {name: pipeline.parts for name, pipeline in pipelines(model, codecs).items()}
    large = "states" if "states" in first else "vector" if "vector" in first else None
    choices: list[Codecs] = [first]
    for text in _CODECS if large is not None else ():
        try:
            through = pipelines(model, first | parse_codecs(f"{large}={text}"))
            other = {name: pipeline.parts for name, pipeline in through.items()}
        except SpecError:  # the codec does not support the width of the array
            continue
        if other not in choices:
            choices.append(other)
    return choices


def _bytes(found: Survey, model: Model, trial: Trial, codecs: Codecs, chunks: Chunks | None) -> Bytes:
    with tempfile.TemporaryDirectory(prefix="lateint-plan-") as folder:
        size: TrialSize = measure_size(model, trial, Path(folder) / "store", codecs, chunks)
    in_all = total(found, size.payloads).scaled(1.0, size.empty + size.beside * found.documents)
    return Bytes(format_codecs(dict(codecs)), in_all.scaled(1 / found.documents), in_all)


def _rank(model: Model, found: Survey, store: Path, queries: Sequence[str]) -> tuple[RankTime, ...]:
    ids = [document.id for document in found.sample]
    with open_store(store) as opened:
        ranker = Ranker(model, opened)
        few = min(CANDIDATES, len(ids))
        first = quantile(rank_times(ranker, queries[:QUERIES], ids, few), 0.5)
        times = [RankTime(few, first, extrapolated=False)]
        if len(ids) < _MORE:
            return tuple(times)
        more = quantile(rank_times(ranker, queries[:5], ids, _MORE), 0.5)
        if len(ids) >= _MANY and more.value <= _QUICK_MS:
            many = RankTime(_MANY, quantile(rank_times(ranker, queries[:5], ids, _MANY), 0.5), extrapolated=False)
        else:
            a_candidate = max(0.0, more.value - first.value) / (_MORE - few)
            many = RankTime(_MANY, more.scaled(1.0, a_candidate * (_MANY - _MORE)), extrapolated=True)
    return (*times, many)


def _queries(found: Survey, seed: int) -> list[str]:
    """Return spans of sampled documents as queries, for a corpus without queries."""
    random = np.random.default_rng(seed)
    queries: list[str] = []
    for document in found.sample:
        words = document.full_text.split()
        if len(words) >= _WORDS and len(queries) < QUERIES:
            start = int(random.integers(len(words) - _WORDS + 1))
            queries.append(" ".join(words[start : start + _WORDS]))
    return queries or ["what is this"]


def _existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)
