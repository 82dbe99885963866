"""Bad requests get a 4xx in the client's own form, and no path of the server."""

import json
from tempfile import gettempdir

import msgspec
import pytest

from lateint.serving.keys import ApiKeys
from lateint.serving.shapes.cohere_v1 import CohereV1Error
from lateint.serving.shapes.cohere_v2 import CohereV2Error
from lateint.serving.shapes.jina import JinaError
from lateint.serving.shapes.tei import TeiError
from tests.support.engine import IDS, QUERY
from tests.support.paths import ROOT
from tests.support.serving import SHAPES, ask, get, scored

FORMS = dict(zip(SHAPES, (CohereV2Error, CohereV1Error, JinaError, TeiError), strict=True))
HOSTILE = {
    "empty": (b"", 400, "no JSON"),
    "cut off": (b'{"query": "a"', 400, "no JSON"),
    "not an object": (b"[1, 2]", 400, "Expected `object`"),
    "deep": (b'{"query": "a", "x": ' + b"[" * 100_000, 400, "nested too deeply"),
    "invalid UTF-8": (b'{"query": "\xff\xfe", "documents": ["a"]}', 400, "no JSON"),
    "a lone surrogate": (b'{"query": "\\ud800", "documents": ["a"]}', 400, "no JSON"),
    "NaN": (b'{"query": "a", "documents": ["a"], "budget_ms": NaN}', 400, "no JSON"),
    "infinite": (b'{"query": "a", "documents": ["a"], "budget_ms": 1e999}', 400, "out of range"),
    "no query": (b'{"documents": ["a"]}', 400, "`query`"),
    "query is a number": (b'{"query": 7, "documents": ["a"]}', 400, "$.query"),
    "no documents": (b'{"query": "a"}', 400, "documents is absent"),
    "a number among documents": (b'{"query": "a", "documents": ["a", 5]}', 400, "$.documents[1]"),
    "an id that is a number": (b'{"query": "a", "documents": [{"id": 5}]}', 400, "$.documents[0].id"),
}
FIELDS = {
    "no candidate": ({"documents": []}, 400, "documents is empty"),
    "neither id nor text": ({"documents": [{}]}, 400, "document 0 has no id and no text"),
    "empty id": ({"documents": [{"id": ""}]}, 400, "an id of 0 bytes"),
    "long id": ({"documents": [{"id": "x" * 70_000}]}, 400, "an id of 70000 bytes"),
    "id of many bytes": ({"documents": [{"id": "\u20ac" * 30_000}]}, 400, "90000 bytes"),
    "empty query": ({"query": ""}, 400, "holds no token"),
    "blank query": ({"query": " \t\u3000"}, 400, "holds no token"),
    "long query": ({"query": "a" * 20_000}, 413, "a query of 20000 characters"),
    "negative top_n": ({"top_n": -1}, 400, "top_n is -1"),
    "fractional top_n": ({"top_n": 1.5}, 400, "$.top_n"),
    "negative budget": ({"budget_ms": -1}, 400, "budget_ms is -1"),
    "no such missing": ({"missing": "maybe"}, 400, "$.missing"),
    "no such rung": ({"ladder": "maxsim:5"}, 400, "no rung 'maxsim'"),
    "a ladder of numbers": ({"ladder": [[1, 2]]}, 400, "$.ladder"),
    "a ladder over texts": ({"documents": ["a"], "ladder": "cosine:5"}, 400, "ladder and budget_ms"),
    "a budget over texts": ({"documents": ["a"], "budget_ms": 5}, 400, "ladder and budget_ms"),
    "explained ladder": ({"ladder": "cosine:5", "explain": True}, 400, "explain"),
    "a head that cannot explain": ({"explain": True}, 400, "joint_layers"),
    "unknown long id": ({"documents": [{"id": "x" * 600}]}, 404, "x...'"),
    "unknown ids": (
        {"documents": [{"id": "nowhere"}, {"id": "d03"}]},
        404,
        "1 of the documents are not in the store: 'nowhere'",
    ),
    "unknown though a text is there": ({"documents": [{"id": "no", "text": "a"}], "missing": "error"}, 404, "'no'"),
    "10,001 ids": ({"documents": [{"id": "d03"}] * 10_001}, 413, "10001 documents; expected at most 10000"),
    "1,001 texts": ({"documents": ["a"] * 1_001}, 413, "1001 documents with a text"),
    "a long text": ({"documents": ["a" * 1_000_001]}, 413, "document 0 has 1000001 characters"),
}


def check(response, status, message, form):
    assert response.status_code == status, response.text
    assert message in response.text.replace('\\"', '"')
    told = (str(ROOT), gettempdir(), "Traceback", ".py")  # where the code lies, and the store
    assert not [secret for secret in told if secret in response.text]
    return msgspec.json.decode(response.content, type=form)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_json_is_refused(engine, case):
    body, status, message = HOSTILE[case]
    found = check(ask(engine, body), status, message, CohereV2Error)
    assert found.code == "invalid_request"


def test_a_message_quotes_no_more_than_a_part_of_what_was_sent(engine):
    long = "a" * 100_000
    sent = [{"query": QUERY, "documents": ["a"], **own} for own in ({"missing": long}, {"ladder": [[long, 1]]})]
    sent[1]["documents"] = [{"id": IDS[0]}]
    for response in ask(engine, *sent):
        assert response.status_code == 400 and len(response.content) < 1_200


def test_bad_fields_are_refused(engine):
    fields = [{"query": QUERY, "documents": [{"id": IDS[0]}], **own} for own, _, _ in FIELDS.values()]
    for case, response in zip(FIELDS, ask(engine, *fields), strict=True):
        _, status, message = FIELDS[case]
        check(response, status, message, CohereV2Error)


