"""Owners for tests: scripted ones, whose answers and failures a test decides, and a sealed set that real ones open."""

import asyncio
from types import SimpleNamespace

import numpy as np

from lateint.cluster.messages import MemberScores, OwnerFault, OwnerReport
from lateint.cluster.replicas import OwnerLost, OwnerUnavailable, Replica, Shard
from lateint.cluster.router import Router
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.results import Clock
from lateint_store import owner_of, split
from tests.support import engine
from tests.support.retrieving import RICH

CONTENT = ["a" * 64, "b" * 64, "c" * 64]


def report(member, **changes):
    """What an owner of a member reports."""
    known = dict(member=member, uuid="0" * 32, content=CONTENT[member], contents=(), documents=1, manifest={})
    return OwnerReport(**(known | dict(states="s", head="h", heads=("own",), costs={}) | changes))


class ScriptedOwner:
    """An owner of one member. `script`: what the calls do, one after the other, the last for all that follow:
    "answer"; a number of seconds to answer after; "never"; an exception to raise; an OwnerFault, or a digest of contents.
    """

    def __init__(self, member, node, *script, ping=None, opens=None):
        self.member, self.node, self.script = member, node, list(script) or ["answer"]
        self.pings, self.opens = ping, opens
        self.orders, self.stopped = [], False

    async def open(self):
        if isinstance(self.opens, Exception):
            raise self.opens
        return report(self.member) if self.opens is None else self.opens

    async def score(self, order):
        self.orders.append(order)
        act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(act, Exception):
            raise act
        if isinstance(act, OwnerFault):
            return act
        if act == "never":
            await asyncio.Event().wait()
        if isinstance(act, float):
            await asyncio.sleep(act)
        return self._scores(order, act if isinstance(act, str) and len(act) == 64 else CONTENT[self.member])

    def _scores(self, order, content):
        held = [place for place, doc_id in enumerate(order.ids) if not doc_id.startswith("gone")]
        scores = [float(len(order.ids[place])) for place in held]
        timing = Clock().timing(len(held), "own")
        return MemberScores(np.array(held, np.int32), np.array(scores), content, timing, 7, False)

    async def ping(self):
        if self.pings == "never":
            await asyncio.Event().wait()
        if isinstance(self.pings, Exception):
            raise self.pings

    def stop(self):
        self.stopped = True


def ready(shard, *owners):
    """Make owners ready replicas of a shard. Call it in the event loop."""
    shard.replicas += [Replica(owner, report(owner.member), asyncio.get_running_loop().create_future()) for owner in owners]


def router(*groups, wanted=2, owner=None):
    """A router over shards with these owners. Call it in the event loop."""
    shards = [Shard(number, wanted) for number in range(len(groups))]
    for shard, owners in zip(shards, groups, strict=True):
        ready(shard, *owners)
    return Router(shards, CONTENT, owner or (lambda ids: [owner_of(doc_id, len(groups)) for doc_id in ids]))


LOST = OwnerLost("the process has ended")
BUSY = OwnerUnavailable("the node does not answer")


def ids_of(shard, count, members=2):
    """Ids that one shard owns."""
    return [doc_id for doc_id in (f"d{n:03}" for n in range(40 * count)) if owner_of(doc_id, members) == shard][:count]


def sealed_set(folder, members=2, by="id", **options):
    """A model in a folder, a store by it, and the sealed set that it was split into."""
    with_chunks = "chunks" in options
    engine.fresh_model(RICH).save_pretrained(folder / "model")
    model = load_model(folder / "model", threads=1)
    build_store(model, engine.LONG if with_chunks else engine.DOCUMENTS, folder / "store", **options).close()
    split(folder / "store", folder / "set", members, by=by)
    with open_store(folder / "set", write=True) as store:
        store.seal()
    return SimpleNamespace(model=model, store=folder / "store", set=folder / "set", folder=folder)


def changed_head(folder):
    """Save the model of a folder again with another head, as somebody would who retrained it in place."""
    import torch

    model = load_model(folder, threads=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "classifier" in name:  # above all that is stored
                parameter.add_(0.25)
    model.save_pretrained(folder)
