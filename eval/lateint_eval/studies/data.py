"""The data of a study: queries, judgements, candidates, and the texts of all candidates."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from lateint.model.document import Document
from lateint_eval.datasets.folder import Split, read_split
from lateint_eval.formats import check_name, read_candidates, read_corpus, read_ids, read_qrels, read_queries
from lateint_eval.studies.spec import PATHS, Data
from lateint_store.errors import InputError


def load_data(data: Data, depth: int, seed: int) -> Split:
    """Load the queries that have judgements and candidates, or a sample of them, with `depth` candidates each.

    Raises: InputError if no query is left, a query of the file `ids` cannot be used, a candidate has no text, or an environment
    variable is not set; FormatError for malformed files.
    """
    data = _expanded(data)
    found = read_split(data.folder, data.split) if data.folder else _from_files(data)
    usable = [query for query in found.queries if query in found.qrels and found.candidates.get(query)]
    if data.ids:
        usable = _named(data, usable)
    if data.sample and len(usable) > data.sample:
        order = np.random.default_rng(seed).permutation(len(usable))[: data.sample]
        usable = [usable[index] for index in sorted(order)]
    if not usable:
        raise InputError(f"data {data.name!r} has no query with judgements and candidates")
    chosen = found.only(usable, depth)
    if lacking := [doc for ids in chosen.candidates.values() for doc in ids if doc not in chosen.documents]:
        raise InputError(f"data {data.name!r}: candidate {lacking[0]!r} is not in its corpus")
    for query, ids in chosen.candidates.items():  # now, not after the first point was ranked
        check_name(query, "query id")
        for doc_id in ids:
            check_name(doc_id, "document id")
    return chosen


def candidate_texts(found: Split) -> list[Document]:
    """Return the documents that a study encodes: every candidate once, in the order in which they first occur."""
    ids = dict.fromkeys(doc_id for query in found.queries for doc_id in found.candidates[query])
    docs = (found.documents[doc_id] for doc_id in ids)
    return [Document(doc.id, doc.text, doc.title) for doc in docs]


def _expanded(data: Data) -> Data:
    """Return the set with the environment variables in its paths replaced by their values."""
    paths: dict[str, str] = {}
    for key in PATHS:
        value = getattr(data, key)
        if value.startswith("$"):
            name, _, rest = value[1:].partition("/")
            if not os.environ.get(name):
                raise InputError(f"data {data.name!r}: {key} is {value!r}, but the environment variable {name} is not set")
            paths[key] = str(Path(os.environ[name]) / rest)
    return replace(data, **paths)  # type: ignore[arg-type]


def _named(data: Data, usable: list[str]) -> list[str]:
    """Return the usable queries that the set's file of ids contains, in the order of the set."""
    try:
        wanted = {query for line in read_ids(data.ids) for query in line.split()}
    except InputError as error:
        raise InputError(f"data {data.name!r}: cannot read ids: {error}") from error
    if lacking := sorted(wanted - set(usable)):
        raise InputError(f"data {data.name!r}: query {lacking[0]!r} of {data.ids} has no judgements or no candidates")
    return [query for query in usable if query in wanted]


def _from_files(data: Data) -> Split:
    queries = read_queries(data.queries)
    candidates = {c.query_id: c for c in read_candidates(data.run) if c.query_id in queries}
    return Split(
        data.name,
        {query: queries[query] for query in candidates},
        read_qrels(data.qrels),
        {query: list(found.doc_ids) for query, found in candidates.items()},
        {query: found.scores or [0.0] * len(found.doc_ids) for query, found in candidates.items()},
        {doc.id: doc for doc in read_corpus(Path(data.corpus) if Path(data.corpus).exists() else data.corpus)},
    )
