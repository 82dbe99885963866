"""Queries gather into batches, texts wait for requests without any, and overload ranks less deep before it refuses."""

import asyncio
import threading
import time

import numpy as np
import pytest

from lateint.heads.inputs import Query
from lateint.ranking.ladder import Cost
from lateint.ranking.ranker import Ranker
from lateint.serving.admission import Admission
from lateint.serving.encoding import EncodingLane
from lateint.serving.engine import Engine
from lateint.serving.failures import Refused
from lateint.serving.gathering import QueryGatherer
from lateint.serving.pool import ScorerPool, processors
from lateint.serving.requests import RerankRequest
from lateint.testing import tiny
from lateint_store.errors import InputError
from tests.support.engine import IDS, QUERIES, QUERY, scores
from tests.support.serving import ask, scored, serving

TEXTS = ["bread and yeast", "a wheel of stone", "rain on the river"]


@pytest.fixture
def pool():
    made = ScorerPool(2)
    yield made
    made.close()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def body(count=len(IDS), **fields):
    return {"query": QUERY, "documents": [{"id": doc_id} for doc_id in IDS[:count]], "raw_scores": True, **fields}


@pytest.mark.parametrize("threads", [1, 2])
def test_work_in_the_background_never_starts_before_other_work(threads):
    pool, open_gate = ScorerPool(threads), threading.Event()
    order, left = [], []

    def text(number):
        left.append(len(pool._urgent))
        order.append(f"text {number}")

    async def main():
        gate = [asyncio.create_task(pool.run(open_gate.wait)) for _ in range(threads)]
        await asyncio.sleep(0.02)
        work = [asyncio.create_task(pool.run_in_background(text, i)) for i in range(3)]
        await asyncio.sleep(0.02)
        work += [asyncio.create_task(pool.run(order.append, f"id {i}")) for i in range(3)]
        await asyncio.sleep(0.02)
        open_gate.set()
        await asyncio.gather(*gate, *work)

    try:
        run(main())
    finally:
        pool.close()
    assert left == [0, 0, 0]  # of several threads, one may have taken work and not yet begun it
    assert threads > 1 or order == ["id 0", "id 1", "id 2", "text 0", "text 1", "text 2"]


def test_work_in_the_background_leaves_a_thread_free(pool):
    running, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    async def main():
        await asyncio.gather(*(pool.run_in_background(work) for _ in range(5)))

    run(main())
    assert most == 1


def test_work_whose_caller_has_given_up_is_dropped(pool):
    done, gate = [], threading.Event()

    async def main():
        blocked = [asyncio.create_task(pool.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.run(done.append, 1), 0.02)
        gate.set()
        await asyncio.gather(*blocked)
        await pool.run(done.append, 2)

    run(main())
    assert done == [2]


def test_a_pool_is_idle_once_its_last_caller_hears_of_the_end(pool, monkeypatch):
    """Otherwise the next request of the same client, which comes at once, would be gathered and take two jobs."""
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        tell = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call, **more: seen.append(pool.busy) or tell(*call, **more))
        await pool.run(int)
        await pool.run_in_background(int)

    run(main())
    assert seen == [False, False]


def test_the_thread_that_worked_last_works_next(pool):
    """Its caches are warm."""

    async def main():
        found = []
        for _ in range(6):
            await asyncio.sleep(0.005)
            found.append(await pool.run(threading.get_ident))
        return found

    assert len(set(run(main()))) == 1


def test_each_scorer_has_one_torch_thread(pool):
    import torch

    assert run(pool.run(torch.get_num_threads)) == 1


def test_an_error_of_work_is_the_callers(pool):
    with pytest.raises(ZeroDivisionError):
        run(pool.run(lambda: 1 / 0))


def gathered(pool, model, texts, gather_ms=30):
    """What a gatherer returns for queries that come at once, and the sizes of its batches."""
    sizes, queries = [], model.queries

    def spy(batch):
        sizes.append(len(batch))
        return queries(batch)

    async def main():
        gatherer = QueryGatherer(pool, gather_ms)
        return await asyncio.gather(*(gatherer.state(model, text) for text in texts), return_exceptions=True)

    model.queries = spy
    try:
        return run(main()), sizes
    finally:
        del model.queries


