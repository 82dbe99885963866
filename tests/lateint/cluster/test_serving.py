"""The service over owners: ids by their owners, texts here, and what clients are told when owners fail."""

import asyncio

import pytest

from lateint.cluster.local_owners import LocalLauncher
from lateint.cluster.ranker import ClusterRanker
from lateint.indexing.store import open_store
from lateint.serving.cluster_engine import make_cluster_engine, owner_setup
from lateint.serving.engine import make_engine
from lateint.serving.options import ServeOptions
from lateint.serving.run import serve
from lateint_store.errors import ClusterError, InputError
from tests.support.engine import IDS, QUERY
from tests.support.owning import sealed_set
from tests.support.serving import SHAPES, ask, get, scored

BODY = {"query": QUERY, "documents": [{"id": doc_id} for doc_id in IDS], "raw_scores": True}
TEXTS = ["bread and yeast in the oven", "the moon and a star"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sealed_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def local(made):
    """The engine of one process over the same set."""
    with open_store(made.set) as store:
        yield make_engine(made.model, store, ServeOptions(store=str(made.set)))


@pytest.fixture(scope="module")
def remote(made):
    """The engine over owners of two members."""
    options = ServeOptions(store=str(made.set))
    setup = owner_setup(options)
    found = make_cluster_engine(ClusterRanker(LocalLauncher(setup, ("a", "b")), setup), options)
    yield found
    found.close()


@pytest.fixture
def half(remote, monkeypatch):
    """The same engine while the owner of shard 0 is gone; it comes back."""
    shard = remote.cluster.shards[0]
    monkeypatch.setattr(shard, "wanted", 0)
    for replica in list(shard.replicas):
        shard.give_up(replica, "node a is gone: /data/my/set lies there")
    yield remote
    monkeypatch.undo()
    while not shard.ready:
        asyncio.run(asyncio.sleep(0.02))


def assert_same(ours, theirs):
    ours, theirs = scored(ours), scored(theirs)
    assert [index for index, _ in ours] == [index for index, _ in theirs]
    assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-5)


@pytest.mark.parametrize("path", SHAPES)
def test_answers_are_those_of_a_service_over_the_whole_set(local, remote, path):
    body = {"query": QUERY, SHAPES[path]: BODY["documents"], "raw_scores": True}
    assert_same(*(ask(engine, body, path=path) for engine in (remote, local)))


@pytest.mark.parametrize(
    "changes",
    [
        {"documents": [*TEXTS, {"id": "d03"}, {"id": "gone", "text": TEXTS[0]}, {"id": "d03"}]},
        {"documents": TEXTS},
        {"documents": [{"id": "gone"}, *BODY["documents"]], "missing": "skip"},
        {"ladder": "cosine:5"},
        {"ladder": "cosine:5", "documents": [*BODY["documents"], *TEXTS]},
        {"budget_ms": 60_000, "top_n": 3},
    ],
)
def test_texts_ladders_and_missing_ids_are_answered_alike(local, remote, changes):
    ours, theirs = ask(remote, BODY | changes), ask(local, BODY | changes)
    assert_same(ours, theirs)
    ours, theirs = ours.json(), theirs.json()
    for name in ("usage", "store_digest", "partial"):
        assert ours.get(name) == theirs.get(name), name
    assert [rung["head"] for rung in ours.get("rungs", [])] == [rung["head"] for rung in theirs.get("rungs", [])]
    assert "failures" not in ours and ours["timing_ms"].keys() == theirs["timing_ms"].keys()


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"explain": True}, 400, "owners keep"),
        ({"query": ""}, 400, ""),
        ({"ladder": "evidence:3"}, 400, "no rung"),
        ({"documents": [{"id": "gone"}]}, 404, "gone"),
        ({"documents": TEXTS, "ladder": "cosine:5"}, 400, "ladder"),
        ({"partial": "perhaps"}, 400, "partial"),
    ],
)
def test_what_owners_cannot_do_is_a_clear_refusal(remote, changes, status, message):
    response = ask(remote, BODY | changes)
    assert response.status_code == status and message in response.json()["message"]


def test_a_shard_without_owners_costs_its_own_ids_and_is_named(half):
    own = [doc_id for doc_id, shard in zip(IDS, half.cluster.owners(IDS), strict=True) if shard == 0]
    body = ask(half, BODY).json()
    (failure,) = body["failures"]
    assert body["partial"] and failure["shard"] == 0 and sorted(failure["ids"]) == sorted(own)
    assert "no replica is ready: node a is gone" in failure["reason"] and "/data/my" not in failure["reason"]
    assert len(body["results"]) == len(IDS) - len(own) and body["store_digest"] == half.cluster.digest
    texts = ask(half, BODY | {"documents": [*BODY["documents"], TEXTS[0]]}).json()
    assert len(texts["results"]) == len(body["results"]) + 1 and texts["failures"] == body["failures"]


def test_a_request_may_want_all_or_nothing(half):
    response = ask(half, BODY | {"partial": "error"})
    assert response.status_code == 503 and response.headers["retry-after"] == "1"
    assert response.json()["code"] == "partial" and "shard 0" in response.json()["message"]
    assert ask(half, BODY | {"partial": "error", "documents": [{"id": shard_id(half, 1)}]}).status_code == 200


def shard_id(engine, shard):
    return next(doc_id for doc_id, owner in zip(IDS, engine.cluster.owners(IDS), strict=True) if owner == shard)


def test_the_service_is_unready_while_a_shard_has_no_replica(half):
    response = get(half, "/ready")
    assert response.status_code == 503 and "shard 0 has no ready replica" in response.json()["reason"]
    shards = get(half, "/info").json()["shards"]
    assert [(shard["ready"], shard["member"]) for shard in shards] == [(0, "member-0000"), (1, "member-0001")]
    metrics = get(half, "/metrics").text
    assert 'lateint_serve_shard_replicas{shard="0",state="ready"} 0.0' in metrics and "lateint_serve_ready 0.0" in metrics


def test_info_and_metrics_describe_the_owners(local, remote):
    assert get(remote, "/ready").status_code == 200
    ours, theirs = (get(engine, "/info").json() for engine in (remote, local))
    assert theirs["shards"] is None and [shard["ready"] for shard in ours["shards"]] == [1, 1]
    for name in ("model", "heads", "ready"):
        assert ours[name] == theirs[name]
    for name in ("documents", "content_digest", "uuid"):
        assert ours["store"][name] == theirs["store"][name]
    assert 'lateint_serve_router{what="retries"}' in get(remote, "/metrics").text
    assert "lateint_serve_shard_replicas{" not in get(local, "/metrics").text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "dask"}, "expected ray"),
        ({"engine": "ray://"}, "expected ray"),
        ({"replicas": 2}, "needs engine='ray'"),
        ({"engine": "ray", "workers": 2}, "expected 1"),
        ({"engine": "ray", "then": ("s:3",)}, "one set"),
        ({"engine": "ray", "device": "cuda"}, "expected cpu"),
        ({"engine": "ray", "replicas": 0}, "replicas"),
    ],
)
def test_options_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        ServeOptions(store="s", **wrong)


def test_an_address_where_no_ray_answers_is_an_error(made):
    pytest.importorskip("ray", reason="needs the extra ray")
    told = []
    with pytest.raises(ClusterError, match=r"no Ray answers at 127\.0\.0\.1:1: "):
        serve(ServeOptions(store=str(made.set), engine="ray://127.0.0.1:1", port=0), told.append)
    assert not told
