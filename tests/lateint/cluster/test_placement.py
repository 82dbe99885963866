"""Placement without Ray: where replicas go, what makes one ready, and what replaces those that are lost."""

import asyncio
from itertools import chain

import pytest

from lateint.cluster import placement as placing
from lateint.cluster.messages import OwnerFault
from lateint.cluster.placement import Placement
from lateint.cluster.replicas import OwnerLost, Shard
from tests.support.owning import BUSY, LOST, ScriptedOwner, report


class Nodes:
    """A launcher over named nodes. `opens`: by (member, node), what opening gives there."""

    def __init__(self, opens=None, **room):
        self.room, self.opens, self.launched = room, opens or {}, []

    async def nodes(self):
        return dict(self.room)

    def launch(self, member, node):
        owner = ScriptedOwner(member, node, opens=self.opens.get((member, node)))
        self.launched.append(owner)
        return owner


async def settle(placement, looks=3):
    """Look several times, and let what was started finish."""
    for _ in range(looks):
        await placement.look()
        while any(not task.done() for task in placement._starting):
            await asyncio.sleep(0.001)


def placed(nodes, shards=2, replicas=2, check=lambda report: None, after=None):
    """The nodes of each shard's replicas once nothing changes any more."""

    async def run():
        made = [Shard(number, replicas) for number in range(shards)]
        placement = Placement(nodes, made, check)
        await settle(placement)
        if after is not None:
            await after(placement, made)
        return [sorted(replica.owner.node for replica in shard.replicas) for shard in made], made, placement

    return asyncio.run(run())


def test_replicas_of_a_shard_never_share_a_node_and_nodes_fill_evenly():
    found, _, _ = placed(Nodes(a=8, b=8, c=8), shards=3, replicas=2)
    assert all(len(set(nodes)) == 2 for nodes in found)
    assert sorted(chain.from_iterable(found)) == ["a", "a", "b", "b", "c", "c"]


def test_a_replica_without_a_node_of_its_own_waits_for_one():
    async def join(placement, shards):
        assert [shard.ready for shard in shards] == [1, 1]
        placement._launcher.room["b"] = 8
        await settle(placement)

    found, _, _ = placed(Nodes(a=8), replicas=2, after=join)
    assert found == [["a", "b"], ["a", "b"]]


def test_a_node_takes_no_more_owners_than_it_has_processors_for():
    found, _, _ = placed(Nodes(a=1, b=1), shards=3, replicas=1)
    assert sorted(chain.from_iterable(found)) == ["a", "b"]


def test_every_shard_gets_a_replica_before_one_gets_two():
    found, _, _ = placed(Nodes(a=1, b=1), shards=2, replicas=2)
    assert [len(nodes) for nodes in found] == [1, 1]


def test_members_may_lie_on_some_of_the_nodes():
    absent = OwnerFault("StoreNotFound", "no store here")
    nodes = Nodes({(0, "a"): absent, (1, "b"): absent}, a=8, b=8)
    found, shards, _ = placed(nodes, replicas=1)
    assert found == [["b"], ["a"]] and all(owner.stopped for owner in nodes.launched if owner.opens is absent)
    assert not [shard for shard in shards if shard.ready < 1]


def test_what_the_check_refuses_is_never_ready_and_says_why():
    wrong = {(0, "a"): report(0, head="other")}
    check = lambda found: None if found.head == "h" else "it has a model with another head"  # noqa: E731
    found, (shard, _), placement = placed(Nodes(wrong, a=8), replicas=1, check=check)
    assert found == [[], ["a"]] and shard.problem == "node a: it has a model with another head"
    assert placement.hopeless(shard)


def test_a_node_that_failed_is_tried_again_later(monkeypatch):
    monkeypatch.setattr(placing, "_FIRST_PAUSE", 0.0)
    nodes = Nodes({(0, "a"): OwnerFault("StoreNotFound", "not mounted")}, a=8)

    async def mount(placement, shards):
        assert not shards[0].ready
        nodes.opens.clear()
        await settle(placement)

    found, shards, _ = placed(nodes, shards=1, replicas=1, after=mount)
    assert found == [["a"]] and shards[0].problem is None


@pytest.mark.parametrize("error", [LOST, BUSY, RuntimeError("a failure of the engine")])
def test_an_owner_that_ends_while_it_starts_is_no_reason_to_give_up(error):
    nodes = Nodes({(0, "a"): error}, a=8)
    _, (shard,), placement = placed(nodes, shards=1, replicas=1)
    assert str(error) in shard.problem and not placement.hopeless(shard) and nodes.launched[0].stopped


def test_a_lost_replica_is_replaced_on_a_node_that_has_none():
    async def lose(placement, shards):
        shards[0].replicas[0].owner.pings = OwnerLost("killed")
        await settle(placement)

    nodes = Nodes(a=8, b=8)
    found, shards, _ = placed(nodes, shards=1, replicas=2, after=lose)
    assert found == [["a", "b"]] and shards[0].lost == 1 and len(nodes.launched) == 3


def test_a_node_that_is_gone_takes_its_replicas_along():
    async def lose(placement, shards):
        del placement._launcher.room["a"]
        await settle(placement)

    found, shards, _ = placed(Nodes(a=8, b=8), after=lose)
    assert found == [["b"], ["b"]] and [shard.lost for shard in shards] == [1, 1]
    assert "gone" in shards[0].problem


def test_a_replica_that_answers_no_ping_is_avoided_and_then_given_up(monkeypatch):
    monkeypatch.setattr(placing, "_PING_SECONDS", 0.001)

    async def hang(placement, shards):
        (replica,) = shards[0].replicas
        replica.owner.pings = "never"
        await placement.look()
        assert replica.avoided_until > 0 and shards[0].ready == 1
        for _ in range(placing._MISSED):
            await placement.look()
        assert replica.owner.stopped and shards[0].lost == 1

    placed(Nodes(a=8), shards=1, replicas=1, after=hang)


def test_the_end_stops_every_owner():
    nodes = Nodes(a=8, b=8)

    async def run():
        placement = Placement(nodes, [Shard(number, 2) for number in range(2)], lambda report: None)
        task = asyncio.create_task(placement.run())
        while len(nodes.launched) < 4:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert all(owner.stopped for owner in nodes.launched)