def test_queries_that_come_together_run_together(pool, engine):
    states, sizes = gathered(pool, engine.model, QUERIES)
    assert sizes == [len(QUERIES)]
    for text, state in zip(QUERIES, states, strict=True):
        assert np.allclose(state.rows.states, engine.model.query(text).rows.states, atol=1e-5)


def test_a_bad_query_fails_no_other(pool, engine):
    states, _ = gathered(pool, engine.model, [QUERY, " ", QUERIES[1]])
    assert [type(state) for state in states] == [Query, InputError, Query]


def test_texts_of_several_requests_are_encoded_together(pool, engine):
    sizes, encode = [], engine.model.encode

    def spy(rows):
        sizes.append(len(rows))
        return encode(rows)

    async def main():
        lane = EncodingLane(pool, 10_000)
        gate = threading.Event()
        blocked = [asyncio.create_task(pool.run(gate.wait)) for _ in range(2)]
        waiting = [asyncio.create_task(lane.encode(engine.ranker, [text, "bread"])) for text in TEXTS]
        gate.set()
        await asyncio.gather(*blocked)
        return await asyncio.gather(*waiting)

    engine.model.encode = spy
    try:
        found = run(main())
    finally:
        del engine.model.encode
    assert sum(sizes) == 6 and len(sizes) < 4
    for text, ready in zip(TEXTS, found, strict=True):
        alone = run_alone(pool, engine, [text, "bread"])
        assert np.allclose(ready.texts.arrays["states"].values, alone.texts.arrays["states"].values, atol=1e-4)


def test_a_large_request_does_not_hold_up_a_small_one(pool, engine):
    large = [f"{text} {' '.join(TEXTS) * 3}" for text in tiny.texts(400, seed=5)]
    order = []

    async def main():
        lane = EncodingLane(pool, 10**6)

        async def ask(name, texts):
            order.append((await lane.encode(engine.ranker, texts)) and name)

        first = asyncio.create_task(ask("large", large))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, *(ask("small", [text]) for text in TEXTS))

    run(main())
    assert order == ["small"] * 3 + ["large"]


def run_alone(pool, engine, texts):
    async def main():
        return await EncodingLane(pool, 10_000).encode(engine.ranker, texts)

    return run(main())


class KeptTexts:
    """A cache in memory, with the interface of the one on disk."""

    def __init__(self):
        self.kept, self.problem = {}, None

    def get(self, texts):
        return [self.kept.get(text) for text in texts]

    def put(self, texts, states):
        self.kept |= zip(texts, states, strict=True)

    def statistics(self):
        return {"entries": len(self.kept), "hits": 0, "misses": 0, "bytes": 0, "evicted": 0}

    def close(self):
        pass


def test_texts_are_encoded_once_if_there_is_a_cache(engine):
    cache = KeptTexts()
    sent = [{"query": QUERY, "documents": texts, "raw_scores": True} for texts in (TEXTS[:2], TEXTS, TEXTS)]
    first, second, third = ask(engine, *sent, open_cache=lambda _: cache)
    usage = [
        (found.json()["usage"]["reused_documents"], found.json()["usage"]["encoded_documents"])
        for found in (first, second, third)
    ]
    assert usage == [(0, 2), (2, 1), (3, 0)]
    expected = scores(engine.ranker.rank(QUERY, documents=TEXTS))
    for found in (second, third):
        assert {str(index): score for index, score in scored(found)} == pytest.approx(expected, abs=1e-5)


def test_a_cache_that_is_off_is_not_asked(engine):
    cache = KeptTexts()
    cache.problem, cache.get = "no space", None
    sent = {"query": QUERY, "documents": TEXTS}
    assert ask(engine, sent, open_cache=lambda _: cache).json()["usage"]["encoded_documents"] == 3


def admission(at_work, latency_ms=100):
    made = Admission(1_000, latency_ms, processors())
    made.at_work = at_work
    return made


def costly(engine, own_ms=1.0):
    costs = {"cosine": Cost(0.1, 0.001), "joint_layers": Cost(1.0, own_ms)}
    return Engine(engine.ranker, engine.store, None, costs)


REQUEST = RerankRequest(QUERY, IDS, [None] * len(IDS))


