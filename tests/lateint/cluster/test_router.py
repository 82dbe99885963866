"""The router without Ray: grouping, retries, hedging, partial answers, and what they do to the owners that failed."""

import asyncio
import time

import pytest

from lateint.cluster.messages import OwnerFault
from lateint.cluster.replicas import UsualTime
from lateint.cluster.router import error_of
from lateint.cluster.set_ranking import SetRun
from lateint.errors import DamagedStore, InputError, ModelError, StoreError
from lateint.ranking.ladder import Cost, LadderPlan
from tests.support.owning import BUSY, CONTENT, LOST, ScriptedOwner, ids_of, router

SECONDS = 20.0
IDS = [doc_id for pair in zip(ids_of(0, 4), ids_of(1, 4), strict=True) for doc_id in pair]


def gather(*groups, ids=IDS, seconds=SECONDS, prepare=None):
    """What a router gathers over these owners, and the router."""

    async def run():
        made = router(*groups)
        if prepare is not None:
            prepare(made)
        return await made.gather("query", ids, "own", time.monotonic() + seconds), made

    return asyncio.run(run())


def test_each_owner_is_asked_once_for_its_own_ids_in_their_order():
    owners = [ScriptedOwner(0, "a"), ScriptedOwner(1, "b")]
    found, _ = gather([owners[0]], [owners[1]])
    for shard, owner in enumerate(owners):
        (order,) = owner.orders
        assert order.ids == [doc_id for doc_id in IDS if doc_id in ids_of(shard, 4)] and order.query == "query"
    assert list(found.scores) != IDS and found.scores.keys() == set(IDS) and not found.failures


def test_an_owner_of_none_of_the_ids_is_not_asked():
    owners = [ScriptedOwner(0, "a"), ScriptedOwner(1, "b", LOST)]
    found, _ = gather([owners[0]], [owners[1]], ids=ids_of(0, 3))
    assert len(found.scores) == 3 and not owners[1].orders


def test_ids_that_no_member_holds_are_missing_and_no_failure():
    found, _ = gather([ScriptedOwner(0, "a")], [ScriptedOwner(1, "b")], ids=[*IDS, "gone1", "gone2"])
    assert sorted(found.missing) == ["gone1", "gone2"] and not found.failures and len(found.scores) == len(IDS)


@pytest.mark.parametrize("failure", [LOST, BUSY, OwnerFault("DamagedStore", "damaged"), OwnerFault("StoreMismatch", "other")])
def test_a_failure_is_retried_once_on_another_replica(failure):
    bad, good = ScriptedOwner(0, "a", failure), ScriptedOwner(0, "b")
    found, made = gather([bad, good], [ScriptedOwner(1, "b")])
    assert found.scores.keys() == set(IDS) and not found.failures
    assert made.counts.retries == 1 and len(good.orders) == 1


def test_two_replicas_are_asked_at_most():
    owners = [ScriptedOwner(0, node, BUSY) for node in "abc"]
    found, _ = gather(owners, [ScriptedOwner(1, "b")])
    assert sum(len(owner.orders) for owner in owners) == 2
    (failure,) = found.failures
    assert failure.shard == 0 and set(failure.ids) == set(ids_of(0, 4)) and failure.reason.count("does not answer") == 2
    assert found.scores.keys() == set(ids_of(1, 4))


def test_a_shard_without_a_ready_replica_costs_its_own_ids_alone():
    def prepare(made):
        made.shards[0].problem = "node a: gone"

    found, _ = gather([], [ScriptedOwner(1, "b")], prepare=prepare)
    assert [failure.reason for failure in found.failures] == ["no replica is ready: node a: gone"]
    assert found.scores.keys() == set(ids_of(1, 4))


def test_a_late_call_is_sent_to_another_replica_too_and_the_first_answer_counts():
    silent, good = ScriptedOwner(0, "a", "never"), ScriptedOwner(0, "b")

    async def run():
        made = router([silent, good], [ScriptedOwner(1, "b")])
        for shard in made.shards:
            shard.usual.first = 0.01
        first = await made.gather("query", IDS, "own", time.monotonic() + SECONDS)
        second = await made.gather("query", IDS, "own", time.monotonic() + SECONDS)
        return first, second, made

    first, second, made = asyncio.run(run())
    assert not first.failures and not second.failures and made.counts.hedges == 1
    assert len(silent.orders) == 1 and len(good.orders) == 2, "who was late is avoided for a while"


def test_what_only_avoided_replicas_can_answer_is_asked_of_them():
    async def again():
        made = router([ScriptedOwner(0, "a", BUSY, "answer")], [ScriptedOwner(1, "b")])
        return [await made.gather("query", IDS, "own", time.monotonic() + SECONDS) for _ in range(2)]

    assert [len(found.failures) for found in asyncio.run(again())] == [1, 0]


def test_at_the_deadline_a_silent_shard_is_a_failure():
    silent = [ScriptedOwner(0, node, "never") for node in "ab"]
    found, _ = gather(silent, [ScriptedOwner(1, "b")], seconds=0.05, prepare=_impatient)
    (failure,) = found.failures
    assert failure.reason.count("no answer within") == 2 and found.scores.keys() == set(ids_of(1, 4))


def _impatient(made):
    for shard in made.shards:
        shard.usual.first = 0.01


def test_calls_to_a_replica_that_is_given_up_end_at_once():
    silent = ScriptedOwner(0, "a", "never")

    async def run():
        made = router([silent], [ScriptedOwner(1, "b")])
        asyncio.get_running_loop().call_later(0.02, made.shards[0].give_up, made.shards[0].replicas[0], "node a is gone")
        return await made.gather("query", IDS, "own", time.monotonic() + SECONDS), made

    found, made = asyncio.run(run())
    assert [failure.reason for failure in found.failures] == ["node a: node a is gone"]
    assert silent.stopped and made.shards[0].lost == 1 and not made.shards[0].ready


