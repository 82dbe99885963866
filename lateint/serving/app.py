"""The routes of the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lateint.serving.bodies import BodyReader, decode_body
from lateint.serving.cluster_engine import ClusterEngine
from lateint.serving.engine import shown_name
from lateint.serving.failures import Failure, Refused, failure_of, log
from lateint.serving.info import service_info
from lateint.serving.openapi import openapi
from lateint.serving.service import RerankService
from lateint.serving.shapes.base import AnswerContext, Body, Shape, extras
from lateint.serving.shapes.cohere_v1 import CohereV1
from lateint.serving.shapes.cohere_v2 import CohereV2
from lateint.serving.shapes.jina import Jina
from lateint.serving.shapes.tei import Tei

_JSON = "application/json"
_encode = msgspec.json.Encoder().encode
Handler = Callable[[Request], Awaitable[Response]]


def create_app(service: RerankService) -> Starlette:
    """Make the ASGI application of a service; its lifespan closes the service."""
    routes = _Routes(service)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.close()

    prefix = service.options.id_prefix
    return Starlette(
        routes=[
            Route("/v2/rerank", routes.reranked([CohereV2(prefix)]), methods=["POST"]),
            Route("/v1/rerank", routes.reranked([CohereV1(prefix)]), methods=["POST"]),
            Route("/rerank", routes.reranked([Jina(prefix), Tei(prefix)]), methods=["POST"]),
            Route("/health", routes.health, methods=["GET"]),
            Route("/ready", routes.ready, methods=["GET"]),
            Route("/info", routes.info, methods=["GET"]),
            Route("/metrics", routes.metrics, methods=["GET"]),
            Route("/openapi.json", routes.openapi, methods=["GET"]),
        ],
        exception_handlers={HTTPException: routes.not_routed},
        lifespan=lifespan,
    )


class _Routes:
    def __init__(self, service: RerankService) -> None:
        self._service = service
        self._bodies = BodyReader(service.limits.body)
        self._openapi = _encode(openapi())

    def reranked(self, shapes: Sequence[Shape]) -> Handler:
        """Return the handler of a path; the body decides which of the shapes it has."""

        async def handle(request: Request) -> Response:
            started = time.perf_counter()
            found: list[Shape] = list(shapes)
            try:
                response = await self._rerank(request, found)
            except Exception as error:  # every failure gets an answer in the client's own form
                response = self._failed(found, _refusal(error))
            self._service.metrics.requests.labels(found[0].name, str(response.status_code)).inc()
            response.headers["x-total-time"] = str(round(1e3 * (time.perf_counter() - started)))
            return response

        return handle

    async def _rerank(self, request: Request, shapes: list[Shape]) -> Response:
        """Answer a request; `shapes` is reduced to the one of the body as soon as that is known."""
        service = self._service
        self._authorise(request)
        body = decode_body(await self._bodies.read(request))
        shapes[:] = [_shape_of(body, shapes)]
        shape = shapes[0]
        wanted = shape.read(body)
        answer = await service.rerank(wanted)
        service.metrics.add(shape.name, answer)
        about = AnswerContext(str(uuid4()), shown_name(service.engine.model.name))
        response = self._answer(_encode(shape.answer(wanted, answer, about)))
        if isinstance(shape, Tei):
            response.headers["x-lateint"] = _encode(extras(answer)).decode()
        return response

    def _authorise(self, request: Request) -> None:
        keys = self._service.keys
        if keys is not None and not keys.accept(request.headers.get("authorization")):
            raise Refused(Failure(401, "unauthorized", "no valid API key; send one as Authorization: Bearer KEY"))

    def _answer(self, body: bytes, status: int = 200, kind: str = _JSON) -> Response:
        headers = {"connection": "close"} if self._service.draining else {}
        return Response(body, status, headers, media_type=kind)

    def _failed(self, shapes: Sequence[Shape], failure: Failure) -> Response:
        """Answer with an error in the form of the shape; in that of all that the path serves if the body did not decide."""
        body: dict[str, object] = {}
        for shape in shapes:
            body |= msgspec.to_builtins(shape.error(failure))
        response = self._answer(_encode(body), failure.status)
        if failure.retry_after is not None:
            response.headers["retry-after"] = str(failure.retry_after)
        if failure.status == 401:
            response.headers["www-authenticate"] = "Bearer"
        return response

    async def health(self, _: Request) -> Response:
        """The process answers."""
        return self._answer(_encode({"status": "ok"}))

    async def ready(self, _: Request) -> Response:
        """Requests are welcome: 200, else 503 and why not."""
        service = self._service
        try:
            await service.check()
            reason = "the service is stopping" if service.draining else service.problem
        except Exception as error:  # a store that cannot be read
            reason = _refusal(error).message
        if reason is None:
            return self._answer(_encode({"status": "ready"}))
        return self._answer(_encode({"status": "not ready", "reason": reason}), 503)

    async def info(self, request: Request) -> Response:
        """What is served, and within which limits."""
        return await self._private(request, lambda: _encode(service_info(self._service)), _JSON)

    async def metrics(self, request: Request) -> Response:
        """Numbers for Prometheus."""
        return await self._private(request, self._measured, "text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """The description of all routes."""
        return await self._private(request, lambda: self._openapi, _JSON)

    async def _private(self, request: Request, body: Callable[[], bytes], kind: str) -> Response:
        """Answer those who have a key with what `body` returns, computed on a thread beside the pool."""
        try:
            self._authorise(request)
            return self._answer(await asyncio.to_thread(body), kind=kind)
        except Exception as error:
            return self._failed([CohereV2()], _refusal(error))

    def _measured(self) -> bytes:
        service, metrics = self._service, self._service.metrics
        metrics.at_work.set(service.admission.at_work)
        metrics.waiting.set(service.pool.waiting)
        metrics.ready.set(service.ready)
        for name, value in ({} if service.cache is None else service.cache.statistics()).items():
            metrics.cache.labels(name).set(value)
        if isinstance(service.engine, ClusterEngine):
            metrics.observe_owners(service.engine.cluster)
        return metrics.text()

    async def not_routed(self, request: Request, error: Exception) -> Response:
        """Answer a path or method that does not exist."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        message = "no such path; see /openapi.json" if status == 404 else "this path does not take this method"
        return self._failed([CohereV2()], Failure(status, "not_found" if status == 404 else "method_not_allowed", message))


def _refusal(error: Exception) -> Failure:
    """Map an error to what the client is told. What is no fault of the client is logged."""
    if isinstance(error, ClientDisconnect):
        return Failure(400, "disconnected", "the connection was closed before the body ended")
    failure = failure_of(error)
    if failure.status >= 500:
        log.error("a request failed: %s", error, exc_info=error if failure.status == 500 else None)
    return failure


def _shape_of(body: Body, shapes: Sequence[Shape]) -> Shape:
    """Return the shape whose candidates the body has; the first if it has none."""
    given = {"documents": body.documents, "texts": body.texts}
    return next((shape for shape in shapes if given[shape.candidates] is not None), shapes[0])
