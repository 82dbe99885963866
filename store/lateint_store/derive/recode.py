"""Copy a store to a new one with other codecs, without the encoder that produced its arrays. The old store stays.

Arrays whose numeric codecs do not change keep their codes bit for bit, so recoding never adds loss to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from lateint_store.arguments import as_path
from lateint_store.codecs.pipeline import Pipeline
from lateint_store.codecs.syntax import format_codecs
from lateint_store.derive.new_store import write_store
from lateint_store.errors import InputError
from lateint_store.format.block import EncodedDocument
from lateint_store.format.manifest import Manifest
from lateint_store.part import Part, check_parts
from lateint_store.ragged import Ragged
from lateint_store.shards.shards import Shards
from lateint_store.spec import Array
from lateint_store.store import Store
from lateint_store.writing.entry import assemble
from lateint_store.writing.rewrite import StoredWindow, live_windows


@dataclass(slots=True)
class RecodingLoss:
    """Differences between the numbers of one array and those of the source: the largest, their sum and their count."""

    largest: float = 0.0
    total: float = 0.0
    numbers: int = 0

    @property
    def mean(self) -> float:
        """Mean absolute difference; 0 if there are no numbers."""
        return self.total / self.numbers if self.numbers else 0.0

    def add(self, before: Array, after: Array) -> None:
        """Add the numbers of some documents, of any dtype."""
        moved = np.abs(before.astype(np.float64) - after.astype(np.float64))
        self.largest = max(self.largest, float(moved.max(initial=0.0)))
        self.total += float(moved.sum())
        self.numbers += moved.size


def recode(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    codecs: Mapping[str, Sequence[Part]],
    *,
    finer: bool = False,
) -> tuple[Store, dict[str, RecodingLoss]]:
    """Write the documents of a store into a new one at `out`, encoded with other codecs.

    Args: `codecs` of the arrays that change; the others keep theirs. `finer`: allow codecs with smaller errors than the
    source has. From a lossless source, the content digest equals that of a build with these codecs.
    Returns: the new store, open for writing, and the loss of each changed array against the source.
    Raises: InputError for unknown arrays, codecs that do not fit, or finer ones; StoreError, StoreFull, DamagedStore. An
    interruption leaves no store. Cost: decodes and encodes every document once; holds one window in memory.
    """
    target = as_path(out, "out")
    with closing(Shards(as_path(source, "source"))) as shards, shards.reading() as snapshots:
        manifest = recoded(shards.manifest, codecs)
        windows = chain.from_iterable(live_windows(snapshot, shards.manifest) for snapshot in snapshots)
        first = next(windows, None)
        changed = [name for name in manifest.arrays if manifest.specs[name].coding != shards.manifest.specs[name].coding]
        if first is not None and not finer:
            _refuse_finer(shards.manifest, manifest, changed, first[1])
        losses = {name: RecodingLoss() for name in changed}
        translated = _translate(chain([] if first is None else [first], windows), shards.manifest, manifest, losses)
        return write_store(target, manifest, translated, snapshots[-1].state()), losses


def recoded(manifest: Manifest, codecs: Mapping[str, Sequence[Part]]) -> Manifest:
    """The manifest with other codecs. Raises: InputError for an array that it does not hold, SpecError."""
    check_parts(codecs)
    if unknown := sorted(set(codecs) - set(manifest.specs)):
        raise InputError(f"the store has no array {unknown[0]!r}; it holds {', '.join(manifest.arrays)}")
    specs = {name: Pipeline(manifest.specs[name].spec, tuple(parts)) for name, parts in codecs.items()}
    return replace(manifest, specs={**manifest.specs, **specs})


def _translate(
    windows: Iterable[StoredWindow], old: Manifest, new: Manifest, losses: Mapping[str, RecodingLoss]
) -> Iterator[StoredWindow]:
    """Yield the same windows in the new codecs, and add to `losses`."""
    for number, documents in windows:
        rows = [document.rows for document in documents]
        columns = []
        for index, name in enumerate(new.arrays):
            payloads = [document.payloads[index] for document in documents]
            if name not in losses:
                columns.append([bytes(old.specs[name].unpack(*pair)) for pair in zip(payloads, rows, strict=True)])
                continue
            before = old.specs[name].decode_many(payloads, rows)
            columns.append(_array_bytes(new.specs[name], before))
            losses[name].add(before.values, new.specs[name].restore(columns[-1], rows).values)
        yield number, assemble(new, [document.doc_id for document in documents], rows, columns)


def _array_bytes(pipeline: Pipeline, arrays: Ragged) -> list[bytes]:
    """Encode decoded arrays, whose dtype may be narrower than the pipeline's input."""
    return pipeline.array_bytes([array.astype(pipeline.spec.dtype) for array in arrays])


def _refuse_finer(old: Manifest, new: Manifest, changed: Sequence[str], documents: Sequence[EncodedDocument]) -> None:
    """Compare the mean bounds of both codecs over some documents. Raises: InputError if the new codecs are finer."""
    rows = [document.rows for document in documents]
    for name in changed:
        column = new.arrays.index(name)
        arrays = old.specs[name].decode_many([document.payloads[column] for document in documents], rows)
        lost, losing = (_mean_bound(pipeline, arrays) for pipeline in (old.specs[name], new.specs[name]))
        if lost > losing:
            codecs = format_codecs({name: new.specs[name].parts})
            raise InputError(
                f"array {name!r} is stored within {lost:.3g} of the model's output, and {codecs} would store it within "
                f"{losing:.3g}: finer codecs restore nothing; recode from a finer store, or allow this (--finer)"
            )


def _mean_bound(pipeline: Pipeline, arrays: Ragged) -> float:
    if pipeline.lossless:
        return 0.0
    bounds = [pipeline.bound(array.astype(pipeline.spec.dtype)) for array in arrays if array.size]
    return float(np.concatenate(bounds).mean()) if bounds else 0.0
