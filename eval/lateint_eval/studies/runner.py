"""Run the points of a study: encode documents once per encoding, recode them for every codec, rank at every point."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lateint.indexing.build import build_store, store_layout
from lateint.indexing.codecs import pipelines
from lateint.indexing.store import Store, open_store
from lateint.loading.load import load_model
from lateint.methods import registry as parts
from lateint.methods.method import Method
from lateint.methods.presets import preset
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint.results import Timing
from lateint_eval.datasets.folder import Split
from lateint_eval.formats import write_run
from lateint_eval.formats.records import Json
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.significance import interval
from lateint_eval.studies.data import candidate_texts
from lateint_eval.studies.folder import Folder
from lateint_eval.studies.inputs import Inputs
from lateint_eval.studies.points import Point, digest
from lateint_eval.systems import as_run
from lateint_store import create_store, format_codecs, parse_codecs, part, recode
from lateint_store.disk.files import make_folder

PHASES = ("total_ms", "fetch_ms", "decode_ms", "compute_ms")
INPUTS = "inputs"  # key of a point's file beside its results
Measured = Json  # results of one point


class ModelCache:
    """Keeps the last model: points that differ only in codecs or depth share it, and a study loads it once."""

    def __init__(self) -> None:
        self._key: tuple[str, int] | None = None
        self._model: Model | None = None

    def of(self, point: Point) -> Model:
        """Return the model of a point. Raises: the errors of `load_model`; InputError for an unknown pool."""
        key = (point.encoding, point.threads)
        if self._model is None or self._key != key:
            self._model = None  # two models never share the memory
            self._key, self._model = key, _load(point)
        return self._model


def _load(point: Point) -> Model:
    method: Method | str | None = point.method
    if point.method is not None and point.pool is not None:
        method = replace(preset(point.method), pool=parts.parse("pools", point.pool))
    return load_model(
        point.model,
        method,
        offline_layers=point.offline_layers,
        doc_max_length=point.doc_max_length,
        query_max_length=point.query_max_length,
        device=point.device,
        threads=point.threads,
    )


def run_point(
    folder: Folder, model: Model, point: Point, sets: Mapping[str, Split], measures: Sequence[str], inputs: Inputs
) -> Measured:
    """Measure a point with its model on all sets; write its results, with digests of its inputs.

    Raises: any error of encoding and ranking.
    """
    measured: Measured = {
        "model": point.model,
        "method": model.method.name,
        "offline_layers": model.method.depth,
        "pool": str(model.method.pool),
        "results": {},
        "timing": {},
    }
    for name, data in sets.items():
        store, seconds = _stored(folder, model, point, name, data, inputs)
        found = _measure(model, store, point, data, folder.run(point.id, name), measures)
        measured["codecs"] = found.pop("codecs")
        measured["timing"][name] = found.pop("timing") | {"encode_seconds": seconds}
        measured["results"][name] = found | {"run": str(folder.run(point.id, name).relative_to(folder.path))}
    folder.write(folder.point(point.id), measured | {INPUTS: inputs.of(point)})
    return measured


def _stored(folder: Folder, model: Model, point: Point, name: str, data: Split, inputs: Inputs) -> tuple[Path, float]:
    """Return the store of a point, recoded from the lossless store of its encoding, and the seconds of that encoding."""
    home = folder.stores / f"{point.encoding}.{name}.{inputs.stored(point, name)}"
    master, done = home / "master", home / "seconds"
    if not done.exists():  # an interrupted build continues where it stopped
        start = time.perf_counter()
        lossless = {array: (part("raw"),) for array in model.arrays}
        with _threads(point.encoding_threads):
            build_store(model, candidate_texts(data), master, lossless).close()
        folder.write(done, time.perf_counter() - start)
    codecs = None if point.codecs is None else parse_codecs(point.codecs)
    wanted = {array: pipeline.parts for array, pipeline in pipelines(model, codecs).items()}
    path = home / digest({array: [str(each) for each in chain] for array, chain in wanted.items()})
    if not (path / "manifest.json").exists():
        recode(master, path, wanted)[0].close()
    return path, float(folder.read(done))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Set torch's number of threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure(model: Model, path: Path, point: Point, data: Split, run: Path, measures: Sequence[str]) -> Measured:
    rankings: dict[str, list[tuple[str, float]]] = {}
    timings: list[Timing] = []
    with open_store(path) as store:
        ranker, info = Ranker(model, store), store.info()
        codecs = format_codecs({name: store.manifest.specs[name].parts for name in store.manifest.arrays})
        for query, text in data.queries.items():
            ids = data.candidates[query][: point.depth]
            if not timings:
                ranker.rank(text, ids)  # warm-up
            ranking = ranker.rank(text, ids)
            rankings[query] = [(hit.doc_id, hit.score) for hit in ranking]
            timings.append(ranking.timing)
    make_folder(run.parent)
    write_run(run, rankings)
    scores = evaluate(data.qrels, as_run(run.name, rankings), measures).scores
    return {
        "documents": info["documents"],
        "bytes_per_document": (info["bytes"] - _empty(model, path.parent)) / info["documents"],
        "codecs": codecs,
        "content_digest": info["content_digest"],
        "measures": {name: summary(score.per_query) for name, score in scores.items()},
        "timing": {phase: _percentiles([getattr(t, phase) for t in timings]) for phase in PHASES}
        | {"bytes_read": sorted(t.bytes_read for t in timings)[len(timings) // 2]},
    }


def summary(per_query: Mapping[str, float]) -> Measured:
    """Return the mean over queries, its bootstrap interval, and the values per query."""
    low, high = interval(per_query)
    return {"mean": math.fsum(per_query.values()) / len(per_query), "low": low, "high": high, "per_query": dict(per_query)}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}


def _empty(model: Model, beside: Path) -> int:
    """Return the bytes of an empty store on the same file system: a constant that does not depend on the corpus."""
    through, about = store_layout(model, None, None)
    with (
        tempfile.TemporaryDirectory(prefix="empty-", dir=beside) as folder,
        create_store(Path(folder) / "store", through, kind=Store, **about) as empty,
    ):
        return int(empty.info()["bytes"])


@dataclass(frozen=True, slots=True)
class StoreCleaner:
    """Removes stores that no remaining point needs."""

    folder: Folder

    def after(self, point: Point, left: Sequence[Point]) -> None:
        """Remove the stores of a finished point, unless one of the remaining points `left` shares its encoding."""
        if all(other.encoding != point.encoding for other in left):
            for home in self.folder.stores.glob(f"{point.encoding}.*"):
                shutil.rmtree(home)
        if not left:
            shutil.rmtree(self.folder.stores, ignore_errors=True)
