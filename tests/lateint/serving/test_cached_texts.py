"""The service over the text cache: texts are encoded once, over restarts too, and the service works without its folder."""

import asyncio
import json

import pytest

from lateint.indexing.build import build_store
from lateint.ranking.ranker import Ranker
from lateint.serving.caching import CachingRanker
from lateint.serving.engine import make_engine
from lateint.serving.options import ServeOptions
from lateint.serving.text_cache import TextCache
from lateint_store import parse_codecs
from tests.support import engine as small
from tests.support.engine import DOCUMENTS, IDS, QUERY, scores
from tests.support.serving import ask, get, scored, serving

TEXTS = ["bread and yeast", "a wheel of stone", "rain on the river", "bread and yeast"]
BODY = {"query": QUERY, "documents": TEXTS, "raw_scores": True}


def opener(folder):
    return lambda ranker: TextCache.open(folder, ranker.model, 8 << 20, through=ranker.through)


def usage(response):
    found = response.json()["usage"]
    return found["reused_documents"], found["encoded_documents"]


def test_texts_are_encoded_once_and_a_restart_keeps_them(engine, tmp_path):
    first, second = ask(engine, BODY, BODY, open_cache=opener(tmp_path / "cache"))
    third = ask(engine, BODY, open_cache=opener(tmp_path / "cache"))
    assert [usage(found) for found in (first, second, third)] == [(0, 3), (3, 0), (3, 0)]
    expected = scores(engine.ranker.rank(QUERY, documents=TEXTS))
    for found in (first, second, third):
        assert {str(index): score for index, score in scored(found)} == pytest.approx(expected, abs=1e-5)


def test_info_and_metrics_describe_the_cache(engine, tmp_path):
    cache = opener(tmp_path / "cache")
    found = json.loads(get(engine, "/info", open_cache=cache).text)["cache"]
    assert found["problem"] is None and found["statistics"]["entries"] == 0
    assert 'lateint_serve_text_cache{what="entries"} 0.0' in get(engine, "/metrics", open_cache=cache).text


def test_a_folder_that_is_no_cache_is_served_without(engine, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    cache = opener(tmp_path)
    assert usage(ask(engine, BODY, open_cache=cache)) == (0, 3)
    response = get(engine, "/info", open_cache=cache)
    assert response.json()["cache"]["problem"] and str(tmp_path) not in response.text


@pytest.fixture
def cascade(tmp_path):
    """An engine of two models, each over a store of its own."""
    with (
        build_store(small.model(), DOCUMENTS[:8], tmp_path / "store") as first,
        build_store(small.model("deformer"), DOCUMENTS[:8], tmp_path / "teacher") as second,
    ):
        step = CachingRanker(small.model("deformer"), second), 6
        yield make_engine(small.model(), first, ServeOptions(store=str(first.path)), [step])


def encoded_by(model, monkeypatch):
    """A list that gets the size of every batch that a model encodes."""
    sizes, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda rows: sizes.append(len(rows)) or encode(rows))
    return sizes


def test_a_cascade_encodes_texts_once_for_each_of_its_models(cascade, tmp_path, monkeypatch):
    counts = [encoded_by(ranker.model, monkeypatch) for ranker in cascade.rankers]
    cache, sent = opener(tmp_path / "cache"), BODY | {"documents": [*({"id": doc_id} for doc_id in IDS[:2]), *TEXTS]}
    first, second = ask(cascade, sent, sent, open_cache=cache)
    assert [usage(first), usage(second)] == [(0, 3), (3, 0)] and [sum(sizes) for sizes in counts] == [3, 3]
    assert first.json()["usage"]["total_tokens"] > 0 == second.json()["usage"]["total_tokens"]
    assert dict(scored(second)) == pytest.approx(dict(scored(first)), abs=1e-5)
    assert usage(ask(cascade, sent, open_cache=cache)) == (3, 0), "a restart keeps them"


def test_a_cascade_refuses_more_tokens_than_a_request_may_encode(cascade):
    refused = ask(cascade, BODY, max_tokens=5)
    assert refused.status_code == 413 and "tokens to encode; expected at most 5" in refused.text


def test_a_store_with_other_codecs_reads_nothing_that_was_kept_for_the_one_before(tmp_path):
    model, path = small.model(), tmp_path / "store"
    with build_store(model, DOCUMENTS[:4], path) as store:
        engine = make_engine(model, store, ServeOptions(store=str(path)))

        async def main():
            async with serving(engine, open_cache=opener(tmp_path / "cache")) as here:
                before = await here.client.post("/v2/rerank", json=BODY)
                path.rename(tmp_path / "old")
                with build_store(model, DOCUMENTS[:4], path, codecs=parse_codecs("states=int8+zstd")) as other:
                    expected = scores(Ranker(model, other).rank(QUERY, documents=TEXTS))
                return before, await here.client.post("/v2/rerank", json=BODY), expected

        before, after, expected = asyncio.run(main())
    assert usage(before) == usage(after) == (0, 3)
    assert {str(index): score for index, score in scored(after)} == expected != dict(scored(before))
