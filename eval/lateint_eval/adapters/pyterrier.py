"""PyTerrier (extra `pyterrier`): a re-ranker for pipelines, and stores as artifacts. Neither starts Java."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lateint
from lateint.errors import InputError, MissingExtra
from lateint_store.format.manifest import FORMAT, MANIFEST_FILE

if TYPE_CHECKING:
    from lateint.ranking.ranker import Missing, Ranker
    from lateint.results import Ranking

try:
    pt: Any = importlib.import_module("pyterrier")  # by name, because type checkers would import this file
except ImportError as error:  # the base classes are needed at import, so this module itself is imported on use
    raise MissingExtra("pyterrier", "pyterrier") from error


class Reranker(pt.Transformer):  # type: ignore[misc]
    """Re-ranks frames: rows with `qid`, `query` and `docno` come in, the same rows with `score` and `rank` go out.

    Queries keep their order; the rows of a query are sorted best first, equal scores by `docno`. Other columns are kept; a
    score or rank of an earlier stage is replaced.

    Args: a `ranker` with a store looks documents up by `docno`, one without reads their `text`. `missing` decides about
    documents that the store lacks: `error`, `skip` drops their rows, `encode` reads their `text`.
    Raises: InputError for a frame that lacks a column, has values other than text in these columns, repeats a document of a
    query, or has two texts for a `qid`; the errors of `Ranker.rank`.
    Cost: one `Ranker.rank` per query; without a store a text is encoded again for every query that it is a candidate of.
    """

    def __init__(self, ranker: Ranker, *, missing: Missing = "error") -> None:
        self.ranker = ranker
        self.missing: Missing = missing

    def __repr__(self) -> str:
        return f"Reranker({self.ranker.model.method.name})"

    def transform_inputs(self) -> list[str]:
        """Return the columns that are read; PyTerrier uses them to check pipelines."""
        encodes = self.ranker.store is None or self.missing == "encode"
        return ["qid", "query", "docno", *(["text"] if encodes else [])]

    def transform_outputs(self, input_columns: list[str]) -> list[str]:
        """Return the columns of the output. Raises: PyTerrier's InputValidationError if an input column is missing."""
        pt.validate.columns(input_columns, includes=self.transform_inputs(), context=self)
        return [name for name in input_columns if name not in ("score", "rank")] + ["score", "rank"]

    def transform(self, inp: Any) -> Any:
        """Return a re-ranked copy of a frame."""
        _check(inp, self.transform_inputs())
        frame = inp.drop(columns=["score", "rank"], errors="ignore").reset_index(drop=True)
        order: list[int] = []
        scores: list[float] = []
        for _, rows in frame.groupby("qid", sort=False):
            row_of = dict(zip(rows["docno"], rows.index, strict=True))
            for hit in self._rank(rows):
                order.append(row_of[hit.doc_id])
                scores.append(hit.score)
        ranked = frame.iloc[order].reset_index(drop=True).assign(score=np.array(scores, dtype=np.float64))
        return pt.model.add_ranks(ranked)

    def _rank(self, rows: Any) -> Ranking:
        query, ids = rows["query"].iloc[0], list(rows["docno"])
        if "text" not in self.transform_inputs():
            return self.ranker.rank(query, ids, missing=self.missing)
        documents = [lateint.Document(*pair) for pair in zip(ids, rows["text"], strict=True)]
        stored = None if self.ranker.store is None else ids
        return self.ranker.rank(query, stored, documents=documents, missing=self.missing)


class StoreArtifact(pt.Artifact):  # type: ignore[misc]
    """A store as a PyTerrier artifact: `pt.Artifact.load(folder)` opens it, `to_hf` and similar methods share it.

    `store` is the open store; the caller closes it. Raises: the errors of `lateint.open_store`.
    """

    ARTIFACT_TYPE, ARTIFACT_FORMAT, ARTIFACT_PACKAGE_HINT = "forward_index", "lateint", "lateint[pyterrier]"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.store = lateint.open_store(path)

    def reranker(
        self, model: lateint.Model | None = None, *, missing: Missing = "error", aggregate: str | None = None
    ) -> Reranker:
        """Return a re-ranker over this store; `model` defaults to the model that the store records.

        Raises: StoreMismatch if model and store do not match; ModelError if the recorded model is not found.
        """
        from lateint.indexing.store import recorded_model

        chosen = recorded_model(self.store) if model is None else model
        return Reranker(lateint.Ranker(chosen, self.store, aggregate=aggregate), missing=missing)


def store_metadata(path: str, listing: Sequence[str]) -> dict[str, str] | None:
    """Return type and format of a folder without PyTerrier's own `pt_meta.json` if it is a lateint store, else None."""
    with contextlib.suppress(OSError, ValueError):  # the manifest belongs to another program
        manifest = json.loads((Path(path) / MANIFEST_FILE).read_text(encoding="utf-8")) if MANIFEST_FILE in listing else None
        if isinstance(manifest, dict) and manifest.get("format") == FORMAT:
            kind = StoreArtifact
            return {"type": kind.ARTIFACT_TYPE, "format": kind.ARTIFACT_FORMAT, "package_hint": kind.ARTIFACT_PACKAGE_HINT}
    return None


def _check(frame: Any, names: Sequence[str]) -> None:
    """Raise InputError with the reason if a frame cannot be ranked."""
    if lacking := [name for name in names if name not in frame.columns]:
        raise InputError(f"the frame lacks the columns {lacking}; expected {list(names)}, found {list(frame.columns)}")
    for name in names:
        if odd := [value for value in frame[name] if not isinstance(value, str)]:
            # astype(str) would turn a missing value into the word "nan"
            repair = 'fillna("")' if frame[name].isna().any() else "astype(str)"
            raise InputError(f"column {name!r} holds {odd[0]!r}; expected text in every row, such as frame[{name!r}].{repair}")
    if len(twice := frame[frame.duplicated(["qid", "docno"])]):
        row = twice.iloc[0]
        raise InputError(f"query {row['qid']!r} has document {row['docno']!r} twice; expected each once")
    if len(several := frame[["qid", "query"]].drop_duplicates().loc[lambda pairs: pairs.duplicated("qid")]):
        raise InputError(f"query {several['qid'].iloc[0]!r} has more than one text; expected the same in all its rows")
