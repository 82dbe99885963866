"""The OpenAPI description of the service, made from the types that the handler decodes and encodes."""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias

import msgspec

from lateint import __version__
from lateint.serving.info import ServiceInfo
from lateint.serving.shapes.base import Body, Shape
from lateint.serving.shapes.cohere_v1 import CohereV1
from lateint.serving.shapes.cohere_v2 import CohereV2
from lateint.serving.shapes.jina import Jina
from lateint.serving.shapes.tei import Tei

Json = dict[str, object]
_ERRORS = {
    "400": "The request is wrong in itself.",
    "401": "No valid API key.",
    "404": "The store lacks some of the ids.",
    "408": "The body arrived too slowly.",
    "413": "The request is over a limit.",
    "429": "Too many requests; Retry-After says when to come again.",
    "503": "The store cannot be read, or the deadline has passed.",
}
_RERANK: dict[str, tuple[str, Sequence[type[Shape]]]] = {
    "/v2/rerank": ("Rank documents, as Cohere v2", (CohereV2,)),
    "/v1/rerank": ("Rank documents, as Cohere v1 and Jina", (CohereV1,)),
    "/rerank": ("Rank documents as Jina and vLLM, or texts as text-embeddings-inference", (Jina, Tei)),
}
_PLAIN = {
    "/health": ("The process answers", "object", False),
    "/ready": ("200 if requests are welcome, else 503", "object", False),
    "/metrics": ("Numbers for Prometheus", "string", True),
    "/openapi.json": ("This description", "object", True),
}


def openapi() -> Json:
    """Return the description."""
    kinds = [kind for _, shapes in _RERANK.values() for kind in shapes]
    types: list[object] = [Body, ServiceInfo, *(kind.answer_type for kind in kinds), *(kind.error_type for kind in kinds)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = {_key(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: Json = {path: _rerank_path(summary, shapes, by_type) for path, (summary, shapes) in _RERANK.items()}
    paths |= {path: _plain_path(*about) for path, about in _PLAIN.items()}
    paths["/info"] = _plain_path("What is served, and within which limits", by_type[_key(ServiceInfo)], True)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lateint serve", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _key(kind: object) -> str:
    return str(kind) if isinstance(kind, GenericAlias) else getattr(kind, "__name__", str(kind))


def _one_of(schemas: Sequence[object]) -> Json:
    return {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}}}


def _rerank_path(summary: str, shapes: Sequence[type[Shape]], by_type: dict[str, dict[str, object]]) -> Json:
    answers = [by_type[_key(shape.answer_type)] for shape in shapes]
    errors = _one_of([by_type[_key(shape.error_type)] for shape in shapes])
    responses: Json = {"200": {"description": "The ranked candidates, best first.", "content": _one_of(answers)}}
    responses |= {status: {"description": text, "content": errors} for status, text in _ERRORS.items()}
    body = {"required": True, "content": _one_of([by_type[_key(Body)]])}
    return {"post": {"summary": summary, "requestBody": body, "responses": responses, "security": [{"key": []}]}}


def _plain_path(summary: str, kind: str | dict[str, object], secured: bool) -> Json:
    media = "text/plain" if kind == "string" else "application/json"
    schema = {"type": kind} if isinstance(kind, str) else kind
    get: Json = {
        "summary": summary,
        "responses": {"200": {"description": summary + ".", "content": {media: {"schema": schema}}}},
    }
    return {"get": get | ({"security": [{"key": []}]} if secured else {})}