def test_the_budget_shrinks_with_the_requests_at_work(engine):
    budgets = [admission(requests).budget_ms(costly(engine), REQUEST) for requests in (1, 4 * processors(), 16 * processors())]
    assert budgets[0] is None, "all can be ranked in full"
    assert budgets[1:] == [25.0, 6.25]
    least = admission(10**6).budget_ms(costly(engine), REQUEST)
    assert least == pytest.approx(2 * 1.25 * (0.1 + 40 * 0.001)), "the cheapest head always scores all"


def test_what_cannot_be_ranked_less_deep_is_ranked_in_full(engine):
    one = Engine(engine.ranker, engine.store, None, {"joint_layers": Cost(1.0, 1.0)})
    texts = RerankRequest(QUERY, [None] * 3, TEXTS)
    explained = RerankRequest(QUERY, IDS, [None] * len(IDS), explain=True)
    assert admission(500).budget_ms(one, REQUEST) is None
    assert [admission(500).budget_ms(costly(engine), request) for request in (texts, explained)] == [None, None]


def test_under_load_answers_are_less_deep_and_say_so(engine):
    slow = costly(Engine(Ranker(engine.model, engine.store), engine.store, None, {}))
    slow.ranker.warm_up(QUERY, IDS)

    async def main():
        async with serving(slow, latency_ms=20) as here:
            here.service.admission.at_work = 20
            return await here.client.post("/v2/rerank", json=body())

    found = run(main())
    answer = found.json()
    assert answer["overload"] == {"requests": 21, "budget_ms": pytest.approx(20 * processors() / 21, abs=0.05)}
    assert answer["rungs"][0] == {"head": "cosine", "candidates": 40, "ms": answer["rungs"][0]["ms"]}
    assert sorted(index for index, _ in scored(found)) == list(range(40))


@pytest.mark.parametrize("own", [None, 1e-6])
def test_the_load_alone_never_leaves_the_given_order(engine, own):
    """A budget of the load that is too small for any head, which a busy machine can cause, still has the cheapest head run."""
    request = RerankRequest(QUERY, IDS, [None] * len(IDS), budget_ms=own)

    async def main():
        async with serving(engine) as here:
            return await here.service._ranker.answer(engine, request, 1e-6)

    found = run(main())
    expected = engine.ranker.rank(QUERY, IDS, ladder="cosine:1")
    order = [IDS[index] for index, _ in found.results]
    assert found.partial == (own is not None)
    assert order == (IDS if own else [hit.doc_id for hit in expected])


def test_more_requests_than_are_accepted_are_refused_and_told_when_to_come_again(engine):
    async def main():
        async with serving(engine, max_requests=2) as here:
            gate = threading.Event()
            blocked = [asyncio.create_task(here.service.pool.run(gate.wait)) for _ in range(here.service.pool.threads)]
            waiting = [asyncio.create_task(here.client.post("/v2/rerank", json=body())) for _ in range(2)]
            await asyncio.sleep(0.05)
            refused = [await here.client.post(path, json=body(3)) for path in ("/v2/rerank", "/rerank")]
            gate.set()
            served = await asyncio.gather(*waiting)
            await asyncio.gather(*blocked)
            return refused, served, await here.client.post("/v2/rerank", json=body())

    refused, served, after = run(main())
    assert [found.status_code for found in (*refused, *served, after)] == [429, 429, 200, 200, 200]
    assert refused[0].headers["retry-after"] == "1" and refused[0].json()["code"] == "overloaded"


def test_a_deadline_that_passes_is_told(engine):
    async def main():
        async with serving(engine, timeout_ms=400) as here:
            gate = threading.Event()
            blocked = [asyncio.create_task(here.service.pool.run(gate.wait)) for _ in range(here.service.pool.threads)]
            await asyncio.sleep(0)  # they start now
            late = await here.client.post("/v2/rerank", json=body())
            gate.set()
            await asyncio.gather(*blocked)
            return late, await here.client.post("/v2/rerank", json=body(2)), here.service.admission.at_work

    late, after, at_work = run(main())
    assert late.status_code == 503 and late.json()["code"] == "deadline" and after.status_code == 200 and at_work == 0


def test_a_request_is_counted_while_it_is_at_work(engine):
    counted = admission(0)
    with counted.enter(engine, REQUEST) as admitted:
        assert counted.at_work == admitted.requests == 1 and admitted.overload is None
    full = Admission(0, 100, 1)
    with pytest.raises(Refused, match="0 requests are at work"), full.enter(engine, REQUEST):
        pass
    assert counted.at_work == full.at_work == 0
