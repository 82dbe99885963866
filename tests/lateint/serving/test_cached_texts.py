"""The service over the text cache: texts are encoded once, over restarts too, and the service works without its folder."""

import json

import pytest

from lateint.serving.text_cache import TextCache
from tests.support.engine import QUERY, scores
from tests.support.serving import ask, get, scored

TEXTS = ["bread and yeast", "a wheel of stone", "rain on the river", "bread and yeast"]
BODY = {"query": QUERY, "documents": TEXTS, "raw_scores": True}


def opener(engine, folder):
    return lambda: TextCache.open(folder, engine.model, 8 << 20, through=engine.ranker.through)


def usage(response):
    found = response.json()["usage"]
    return found["reused_documents"], found["encoded_documents"]


def test_texts_are_encoded_once_and_a_restart_keeps_them(engine, tmp_path):
    first, second = ask(engine, BODY, BODY, open_cache=opener(engine, tmp_path / "cache"))
    third = ask(engine, BODY, open_cache=opener(engine, tmp_path / "cache"))
    assert [usage(found) for found in (first, second, third)] == [(0, 3), (3, 0), (3, 0)]
    expected = scores(engine.ranker.rank(QUERY, documents=TEXTS))
    for found in (first, second, third):
        assert {str(index): score for index, score in scored(found)} == pytest.approx(expected, abs=1e-5)


def test_info_and_metrics_describe_the_cache(engine, tmp_path):
    cache = opener(engine, tmp_path / "cache")
    found = json.loads(get(engine, "/info", open_cache=cache).text)["cache"]
    assert found["problem"] is None and found["statistics"]["entries"] == 0
    assert 'lateint_serve_text_cache{what="entries"} 0.0' in get(engine, "/metrics", open_cache=cache).text


def test_a_folder_that_is_no_cache_is_served_without(engine, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    cache = opener(engine, tmp_path)
    assert usage(ask(engine, BODY, open_cache=cache)) == (0, 3)
    response = get(engine, "/info", open_cache=cache)
    assert response.json()["cache"]["problem"] and str(tmp_path) not in response.text
