"""Other codecs for the arrays of a store, without the encoder that made them: into a new store, the old one stays.

Arrays whose numbers stay the same keep their very codes, so a round trip never adds loss where nothing changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from lateint_store.codecs.pipeline import Pipeline
from lateint_store.codecs.syntax import format_codecs
from lateint_store.derive.new_store import write_store
from lateint_store.errors import InputError
from lateint_store.format.block import EncodedDocument
from lateint_store.format.manifest import Manifest
from lateint_store.part import Part
from lateint_store.ragged import Ragged
from lateint_store.shards.shards import Shards
from lateint_store.spec import Array
from lateint_store.store import Store
from lateint_store.writing.entry import assemble
from lateint_store.writing.rewrite import StoredWindow, live_windows


@dataclass(slots=True)
class RecodingLoss:
    """How far the numbers of one array moved from what the source gave: largest and mean difference, and how many."""

    largest: float = 0.0
    total: float = 0.0
    numbers: int = 0

    @property
    def mean(self) -> float:
        """Mean absolute difference; 0 if there is no number."""
        return self.total / self.numbers if self.numbers else 0.0

    def add(self, before: Array, after: Array) -> None:
        """Count the numbers of some documents, in any dtype."""
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
    """Write the documents of a store into a new one at `out` whose arrays pass other codecs.

    Args: `codecs` of the arrays that change, the others keep theirs; `finer`: allow codecs that could keep more than the
    source still has. From a lossless source, the content digest is that of a build with these codecs.
    Returns: the new store, open for writing, and what each changed array lost against the source.
    Raises: InputError for unknown arrays, codecs that do not fit, or finer ones; StoreError, StoreFull, DamagedStore. An
    interruption leaves no store. Cost: one decoding and one encoding of every document; a window is in memory at once.
    """
    with closing(Shards(Path(source))) as shards, shards.reading() as snapshots:
        manifest = recoded(shards.manifest, codecs)
        windows = chain.from_iterable(live_windows(snapshot, shards.manifest) for snapshot in snapshots)
        first = next(windows, None)
        changed = [name for name in manifest.arrays if manifest.specs[name].coding != shards.manifest.specs[name].coding]
        if first is not None and not finer:
            _refuse_finer(shards.manifest, manifest, changed, first[1])
        losses = {name: RecodingLoss() for name in changed}
        translated = _translate(chain([] if first is None else [first], windows), shards.manifest, manifest, losses)
        return write_store(Path(out), manifest, translated, snapshots[-1].state()), losses


def recoded(manifest: Manifest, codecs: Mapping[str, Sequence[Part]]) -> Manifest:
    """What a store records, with other codecs. Raises: InputError for an array that it does not hold, SpecError."""
    if unknown := sorted(set(codecs) - set(manifest.specs)):
        raise InputError(f"the store has no array {unknown[0]!r}; it holds {', '.join(manifest.arrays)}")
    specs = {name: Pipeline(manifest.specs[name].spec, tuple(parts)) for name, parts in codecs.items()}
    return replace(manifest, specs={**manifest.specs, **specs})


def _translate(
    windows: Iterable[StoredWindow], old: Manifest, new: Manifest, losses: Mapping[str, RecodingLoss]
) -> Iterator[StoredWindow]:
    """The same windows in new codecs; `losses` grow on the way."""
    for number, documents in windows:
        rows = [document.rows for document in documents]
        columns = []
        for place, name in enumerate(new.arrays):
            payloads = [document.payloads[place] for document in documents]
            if name not in losses:
                columns.append([bytes(old.specs[name].unpack(*one)) for one in zip(payloads, rows, strict=True)])
                continue
            before = old.specs[name].decode_many(payloads, rows)
            columns.append(_array_bytes(new.specs[name], before))
            losses[name].add(before.values, new.specs[name].restore(columns[-1], rows).values)
        yield number, assemble(new, [document.doc_id for document in documents], rows, columns)


def _array_bytes(pipeline: Pipeline, arrays: Ragged) -> list[bytes]:
    """Code decoded arrays, which may be narrower than what the pipeline takes."""
    return pipeline.array_bytes([array.astype(pipeline.spec.dtype) for array in arrays])


def _refuse_finer(old: Manifest, new: Manifest, changed: Sequence[str], documents: Sequence[EncodedDocument]) -> None:
    """Compare the bounds of both codecs over some documents. Raises: InputError if the new one is finer."""
    rows = [document.rows for document in documents]
    for name in changed:
        place = new.arrays.index(name)
        arrays = old.specs[name].decode_many([document.payloads[place] for document in documents], rows)
        lost, losing = (_mean_bound(pipeline, arrays) for pipeline in (old.specs[name], new.specs[name]))
        if lost > losing:
            codecs = format_codecs({name: new.specs[name].parts})
            raise InputError(
                f"array {name!r} was kept within {lost:.3g} of what the model gave, and {codecs} keeps within {losing:.3g}: "
                "finer codecs bring nothing back; recode from a finer store, or say that you want this (--finer)"
            )


def _mean_bound(pipeline: Pipeline, arrays: Ragged) -> float:
    if pipeline.lossless:
        return 0.0
    bounds = [pipeline.bound(array.astype(pipeline.spec.dtype)) for array in arrays if array.size]
    return float(np.concatenate(bounds).mean()) if bounds else 0.0
