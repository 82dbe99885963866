"""Every route answers, and the OpenAPI file describes what the handler does."""

import json

import msgspec
import pytest

from lateint.serving.app import create_app
from lateint.serving.info import ServiceInfo
from lateint.serving.openapi import openapi
from lateint.serving.options import ServeOptions
from lateint.serving.service import RerankService
from lateint.serving.shapes.cohere_v1 import CohereV1Answer
from lateint.serving.shapes.cohere_v2 import CohereV2Answer
from lateint.serving.shapes.jina import JinaAnswer
from lateint.serving.shapes.tei import TeiRank
from tests.support.engine import IDS, QUERY
from tests.support.paths import ROOT
from tests.support.serving import SHAPES, ask, get, scored

ANSWERS = dict(zip(SHAPES, (CohereV2Answer, CohereV1Answer, JinaAnswer, list[TeiRank]), strict=True))


@pytest.mark.parametrize("path", SHAPES)
def test_an_answer_has_the_fields_of_its_shape(engine, path):
    response = ask(engine, {"query": QUERY, SHAPES[path]: [{"id": IDS[0]}, "bread"], "top_n": 1}, path=path)
    msgspec.json.decode(response.content, type=ANSWERS[path], strict=True)
    assert len(scored(response)) == (2 if path == "/rerank " else 1) or path == "/rerank "
    body = response.json()
    extra = json.loads(response.headers["x-lateint"]) if isinstance(body, list) else body
    assert extra["store_digest"] == engine.store.content_digest()
    assert extra["usage"] | {"total_tokens": 0, "prompt_tokens": 0} == {
        "cached_documents": 1,
        "reused_documents": 0,
        "encoded_documents": 1,
        "truncated_documents": 0,
        "total_tokens": 0,
        "prompt_tokens": 0,
    }
    assert set(extra["timing_ms"]) == {"fetch", "decode", "encode", "compute", "wait", "total"}
    assert sum(ms for name, ms in extra["timing_ms"].items() if name != "total") <= extra["timing_ms"]["total"] + 0.01


def test_candidates_come_back_as_they_were_sent(engine):
    sent = [{"id": IDS[0]}, "bread", {"id": IDS[1], "text": "stone"}]
    expected = {0: {"id": IDS[0], "text": ""}, 1: {"text": "bread"}, 2: {"id": IDS[1], "text": "stone"}}
    for path, asked in (("/rerank", {}), ("/v1/rerank", {"return_documents": True})):
        results = ask(engine, {"query": QUERY, "documents": sent, **asked}, path=path).json()["results"]
        assert {result["index"]: result["document"] for result in results} == expected
    for path, asked in (
        ("/rerank", {"return_documents": False}),
        ("/v1/rerank", {}),
        ("/v2/rerank", {"return_documents": True}),
    ):
        results = ask(engine, {"query": QUERY, "documents": sent, **asked}, path=path).json()["results"]
        assert not any("document" in result for result in results)
    texts = ask(engine, {"query": QUERY, "texts": sent, "return_text": True}, path="/rerank").json()
    assert {result["index"]: result.get("text") for result in texts} == {0: None, 1: "bread", 2: "stone"}


def test_a_prefix_makes_ids_of_texts_only_if_it_is_set(engine):
    body = {"query": QUERY, "documents": [f"id:{IDS[4]}", "bread"]}
    plain, ids = ask(engine, body).json()["usage"], ask(engine, body, id_prefix="id:").json()["usage"]
    assert (plain["cached_documents"], plain["encoded_documents"]) == (0, 2)
    assert (ids["cached_documents"], ids["encoded_documents"]) == (1, 1)
    results = ask(engine, body, path="/rerank", id_prefix="id:").json()["results"]
    assert {result["index"]: result["document"]["text"] for result in results} == dict(enumerate(body["documents"]))


def test_info_names_what_is_served_and_no_path(engine):
    response = get(engine, "/info", id_prefix="id:")
    found = msgspec.json.decode(response.content, type=ServiceInfo)
    assert found.ready and found.store.documents == 40 and found.store.content_digest == engine.store.content_digest()
    assert found.heads == ["cosine", "joint_layers"] and found.limits.documents == 10_000 and found.id_prefix == "id:"
    assert str(engine.store.path.parent) not in response.text and "/tmp" not in response.text


def test_metrics_count_requests_and_candidates(engine):
    import asyncio

    from tests.support.serving import serving

    async def run():
        async with serving(engine) as here:
            await here.client.post("/v2/rerank", json={"query": QUERY, "documents": [{"id": IDS[0]}, "bread", "stone"]})
            await here.client.post("/rerank", content=b"{")
            return (await here.client.get("/metrics")).text

    text = asyncio.run(run())
    assert 'lateint_serve_requests_total{shape="cohere_v2",status="200"} 1.0' in text
    assert 'lateint_serve_requests_total{shape="jina",status="400"} 1.0' in text
    assert 'lateint_serve_candidates_total{origin="encoded"} 2.0' in text
    assert 'lateint_serve_candidates_total{origin="stored"} 1.0' in text
    assert "lateint_serve_ready 1.0" in text


def test_openapi_describes_every_route_and_is_committed(engine):
    described = openapi()
    committed = ROOT / "docs" / "reference" / "openapi.json"
    assert json.loads(committed.read_text()) == json.loads(json.dumps(described)), "write it again: see its page"
    service = RerankService(ServeOptions(store=str(engine.store.path)), engine)
    try:
        routes = {(route.path, method) for route in create_app(service).routes for method in route.methods - {"HEAD"}}
    finally:
        service.pool.close()
    assert {(path, method.upper()) for path, methods in described["paths"].items() for method in methods} == routes


def test_openapi_names_every_field_that_the_handler_reads_and_writes(engine):
    schemas = openapi()["components"]["schemas"]
    response = ask(engine, {"query": QUERY, "documents": [{"id": IDS[0]}], "ladder": "cosine:1"}, path="/rerank")
    assert set(response.json()) <= set(schemas["JinaAnswer"]["properties"])
    refused = ask(engine, {"query": QUERY, "documents": [{"id": "no"}]}, path="/rerank")
    assert set(refused.json()) == set(schemas["JinaError"]["properties"])
    assert {"query", "documents", "texts", "missing", "ladder", "budget_ms"} <= set(schemas["Body"]["properties"])
