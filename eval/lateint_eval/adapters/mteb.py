"""MTEB (extra `mteb`): evaluate a ranker on re-ranking tasks, which provide queries, a corpus and candidates."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lateint.errors import InputError, MissingDocument, MissingExtra
from lateint_eval.formats.records import Json

if TYPE_CHECKING:
    from lateint.model.document import Document
    from lateint.ranking.ranker import Missing, Ranker

ScoresByQuery = dict[str, dict[str, float]]


class SearchModel:
    """A ranker with MTEB's SearchProtocol: `mteb.evaluate(SearchModel(ranker), tasks)`.

    Only tasks with candidates are supported: tasks of type Reranking, and retrieval tasks after `convert_to_reranking`. As in
    MTEB for every model, a title is put before the document's text and an instruction after the query's text.

    Args: a `ranker` with a store looks documents up by the corpus's ids, so it must be a store of that corpus. `name` is the
    model's name in MTEB's results, "organization/name", by default `lateint/` and the method. `missing` decides about documents
    that the store lacks: `error`, `skip`, or `encode` their texts. `revision` distinguishes results with the same name. By
    default it is a digest of model, codecs and chunks, so that MTEB's cache never returns the results of another ranker; the
    contents of the store are not part of it.
    Raises: MissingExtra without mteb; InputError for a name of another form.
    """

    def __init__(
        self, ranker: Ranker, name: str | None = None, *, missing: Missing = "error", revision: str | None = None
    ) -> None:
        self.ranker = ranker
        self.missing: Missing = missing
        self.mteb_model_meta = _described(ranker, name or f"lateint/{ranker.model.method.name}", revision)
        self._corpus: Any = None
        self._rows: dict[str, int] = {}

    def index(
        self,
        corpus: Any,
        *,
        task_metadata: object,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, object],
        num_proc: int | None = None,
        **kwargs: object,
    ) -> None:
        """Keep the corpus and the row of each id; nothing is encoded before `search`, and then only candidates."""
        self._corpus, self._rows = corpus, {doc_id: row for row, doc_id in enumerate(corpus["id"])}

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, object],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **kwargs: object,
    ) -> ScoresByQuery:
        """Score the candidates of every query and keep the best `top_k`; a query without candidates gets an empty ranking.

        `encode_kwargs` is ignored: batches are sized by tokens, and precision is the model's.
        Raises: InputError for a task without candidates, or for conversations as queries; MissingDocument.
        Cost: without a store every candidate's text is encoded once, even if it is a candidate of several queries.
        """
        if top_ranked is None:
            raise InputError(
                f"task {task_metadata.name} has no candidates to re-rank; make them with mteb.evaluate(..., prediction_folder="
                "...) and another model, then task.convert_to_reranking(folder, top_k=...)"
            )
        texts = dict(zip(queries["id"], _query_texts(queries), strict=True))
        candidates = {query_id: list(dict.fromkeys(top_ranked.get(query_id, ()))) for query_id in texts}
        score = self._by_text if self.ranker.store is None else self._by_id
        return {query_id: _best(found, top_k) for query_id, found in score(texts, candidates).items()}

    def _by_text(self, texts: Mapping[str, str], candidates: Mapping[str, list[str]]) -> ScoresByQuery:
        documents = self._documents(candidates)
        asked = [(query_id, doc_id) for query_id, ids in candidates.items() for doc_id in ids]
        logits = self.ranker.logits([(texts[query_id], documents[doc_id].full_text) for query_id, doc_id in asked])
        found: ScoresByQuery = {query_id: {} for query_id in candidates}
        for (query_id, doc_id), score in zip(asked, logits.tolist(), strict=True):
            found[query_id][doc_id] = score
        return found

    def _by_id(self, texts: Mapping[str, str], candidates: Mapping[str, list[str]]) -> ScoresByQuery:
        found: ScoresByQuery = {}
        documents = self._documents(candidates) if self.missing == "encode" else {}
        for query_id, ids in candidates.items():
            given = [documents[doc_id] for doc_id in ids if doc_id in documents]
            hits = self.ranker.rank(texts[query_id], ids, documents=given, missing=self.missing)
            found[query_id] = {hit.doc_id: hit.score for hit in hits}
        return found

    def _documents(self, candidates: Mapping[str, list[str]]) -> dict[str, Document]:
        """Return all candidates as documents of the corpus."""
        from lateint.model.document import Document

        ids = list(dict.fromkeys(doc_id for chosen in candidates.values() for doc_id in chosen))
        if absent := [doc_id for doc_id in ids if doc_id not in self._rows]:
            raise MissingDocument(f"{len(absent)} candidates are not in the task's corpus: {absent[:3]!r}")
        rows = self._corpus.select([self._rows[doc_id] for doc_id in ids])
        titles = rows["title"] if "title" in rows.column_names else [""] * len(rows)
        return {i: Document(i, text, title or "") for i, text, title in zip(ids, rows["text"], titles, strict=True)}


def _query_texts(queries: Any) -> list[str]:
    texts = list(queries["text"])
    if odd := [text for text in texts if not isinstance(text, str)]:
        raise InputError(f"a query is {type(odd[0]).__name__}, not text; conversations are not supported")
    if "instruction" not in queries.column_names:
        return texts
    return [f"{text} {told}" if told is not None else text for text, told in zip(texts, queries["instruction"], strict=True)]


def _best(scores: Mapping[str, float], top_k: int) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:top_k])


def _described(ranker: Ranker, name: str, revision: str | None) -> Any:
    """Return MTEB's metadata of the model."""
    try:
        models = importlib.import_module("mteb.models")  # by name, because type checkers would import this file
    except ImportError as error:
        raise MissingExtra("mteb", "mteb") from error
    if len([part for part in name.split("/") if part]) != 2:
        raise InputError(f"name={name!r}; expected organization/name, under which MTEB stores results")
    model = ranker.model
    facts: Json = {
        "name": name,
        "revision": revision or _digest(ranker),
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "max_tokens": model.method.document.max_length,
        "framework": ["PyTorch"],
        "model_type": ["late-interaction"],
    }
    return models.ModelMeta.create_empty(overwrites=facts)


def _digest(ranker: Ranker) -> str:
    """Return a digest of everything that scores depend on: weights, tokenizer, method, codecs, chunks, aggregation."""
    from lateint.indexing.codecs import pipelines
    from lateint.indexing.fingerprint import fingerprint, head_digest
    from lateint.model.digests import digest_json

    model = ranker.model
    specs = pipelines(model) if ranker.store is None else ranker.store.manifest.specs
    codecs = {name: specs[name].to_json() for name in sorted(specs)}
    joined = [str(ranker.chunks), repr(ranker.aggregate)]
    return digest_json([model.method.to_json(), fingerprint(model), head_digest(model), codecs, joined])[:16]
