"""Sets built on a real cluster equal the store of one build, whatever is killed meanwhile."""

import threading
from contextlib import nullcontext
from types import SimpleNamespace

import psutil
import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from lateint.cluster.build import WorkerSpec, build_set
from lateint.cluster.connection import connected
from lateint.cluster.rank import rank_set
from lateint.errors import ClusterError
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint_store import merge, split
from tests.support import cluster as clusters
from tests.support import engine, processes
from tests.support.engine import DOCUMENTS

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster():
    with clusters.running() as running:
        yield running


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with build_store(engine.model(), DOCUMENTS[:22], tmp_path_factory.mktemp("whole") / "s", window=clusters.WINDOW) as store:
        yield store.content_digest()


@pytest.fixture
def corpus(tmp_path):
    return clusters.write(tmp_path / "corpus.tsv", DOCUMENTS[:22])


@pytest.fixture
def gate(tmp_path):
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


def build(cluster, documents, path, shards=3, **options):
    spread = WorkerSpec(engine=f"ray://{cluster.address}", scratch=path.parent / "scratch")
    with build_set(clusters.loader(), documents, path, shards=shards, workers=spread, **options) as built:
        return built.content_digest()


def merged(path, shards, folder):
    with merge([path / f"member-{number:04d}" for number in range(shards)], folder) as store:
        return store.content_digest()


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_merged_shards_have_the_content_digest_of_one_build(tmp_path, cluster, corpus, whole, shards):
    seen = []
    build(cluster, clusters.planned(corpus), tmp_path / "set", shards, report=seen.append)
    assert merged(tmp_path / "set", shards, tmp_path / "all") == whole
    assert (seen[-1].documents, seen[-1].published) == (22, shards)
    assert not list((tmp_path / "scratch").glob("*/*")) and not list((tmp_path / "set").glob(".incoming*"))


def test_another_token_is_one_error(cluster, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    with pytest.raises(ClusterError, match="refuses the token"), connected(f"ray://{cluster.address}", seconds=60):
        pass


def test_a_worker_that_is_killed_loses_nothing(tmp_path, cluster, corpus, whole, gate):
    documents = clusters.planned(corpus, gate, window=3)

    def murder():
        (first,) = clusters.wait_for(lambda: clusters.arrived(gate), "worker at the gate")
        clusters.kill(first)
        clusters.wait_for(lambda: clusters.arrived(gate, [first]), "second worker")
        (gate / "open").touch()

    meanwhile(murder, lambda: build(cluster, documents, tmp_path / "set"))
    assert merged(tmp_path / "set", 3, tmp_path / "all") == whole


def test_a_node_that_is_killed_loses_nothing(tmp_path, cluster, corpus, whole, gate):
    cluster.add_node(**clusters.NODE)  # in place of the one that dies
    documents = clusters.planned(corpus, gate, window=3)

    def murder():
        (first,) = clusters.wait_for(lambda: clusters.arrived(gate), "worker at the gate")
        for pid in clusters.node_of(first):
            clusters.kill(pid)
        clusters.wait_for(lambda: clusters.arrived(gate, [first]), "second worker", seconds=120)
        (gate / "open").touch()

    meanwhile(murder, lambda: build(cluster, documents, tmp_path / "set"))
    assert merged(tmp_path / "set", 3, tmp_path / "all") == whole


def drive(address, corpus, folder, gate):
    """Build as a program of its own, which a test kills."""
    build(SimpleNamespace(address=address), clusters.planned(corpus, gate, window=3), folder / "set")


def test_a_killed_driver_leaves_nothing_running_and_is_repeated(tmp_path, cluster, corpus, whole, gate):
    driver = processes.fork(drive, cluster.address, corpus, tmp_path, gate)
    workers = clusters.wait_for(lambda: clusters.arrived(gate), "worker at the gate", seconds=120)
    clusters.wait_for(lambda: len(list((tmp_path / "set").glob("member-*"))) == 2, "other shards", seconds=120)
    clusters.kill(driver.pid)
    driver.join()
    clusters.wait_for(lambda: not any(psutil.pid_exists(pid) for pid in workers), "end of the workers")
    (gate / "open").touch()
    seen = []
    build(cluster, clusters.planned(corpus, gate, window=3), tmp_path / "set", report=seen.append)
    assert seen[0].published >= 2, "published shards are kept"
    assert merged(tmp_path / "set", 3, tmp_path / "all") == whole


def test_a_poisoned_shard_fails_the_job_and_is_named(tmp_path, cluster):
    documents = [*DOCUMENTS[:5], Document("d04", "again"), *DOCUMENTS[6:12]]
    corpus = clusters.write(tmp_path / "corpus.tsv", [*DOCUMENTS[:4], *documents[4:5], *documents[4:]])
    with pytest.raises(ClusterError, match=r"shard 1 failed 3 times with the same error: DuplicateDocument.*'d04'"):
        build(cluster, clusters.planned(corpus), tmp_path / "set")
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_ranking_on_a_cluster_is_continued_after_a_kill_and_equals_the_local_one(tmp_path, cluster):
    build_store(engine.model(), DOCUMENTS, tmp_path / "single", window=4).close()
    split(tmp_path / "single", tmp_path / "set", 3)
    tasks = [(f"q{number}", query, engine.IDS) for number, query in enumerate(engine.QUERIES)]
    spread = WorkerSpec(engine=f"ray://{cluster.address}")
    with open_store(tmp_path / "set") as store:
        found = {}
        for name, stopped in (("parts", True), ("parts", False)):
            with pytest.raises(KeyboardInterrupt) if stopped else nullcontext():
                report = interrupt if stopped else None
                found = dict(rank_set(clusters.loader(), store, tasks, tmp_path / name, workers=spread, report=report))
        ranker = Ranker(engine.model(), store)
        for query_id, query, ids in tasks:
            assert engine.close(dict(found[query_id]), engine.scores(ranker.rank(query, ids)))


def interrupt(done, total):
    """Stop once something is scored."""
    if done:
        raise KeyboardInterrupt


def meanwhile(other, work):
    """Do something on another thread while work is done on this one: Ray adds nodes on the main thread alone."""
    failed = []

    def run():
        try:
            other()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    work()
    thread.join()
    assert not failed, failed
