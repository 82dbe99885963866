"""Sets built on a real cluster equal the store of one build, whatever is killed meanwhile."""

import threading

import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from lateint.cluster.build import Workers, build_set
from lateint.cluster.connection import connected
from lateint.errors import ClusterError
from lateint.indexing.build import build_store
from lateint_store import merge
from tests.support import cluster as clusters
from tests.support import engine
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
    workers = Workers(engine=f"ray://{cluster.address}", scratch=path.parent / "scratch")
    with build_set(clusters.loader(), documents, path, shards=shards, workers=workers, **options) as built:
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

    killer = threading.Thread(target=murder)
    killer.start()
    build(cluster, documents, tmp_path / "set")
    killer.join()
    assert merged(tmp_path / "set", 3, tmp_path / "all") == whole
