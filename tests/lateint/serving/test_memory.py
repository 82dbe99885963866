"""Neither ranking nor an answer leaves an object behind: a service runs for months."""

import asyncio

from lateint.serving.text_cache import TextCache
from tests.support.engine import IDS, QUERY
from tests.support.leaks import left_behind
from tests.support.serving import serving

TEXTS = ["bread and yeast", "rain on the river"]
BODY = {"query": QUERY, "documents": [*({"id": doc_id} for doc_id in IDS), *TEXTS]}


def test_ranking_leaves_no_object_behind(engine):
    query = engine.model.query(QUERY)
    assert left_behind(lambda: engine.ranker.rank(query, IDS)) < 4


def test_answers_leave_no_object_behind(engine, tmp_path):
    def cache(ranker):
        return TextCache.open(tmp_path / "cache", ranker.model, 4 << 20, through=ranker.through)

    async def main():
        async with serving(engine, open_cache=cache) as here:
            loop = asyncio.get_running_loop()

            def ask():
                asyncio.run_coroutine_threadsafe(here.client.post("/v2/rerank", json=BODY), loop).result()

            return await asyncio.to_thread(left_behind, ask)

    assert asyncio.run(main()) < 10