@pytest.mark.parametrize("path", SHAPES)
def test_each_shape_has_errors_of_its_own(engine, path):
    unknown = {"query": QUERY, SHAPES[path]: [{"id": "nowhere"}]}
    found = check(ask(engine, unknown, path=path), 404, "'nowhere'", FORMS[path])
    assert found.ids == ["nowhere"]
    text = found.error if path == "/rerank " else found.message
    assert text.startswith("1 of the documents")


def test_an_error_before_the_shape_is_known_has_the_fields_of_both(engine):
    response = ask(engine, b"{", path="/rerank")
    for form in (JinaError, TeiError):
        check(response, 400, "no JSON", form)
    assert response.json()["error_type"] == "Validation" and response.json()["type"] == "BadRequestError"


def test_absent_documents_are_left_out_only_if_that_is_asked_for(engine):
    documents = [{"id": "no"}, {"id": IDS[2]}, {"id": "neither", "text": "bread"}]
    skipped = ask(engine, {"query": QUERY, "documents": documents, "missing": "skip"})
    assert [index for index, _ in scored(skipped)] == [1] and skipped.json()["partial"]


def test_strange_texts_are_texts(engine):
    texts = ["", " ", "\x00", "\ufeff", "\u202e", "\U0001f9c1" * 50, "a\u0301" * 1000, "<script>", "'; drop table"]
    assert sorted(index for index, _ in scored(ask(engine, {"query": "\x00 bread", "documents": texts}))) == list(range(9))


def test_a_body_over_the_limit_is_refused_before_it_is_read(engine):
    announced = ask(engine, b"x" * 10, headers={"content-length": "99999999"})
    check(announced, 413, "a body of 99999999 bytes", CohereV2Error)
    check(ask(engine, b"x" * ((1 << 20) + 1), max_body_mib=1), 413, "a body of", CohereV2Error)


def test_a_body_that_never_ends_is_cut(engine):
    import asyncio

    from tests.support.serving import serving

    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    async def run():
        async with serving(engine, max_body_mib=1) as here:
            return await here.client.post("/v2/rerank", content=endless())

    check(asyncio.run(run()), 413, "a body of more than", CohereV2Error)
    assert sent <= (1 << 20) + (1 << 17)


def test_bodies_that_arrive_slowly_are_bounded_in_sum():
    import asyncio

    from lateint.serving.bodies import BodyReader
    from lateint.serving.failures import Refused

    class Slow:
        """A client that sends 900 bytes of a body, and waits."""

        def __init__(self, go_on):
            self.headers, self._go_on = {}, go_on

        async def stream(self):
            yield b"x" * 900
            await self._go_on.wait()
            yield b"x" * 100

    async def run():
        reader, go_on = BodyReader(1_000), asyncio.Event()
        slow = [asyncio.create_task(reader.read(Slow(go_on))) for _ in range(35)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="other clients still send hold 31500 bytes") as refused:
            await reader.read(Slow(go_on))
        go_on.set()
        bodies = await asyncio.gather(*slow)
        assert reader.held == 0 and {len(body) for body in bodies} == {1_000}
        assert len(await reader.read(Slow(go_on))) == 1_000
        return refused.value.failure

    failure = asyncio.run(run())
    assert (failure.status, failure.retry_after) == (429, 1)


def test_more_tokens_than_a_request_may_encode_are_refused(engine):
    body = {"query": QUERY, "documents": ["bread " * 40] * 2 + ["stone " * 40]}
    check(ask(engine, body, max_tokens=60), 413, "tokens to encode; expected at most 60", CohereV2Error)


def test_truncate_false_refuses_what_the_model_would_cut(engine):
    long, short = "bread " * 100, "bread"
    sent = [
        {"query": QUERY, "texts": [short, text], "truncate": keep}
        for text, keep in ((long, False), (long, True), (short, False))
    ]
    refused, *served = ask(engine, *sent, path="/rerank")
    check(refused, 400, "1 of the texts are longer than the model reads", TeiError)
    assert [response.status_code for response in served] == [200, 200]
    extra = json.loads(served[0].headers["x-lateint"])
    assert extra["usage"]["truncated_documents"] == 1


def test_a_wrong_key_is_refused_on_every_private_path(engine):
    keys = ApiKeys(["first-key", "second-key"])
    body = {"query": QUERY, "documents": [{"id": IDS[0]}]}
    for header in (None, "Bearer third-key", "Basic first-key", "first-key", "Bearer ", "Bearer \xff\xfe"):
        headers = {} if header is None else {"authorization": header.encode("latin-1")}
        response = ask(engine, body, keys=keys, headers=headers)
        check(response, 401, "no valid API key", CohereV2Error)
        assert response.headers["www-authenticate"] == "Bearer"
    assert ask(engine, body, keys=keys, headers={"authorization": "bearer second-key"}).status_code == 200
    status = {
        path: get(engine, path, keys=keys).status_code for path in ("/health", "/ready", "/info", "/metrics", "/openapi.json")
    }
    assert list(status.values()) == [200, 200, 401, 401, 401]


def test_unknown_paths_and_methods_are_answered_in_json(engine):
    assert get(engine, "/v3/rerank").json()["code"] == "not_found"
    wrong = get(engine, "/v2/rerank")
    assert wrong.status_code == 405 and wrong.json()["code"] == "method_not_allowed"


def test_an_unexpected_failure_tells_the_client_nothing(engine, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("/srv/secret/path.py")

    monkeypatch.setattr(type(engine.store), "content_digest", fail)
    response = ask(engine, {"query": QUERY, "documents": [{"id": IDS[0]}]})
    assert response.status_code == 500
    assert response.json() == {"message": "the service failed on this request; its log says why", "code": "internal", "ids": []}
