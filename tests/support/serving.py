"""A service in the process of the test, and its answers."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx

from lateint.serving.app import create_app
from lateint.serving.engine import Engine
from lateint.serving.options import ServeOptions
from lateint.serving.service import RerankService

SHAPES = {"/v2/rerank": "documents", "/v1/rerank": "documents", "/rerank": "documents", "/rerank ": "texts"}  # path: field


@asynccontextmanager
async def serving(engine, keys=None, open_cache=None, **options):
    """A service over an engine, which stays open, and a client of it."""
    path = engine.store.path if isinstance(engine, Engine) else engine.facts().path
    service = RerankService(ServeOptions(store=str(path), **options), engine, keys, open_cache)
    app = create_app(service)
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield SimpleNamespace(service=service, client=client, app=app)
    finally:
        await asyncio.to_thread(service.pool.close)
        if service.cache is not None:
            service.cache.close()
            for ranker in engine.rankers:
                ranker.cache = None


def ask(engine, *bodies, path="/v2/rerank", headers=None, keys=None, open_cache=None, **options):
    """The responses to bodies that are sent one after the other; a body is an object, or bytes. One body: its response."""

    async def run():
        async with serving(engine, keys, open_cache, **options) as here:
            return [await here.client.post(path.strip(), headers=headers, **_content(body)) for body in bodies]

    found = asyncio.run(run())
    return found[0] if len(bodies) == 1 else found


def get(engine, path, headers=None, **options):
    """The response to a GET."""

    async def run():
        async with serving(engine, **options) as here:
            return await here.client.get(path, headers=headers)

    return asyncio.run(run())


def _content(body):
    return {"content": body} if isinstance(body, bytes) else {"json": body}


def scored(response):
    """[(index, score)] of a response of any shape."""
    assert response.status_code == 200, response.text
    body = response.json()
    results = body if isinstance(body, list) else body["results"]
    return [(found["index"], found.get("relevance_score", found.get("score"))) for found in results]
