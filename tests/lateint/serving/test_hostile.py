"""Random requests of all kinds: every one gets an answer that is valid in its shape, and none a 5xx."""

import asyncio
import json
import random

import msgspec

from lateint.serving.shapes.cohere_v1 import CohereV1Answer, CohereV1Error
from lateint.serving.shapes.cohere_v2 import CohereV2Answer, CohereV2Error
from lateint.serving.shapes.jina import JinaAnswer, JinaError
from lateint.serving.shapes.tei import TeiError, TeiRank
from tests.support.engine import IDS, QUERY
from tests.support.serving import serving

FORMS = {
    "/v2/rerank": ((CohereV2Answer,), (CohereV2Error,)),
    "/v1/rerank": ((CohereV1Answer,), (CohereV1Error,)),
    "/rerank": ((JinaAnswer, list[TeiRank]), (JinaError, TeiError)),
}
REQUESTS = 250
STRANGE = [
    None, True, 0, -1, 1.5, 1e308, -1e308, 10**30, "", " ", "\x00", "\U0001f9c1", "\u202e", "a" * 3000, [], {}, [[]], {"id": 1},
    "cosine:2", "cosine:0", "cosine:-1", "cosine:99999999999999999999", "joint_layers:1", "skip", "error", "encode",
    [["cosine", 3]], {"id": "nowhere"}, {"text": "bread"}, {"id": "d02", "text": "x"}, {"id": ""}, {"$ref": "#"}, "../../etc/x",
]  # fmt: skip
FIELDS = [
    "query",
    "documents",
    "texts",
    "top_n",
    "missing",
    "ladder",
    "budget_ms",
    "raw_scores",
    "explain",
    "truncate",
    "return_documents",
    "return_text",
    "model",
    "max_tokens_per_doc",
    "__class__",
]


def candidate(rng):
    return rng.choice(STRANGE) if rng.random() < 0.1 else rng.choice([{"id": rng.choice([*IDS, *["nowhere"] * 4])}, "bread"])


def request(rng):
    """The bytes of one request: usually an object with some strange fields, at times cut, doubled or with flipped bytes."""
    body = {"query": QUERY, rng.choice(["documents", "texts"]): [candidate(rng) for _ in range(rng.randrange(6))]}
    for _ in range(rng.randrange(3)):
        body[rng.choice(FIELDS)] = rng.choice(STRANGE)
    data = bytearray(json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
    kind = rng.random()
    if kind < 0.1:
        del data[rng.randrange(len(data)) :]
    elif kind < 0.3:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind < 0.35:
        data = data * 2
    return bytes(data)


def decoded(content, kinds):
    for kind in kinds:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.ValidationError as error:
            last = error
    raise last


def test_every_answer_is_valid_and_none_is_a_5xx(engine):
    rng = random.Random(1)
    sent = [(rng.choice(list(FORMS)), request(rng)) for _ in range(REQUESTS)]

    async def main():
        async with serving(engine) as here:
            return [await here.client.post(path, content=data) for path, data in sent]

    seen = set()
    for (path, data), response in zip(sent, asyncio.run(main()), strict=True):
        seen.add(response.status_code)
        assert response.status_code in (200, 400, 404, 413), (path, data, response.text)
        answers, errors = FORMS[path]
        decoded(response.content, answers if response.status_code == 200 else errors)
    assert {200, 400, 404} <= seen
