"""Readers of `irds:ID`: data sets of the ir_datasets package (extra `data`), which downloads them on first use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from lateint_eval.formats.records import Doc, Json, Qrels, Run, RunEntry
from lateint_store.errors import InputError, LateintError, MissingExtra

_PREFIX = "irds:"


def is_irds(path: str | Path) -> bool:
    """Return True if the path is an ir_datasets id, `irds:...`."""
    return str(path).startswith(_PREFIX)


def irds_docs(name: str) -> Iterator[Doc]:
    """Yield the documents; a document without a field `text` gives the package's own `default_text`."""
    with _explained(name):
        for number, doc in enumerate(_dataset(name, "docs").docs_iter(), start=1):
            yield Doc(str(doc.doc_id), *_title_and_text(doc), number)


def irds_queries(name: str) -> dict[str, str]:
    """Read {query id: text}."""
    with _explained(name):
        return {str(query.query_id): _title_and_text(query)[1] for query in _dataset(name, "queries").queries_iter()}


def irds_qrels(name: str) -> Qrels:
    """Read {query id: {document id: label}}."""
    qrels = Qrels()
    with _explained(name):
        for qrel in _dataset(name, "qrels").qrels_iter():
            qrels.setdefault(str(qrel.query_id), {})[str(qrel.doc_id)] = int(qrel.relevance)
    return qrels


def irds_run(name: str) -> Run:
    """Read the scored documents of a data set as a run; ranks follow their order."""
    run = Run(name)
    with _explained(name):
        for number, doc in enumerate(_dataset(name, "scoreddocs").scoreddocs_iter(), start=1):
            if not math.isfinite(doc.score):
                raise InputError(f"{name}: score {doc.score} of ({doc.query_id}, {doc.doc_id}) is not finite")
            entries = run.queries.setdefault(str(doc.query_id), [])
            entries.append(RunEntry(str(doc.doc_id), len(entries) + 1, float(doc.score), number))
    return run


def irds_measures(name: str) -> tuple[str, ...]:
    """Return the official measures of a data set; empty if it has none, or if `name` is no `irds:` id."""
    if not is_irds(name):
        return ()
    dataset = _dataset(name, "qrels")
    known: Json = dataset.documentation() or {} if hasattr(dataset, "documentation") else {}  # users' own data sets have none
    return tuple(map(str, known.get("official_measures") or ()))


def _dataset(name: str, part: str) -> Any:
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingExtra("ir-datasets", "data") from error
    try:
        dataset = ir_datasets.load(name.removeprefix(_PREFIX))
    except KeyError as error:
        raise InputError(f"ir_datasets knows no data set {name}; `ir_datasets list` prints all names") from error
    if not getattr(dataset, f"has_{part}")():
        raise InputError(f"{name} has no {part}; `ir_datasets list` prints the data sets")
    return dataset


def _title_and_text(record: Any) -> tuple[str, str]:
    fields = getattr(record, "_fields", ())
    if "text" in fields:
        return (record.title if "title" in fields else ""), record.text
    return "", record.default_text()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn errors of ir_datasets into an InputError with a message of one line."""
    try:
        yield
    except LateintError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"cannot read {name}: {error.filename or error} does not exist; this data set must be downloaded by hand, as "
            "explained above by ir_datasets and at https://ir-datasets.com"
        ) from error
    except (OSError, RuntimeError) as error:
        import ir_datasets

        home = ir_datasets.util.home_path()
        reason = next(iter(error.args), "") if isinstance(error, RuntimeError) else error  # other args: the sources tried
        raise InputError(
            f"cannot read {name}: the download to {home} failed ({shorten(str(reason), 160)}); run this once with a network "
            "connection, or copy that folder from a machine that has it (the variable IR_DATASETS_HOME sets its location)"
        ) from error
