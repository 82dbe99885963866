"""What `/info` says: what is served, by which versions, and within which limits. No path of the server."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import msgspec
import numpy
import torch
import transformers

from lateint import __version__
from lateint.cluster.served_set import ShardHealth
from lateint.indexing.fingerprint import head_digest
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint.serving.caches import TextCaches
from lateint.serving.cluster_engine import AnyEngine, ClusterEngine, cascade_of
from lateint.serving.engine import shown_name
from lateint.serving.failures import without_paths
from lateint.serving.requests import Limits
from lateint.serving.service import RerankService


class ModelInfo(msgspec.Struct):
    """The served model. `state_digest`: of everything that stored arrays depend on."""

    name: str
    method: str
    head: str
    state_digest: str
    head_digest: str
    query_max_length: int
    doc_max_length: int


class StoreInfo(msgspec.Struct):
    """The served store as it is now."""

    name: str
    documents: int
    content_digest: str
    uuid: str
    chunks: str | None


class LimitsInfo(msgspec.Struct):
    """What one request may hold, and how many are accepted at once."""

    body_bytes: int
    documents: int
    texts: int
    tokens: int
    query_characters: int
    text_characters: int
    requests: int
    timeout_ms: int


class CacheInfo(msgspec.Struct):
    """The text cache. `problem`: why it is off."""

    problem: str | None
    statistics: dict[str, int]


class ServiceInfo(msgspec.Struct):
    """The answer of `/info`. The last five fields are those that clients of text-embeddings-inference read."""

    ready: bool
    problem: str | None
    model: ModelInfo
    then: list[str]
    store: StoreInfo
    shards: list[ShardHealth] | None
    heads: list[str]
    score: str
    id_prefix: str | None
    limits: LimitsInfo
    cache: CacheInfo | None
    workers: int
    scorers: int
    versions: dict[str, str]
    model_id: str
    model_type: dict[str, dict[str, dict[str, int]]]
    max_input_length: int
    max_client_batch_size: int
    version: str


def service_info(service: RerankService) -> ServiceInfo:
    """Describe a service. Cost: reads the states of the store. Raises: as `Store.info`."""
    engine, options, model = service.engine, service.options, service.engine.model
    facts, most, cascade = engine.facts(), model.method.document.max_length, cascade_of(engine)
    return ServiceInfo(
        ready=service.ready,
        problem=None if service.problem is None else without_paths(service.problem),
        model=_model(model, digest_json(dict(facts.manifest.fingerprint))),
        then=[] if cascade is None else [shown_name(ranker.model.name) for ranker, _ in cascade.then],
        store=StoreInfo(
            shown_name(str(facts.path)),
            facts.documents,
            facts.content_digest,
            facts.manifest.uuid,
            None if facts.chunks is None else str(facts.chunks),
        ),
        shards=_shards(engine),
        heads=engine.heads,
        score="sigmoid of the logit; the logit with raw_scores",
        id_prefix=options.id_prefix,
        limits=_limits(service.limits, options.max_requests, options.timeout_ms),
        cache=None if service.cache is None else _cache(service.cache),
        workers=options.workers,
        scorers=service.pool.threads,
        versions={
            "lateint": __version__,
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "numpy": numpy.__version__,
        },
        model_id=shown_name(model.name),
        model_type={"reranker": {"id2label": {"0": 0}, "label2id": {"0": 0}}},
        max_input_length=most,
        max_client_batch_size=service.limits.documents,
        version=__version__,
    )


def _model(model: Model, state_digest: str) -> ModelInfo:
    method = model.method
    lengths = method.query.max_length, method.document.max_length
    return ModelInfo(shown_name(model.name), method.name, method.head.name, state_digest, _head_digest(model), *lengths)


@lru_cache(maxsize=2)
def _head_digest(model: Model) -> str:
    """Hash the head's weights, which no request changes, once."""
    return head_digest(model)


def _shards(engine: AnyEngine) -> list[ShardHealth] | None:
    """Describe the shards of a set that owners score; None if this process scores."""
    if not isinstance(engine, ClusterEngine):
        return None
    return [replace(shard, problem=_shown(shard.problem)) for shard in engine.cluster.health()]


def _shown(problem: str | None) -> str | None:
    return None if problem is None else without_paths(problem)


def _limits(limits: Limits, requests: int, timeout_ms: int) -> LimitsInfo:
    return LimitsInfo(
        limits.body,
        limits.documents,
        limits.texts,
        limits.tokens,
        limits.query_characters,
        limits.text_characters,
        requests,
        timeout_ms,
    )


def _cache(cache: TextCaches) -> CacheInfo:
    """Describe the cache, without the path that its problem may name."""
    return CacheInfo(_shown(cache.problem), cache.statistics())
