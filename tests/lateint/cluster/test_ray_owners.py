"""Owners on real nodes of Ray: what a caller gets while a replica, then a node is killed, and when a node has another model."""

import shutil
import sys
import threading
import time

import pytest

ray = pytest.importorskip("ray", reason="needs the extra ray")

from lateint.cluster.messages import OwnerSetup  # noqa: E402
from lateint.cluster.ranker import ClusterRanker  # noqa: E402
from lateint.cluster.ray_owners import RayLauncher  # noqa: E402
from lateint.indexing.store import open_store  # noqa: E402
from lateint.ranking.ranker import Ranker  # noqa: E402
from tests.support import engine  # noqa: E402
from tests.support.engine import IDS, QUERY  # noqa: E402
from tests.support.owning import changed_head, sealed_set  # noqa: E402
from tests.support.ray_nodes import add_node, ray_nodes  # noqa: E402

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("default")]
CALLS, CPUS, PATIENCE = 500, 2, 600.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sealed_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def nodes():
    with ray_nodes(2, CPUS) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(made, nodes):
    setup = OwnerSetup(store=str(made.set))
    with ClusterRanker(RayLauncher(setup), setup, replicas=2) as ranker:
        until(lambda: full(ranker))
        yield ranker


def until(true):
    """Wait until something is true, far longer than it takes."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def full(ranker, ready=2):
    return all(shard.ready == ready for shard in ranker.health())


class Load:
    """Two callers that rank one after the other, until at least `CALLS` calls have ended after `mark`."""

    def __init__(self, ranker):
        self.ranker, self.found, self.errors, self.seconds, self._stop = ranker, [], [], [], False
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def _ask(self):
        while not self._stop:
            started = time.monotonic()
            try:
                self.found.append(self.ranker.rank(QUERY, IDS))
            except Exception as error:
                self.errors.append(error)
            self.seconds.append(time.monotonic() - started)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        for thread in self._threads:
            thread.join()

    def more(self, calls=CALLS):
        """Wait for so many further calls."""
        behind = len(self.seconds) + calls
        until(lambda: len(self.seconds) >= behind)

    def lost(self):
        return sum(len(failure.ids) for found in self.found for failure in found.failures)


def test_scores_are_those_of_one_local_store(made, cluster):
    with open_store(made.store) as store, open_store(made.set) as whole:
        ranker = Ranker(made.model, store)
        for ladder in (None, "cosine:7"):
            ours, theirs = cluster.rank(QUERY, IDS, ladder=ladder), ranker.rank(QUERY, IDS, ladder=ladder)
            assert engine.order(ours) == engine.order(theirs) and engine.close(engine.scores(ours), engine.scores(theirs))
            assert ours.store_digest == whole.content_digest()
    assert {len({replica.owner.node for replica in shard.replicas}) for shard in cluster.shards} == {2}


def test_a_killed_replica_and_then_a_killed_node_cost_no_id(made, cluster, nodes, capsys):
    alive, (_, second) = nodes
    expected = engine.order(cluster.rank(QUERY, IDS))
    with Load(cluster) as load:
        load.more(100)
        until(lambda: full(cluster))
        load.seconds.clear()
        ray.kill(cluster.shards[0].replicas[0].owner._actor)
        load.more()
        worst = [max(load.seconds)]
        until(lambda: sum(shard.lost for shard in cluster.health()) >= 1 and full(cluster))
        load.seconds.clear()
        alive.remove_node(second, allow_graceful=False)
        load.more()
        worst.append(max(load.seconds))
        until(lambda: full(cluster, ready=1))
        load.more(100)
    with capsys.disabled():
        sys.stdout.write(f"\n{len(load.found)} calls, {load.lost()} ids lost; {cluster.router.counts}\n")
        sys.stdout.write(f"worst call: replica killed {1e3 * worst[0]:.0f} ms, node killed {1e3 * worst[1]:.0f} ms\n")
    assert not load.errors and load.lost() == 0 and len(load.found) > 2 * CALLS
    assert all(engine.order(found) == expected for found in load.found)
    assert {found.store_digest for found in load.found} == {cluster.digest}


def test_a_node_that_joins_takes_the_missing_replicas_and_never_with_another_model(made, cluster, nodes):
    model, kept, before = made.folder / "model", made.folder / "kept", cluster.shards[0].ready
    for shard in cluster.shards:
        shard.wanted = before + 1
    model.rename(kept)
    changed_head_of(kept, model)
    add_node(nodes[0], CPUS)
    until(lambda: all("another head" in (shard.problem or "") for shard in cluster.health()))
    assert full(cluster, ready=before) and not cluster.rank(QUERY, IDS).failures
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    kept.rename(model)
    until(lambda: full(cluster, ready=before + 1))


def changed_head_of(source, target):
    shutil.copytree(source, target)
    changed_head(target)


def test_without_a_second_replica_a_killed_one_costs_its_own_ids_alone(cluster, made):
    setup = OwnerSetup(store=str(made.set))
    for shard in list(cluster.shards):  # this module's other ranker holds the processors
        shard.wanted = 0
        for replica in list(shard.replicas):
            shard.give_up(replica, "the test needs its processor")
    with ClusterRanker(RayLauncher(setup), setup) as single, Load(single) as load:
        load.more(100)
        ray.kill(single.shards[0].replicas[0].owner._actor)
        load.more()
        until(lambda: full(single, ready=1))
        load.more(100)
    own = {doc_id for doc_id, shard in zip(IDS, single.owners(IDS), strict=True) if shard == 0}
    partial = [found for found in load.found if found.failures]
    assert not load.errors and partial and not load.found[-1].failures
    for found in partial:
        (failure,) = found.failures
        assert failure.shard == 0 and set(failure.ids) == own and failure.reason
        assert {hit.doc_id for hit in found} == set(IDS) - own
