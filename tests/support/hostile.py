"""Random requests of all kinds to the service, most of them wrong, and the types that its answers have."""

import json

import msgspec

from lateint.serving.shapes.cohere_v1 import CohereV1Answer, CohereV1Error
from lateint.serving.shapes.cohere_v2 import CohereV2Answer, CohereV2Error
from lateint.serving.shapes.jina import JinaAnswer, JinaError
from lateint.serving.shapes.tei import TeiError, TeiRank
from tests.support.engine import IDS, QUERY

FORMS = {
    "/v2/rerank": ((CohereV2Answer,), (CohereV2Error,)),
    "/v1/rerank": ((CohereV1Answer,), (CohereV1Error,)),
    "/rerank": ((JinaAnswer, list[TeiRank]), (JinaError, TeiError)),
}
STRANGE = [
    None, True, 0, -1, 1.5, 1e308, -1e308, 10**30, "", " ", "\x00", "\U0001f9c1", "\u202e", "a" * 3000, [], {}, [[]], {"id": 1},
    "cosine:2", "cosine:0", "cosine:-1", "cosine:99999999999999999999", "joint_layers:1", "skip", "error", "encode",
    [["cosine", 3]], {"id": "nowhere"}, {"text": "bread"}, {"id": "d02", "text": "x"}, {"id": ""}, {"$ref": "#"}, "../../etc/x",
]  # fmt: skip
HEADERS = [
    "content-length: -1", "content-length: 99999999999999999999", "content-length: 1e3", "transfer-encoding: chunked",
    "transfer-encoding: gzip, chunked", "expect: 100-continue", "content-encoding: gzip", "authorization: Bearer \xff",
    "authorization: " + "a" * 9000, "x-lateint: \x00", "x\x7f: y", " folded", "upgrade: websocket", "content-type: text/html",
    "x: a\rlocation: http://x", ": empty", "range: bytes=0-1", "connection: upgrade", "x-forwarded-for: '\"><script>",
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


def head(rng):
    """The bytes of one request whose head is wrong, or whose body does not fit its head."""
    path, body = rng.choice([*FORMS, "/info", "/../etc/passwd", "/%00", "/v2/rerank/" + "a" * 5000, "*", ""]), request(rng)
    method = rng.choice(["POST", "GET", "PUT", "HEAD", "OPTIONS", "P\x00ST", "", "post", "CONNECT"])
    lines = [
        f"{method} {path} HTTP/{rng.choice(['1.1', '1.1', '1.1', '1.0', '2.0', '9', 'x'])}",
        "host: x",
        "connection: close",
    ]
    for _ in range(rng.randrange(4)):
        lines.append(rng.choice(HEADERS))
    if rng.random() < 0.5:
        lines.append(f"content-length: {len(body)}")
    data = bytearray("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    if rng.random() < 0.3:
        data[rng.randrange(min(len(data), 60))] = rng.randrange(256)
    return bytes(data)


def check(path, status, content):
    """See that an answer is no 5xx and valid in its shape. Raises: ValueError."""
    if status not in (200, 400, 404, 413, 429):
        raise ValueError(f"status {status}: {content[:300]!r}")
    answers, errors = FORMS[path]
    decoded(content, answers if status == 200 else errors)