def test_a_dead_replica_leaves_the_shard_and_a_busy_one_stays():
    for failure, left in ((LOST, 1), (BUSY, 2)):
        _, made = gather([ScriptedOwner(0, "a", failure), ScriptedOwner(0, "b")], [ScriptedOwner(1, "b")])
        assert made.shards[0].ready == left


def test_scores_of_another_version_are_never_used():
    foreign, good = ScriptedOwner(0, "a", CONTENT[1]), ScriptedOwner(0, "b")
    found, made = gather([foreign, good], [ScriptedOwner(1, "b")])
    assert found.scores.keys() == set(IDS) and {answer.content for answer in found.answers} == set(CONTENT[:2])
    assert made.counts.foreign == 1 and made.shards[0].ready == 1 and foreign.stopped
    found, made = gather([ScriptedOwner(0, "a", CONTENT[1])], [ScriptedOwner(1, "b")])
    assert "another version" in found.failures[0].reason and found.scores.keys() == set(ids_of(1, 4))


@pytest.mark.parametrize("kind", [InputError, ModelError])
def test_an_error_that_every_replica_has_is_raised_and_not_retried(kind):
    first, second = ScriptedOwner(0, "a", OwnerFault(kind.__name__, "no token", True)), ScriptedOwner(0, "b")
    with pytest.raises(kind, match="no token"):
        gather([first, second], [ScriptedOwner(1, "b")])
    assert not second.orders


def test_errors_keep_their_class_unless_it_needs_more_than_a_message():
    assert type(error_of(OwnerFault("StoreNotFound", "x"))).__name__ == "StoreNotFound"
    for kind in ("DamagedStore", "OSError", "Whatever"):
        assert type(error_of(OwnerFault(kind, "gone"))) is StoreError
    assert str(error_of(OwnerFault(DamagedStore.__name__, "gone"))) == "gone"


def test_the_replica_with_the_least_work_is_asked():
    owners = [ScriptedOwner(0, node, 0.05) for node in "abc"]

    async def run():
        made = router(owners, [ScriptedOwner(1, "b")])
        await asyncio.gather(*(made.gather("query", ids_of(0, 2), "own", time.monotonic() + SECONDS) for _ in range(6)))

    asyncio.run(run())
    assert [len(owner.orders) for owner in owners] == [2, 2, 2]


def test_patience_follows_the_calls_of_each_size():
    usual = UsualTime()
    assert usual.patience(100) == usual.first
    for _ in range(50):
        usual.add(100, 0.02)
        usual.add(5000, 3.0)
    assert usual.patience(100) == usual.patience(90) == usual.least
    assert 3.0 < usual.patience(5000) <= 6.0 and usual.patience(10) == usual.first


def ranked(made, ids, plan, costs=None):
    async def run():
        found = made()
        return await SetRun(found, "own", costs or {}, "query", time.monotonic() + SECONDS).rank(ids, plan), found

    return asyncio.run(run())


def test_a_ladder_prunes_over_the_candidates_of_all_shards():
    owners = [ScriptedOwner(0, "a"), ScriptedOwner(1, "b")]
    long = [f"{doc_id}-longer" for doc_id in ids_of(0, 3, members=2)]
    owner = {doc_id: 0 for doc_id in long} | {doc_id: 1 for doc_id in ids_of(1, 5)}
    ids = [*ids_of(1, 5), *long]

    def made():
        return router([owners[0]], [owners[1]], owner=lambda given: [owner[doc_id] for doc_id in given])

    found, _ = ranked(made, ids, LadderPlan((("cheap", 3),)))
    assert [order.head for order in owners[0].orders] == ["cheap", "own"], "its three are the best of all eight"
    assert [order.head for order in owners[1].orders] == ["cheap"]
    assert [hit.doc_id for hit in found][:3] == sorted(long) and len(found) == 8
    assert [(rung.head, rung.candidates) for rung in found.timing.rungs] == [("cheap", 8), ("own", 3)]


def test_a_shard_that_fails_in_a_later_rung_loses_its_candidates_alone():
    owners = [ScriptedOwner(0, "a", "answer", BUSY), ScriptedOwner(1, "b")]
    found, _ = ranked(lambda: router([owners[0]], [owners[1]]), IDS, LadderPlan((("cheap", len(IDS)),)))
    (failure,) = found.failures
    assert set(failure.ids) == set(ids_of(0, 4)) and {hit.doc_id for hit in found} == set(ids_of(1, 4))


def test_a_budget_that_no_rung_fits_keeps_the_given_order_of_what_is_held():
    made = lambda: router([ScriptedOwner(0, "a")], [ScriptedOwner(1, "b")])  # noqa: E731
    plan = LadderPlan((("cheap", 1 << 62),), budget_ms=1.0)
    found, made = ranked(made, ["gone1", *IDS], plan, {"cheap": Cost(50.0, 1.0), "own": Cost(50.0, 1.0)})
    assert [hit.doc_id for hit in found] == IDS and not found.timing.rungs and found.missing == ("gone1",)


def test_equal_scores_are_sorted_by_id_as_in_a_ranker():
    found, _ = ranked(lambda: router([ScriptedOwner(0, "a")], [ScriptedOwner(1, "b")]), IDS[::-1], None)
    assert [hit.doc_id for hit in found] == sorted(IDS) and len({hit.score for hit in found}) == 1
