"""Real owners in this process: scores, ladders, digests and refusals are those of one local store."""

import time

import pytest

from lateint.cluster.local_owners import LocalLauncher
from lateint.cluster.messages import OwnerFault, OwnerSetup, ScoreOrder
from lateint.cluster.owner import MemberOwner, fault_of
from lateint.cluster.ranker import ClusterRanker
from lateint.cluster.served_set import ServedSet, set_costs
from lateint.errors import DamagedStore, InputError, MissingDocument, ModelError, StoreError, StoreNotFound
from lateint.indexing.store import open_store
from lateint.ranking.ladder import Cost
from lateint.ranking.ranker import Ranker
from lateint_store import create_set, split
from tests.support import engine
from tests.support.engine import CHUNKS, IDS, LONG, QUERY
from tests.support.owning import changed_head, ids_of, report, sealed_set


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sealed_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def cluster(made):
    with over(made) as ranker:
        yield ranker


def over(made, replicas=1, nodes=("a", "b"), tell=lambda line: None, **setup):
    setup = OwnerSetup(store=str(made.set), **setup)
    return ClusterRanker(LocalLauncher(setup, nodes), setup, replicas, tell)


def hits(ranking):
    return [(hit.doc_id, hit.score) for hit in ranking]


def test_rankings_are_those_of_one_local_store(made, cluster):
    with open_store(made.store) as store:
        ranker = Ranker(made.model, store)
        for given in ({}, {"ladder": "cosine:7"}, {"ladder": "cosine:40"}, {"top_k": 5}):
            ours, theirs = cluster.rank(QUERY, IDS, **given), ranker.rank(QUERY, IDS, **given)
            assert engine.order(ours) == engine.order(theirs) and engine.close(engine.scores(ours), engine.scores(theirs))
            assert [(rung.head, rung.candidates) for rung in ours.timing.rungs] == [
                (rung.head, rung.candidates) for rung in theirs.timing.rungs
            ]
            assert ours.timing.bytes_read == theirs.timing.bytes_read > 0 and not ours.failures


def test_scores_of_one_owner_are_equal_bit_for_bit(made, cluster):
    """The candidates of one owner run in the same batches as in one store."""
    with open_store(made.store) as store:
        ids = [doc_id for doc_id, shard in zip(IDS, cluster.owners(IDS), strict=True) if shard == 1]
        assert len(ids) > 5
        for ladder in (None, "cosine:4"):
            ours, theirs = cluster.rank(QUERY, ids, ladder=ladder), Ranker(made.model, store).rank(QUERY, ids, ladder=ladder)
            assert hits(ours) == hits(theirs)


def test_chunked_documents_are_found_at_their_owners(tmp_path):
    made = sealed_set(tmp_path, members=3, by="document", chunks=CHUNKS)
    ids = [document.id for document in LONG]
    with over(made, aggregate="mean_top:2") as cluster, open_store(made.store) as store:
        ours, theirs = cluster.rank(QUERY, ids), Ranker(made.model, store, aggregate="mean_top:2").rank(QUERY, ids)
        assert engine.order(ours) == engine.order(theirs) and engine.close(engine.scores(ours), engine.scores(theirs))
        assert len(set(cluster.owners(ids))) == 3 and cluster.documents == len(store)


def test_every_ranking_has_the_digest_of_the_set(made, cluster):
    with open_store(made.set) as store:
        assert cluster.digest == store.content_digest() == cluster.rank(QUERY, IDS[:3]).store_digest
        assert cluster.documents == len(store) and cluster.manifest.uuid == store.manifest.uuid


def test_missing_ids_are_an_error_or_skipped(cluster):
    with pytest.raises(MissingDocument, match=r"2 of the candidates.*'gone-a'"):
        cluster.rank(QUERY, ["gone-a", *IDS[:3], "gone-b"])
    found = cluster.rank(QUERY, ["gone-b", *IDS[:3], "gone-a"], missing="skip")
    assert found.missing == ("gone-b", "gone-a") and len(found) == 3
    assert len(cluster.rank(QUERY, [])) == 0


def test_a_budget_takes_the_measured_costs_of_the_owners(cluster):
    assert list(cluster.costs) == ["cosine", "joint_layers"]
    assert len(cluster.rank(QUERY, IDS, budget_ms=60_000).timing.rungs) == 2
    tight = cluster.rank(QUERY, ["gone", *IDS], budget_ms=0.001, missing="skip")
    assert engine.order(tight) == IDS and not tight.timing.rungs


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"doc_ids": ["d01", "d01"]}, "given twice"),
        ({"query": ""}, "query"),
        ({"query": 7}, "query"),
        ({"missing": "encode"}, "owners encode no texts"),
        ({"ladder": "evidence:3"}, "no rung 'evidence'"),
        ({"budget_ms": -1.0}, "budget_ms"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"top_k": 0}, "top_k"),
        ({"doc_ids": [""]}, "id"),
    ],
)
def test_a_bad_call_is_an_input_error(cluster, wrong, message):
    with pytest.raises(InputError, match=message):
        cluster.rank(**({"query": QUERY, "doc_ids": IDS[:3]} | wrong))


def test_what_cannot_be_spread_over_owners_is_refused(made, tmp_path):
    split(made.store, tmp_path / "open", 2)
    create_set(tmp_path / "unsplit", [made.store])
    for path, message in (
        (made.store, "is a single store.*split"),
        (tmp_path / "unsplit", "not split by id"),
        (tmp_path / "open", "is not sealed.*lateint store seal"),
    ):
        with pytest.raises(InputError, match=message):
            ServedSet.read(str(path))
    with pytest.raises(StoreNotFound):
        ServedSet.read(str(tmp_path / "none"))


def test_a_member_that_lies_nowhere_is_named(made, tmp_path):
    made = sealed_set(tmp_path)
    (made.set / "member-0001").rename(made.set / "away")
    with pytest.raises(StoreError, match=r"member-0001.*can be opened on no node"):
        over(made)


def test_another_store_in_the_place_of_a_member_is_never_ready(tmp_path):
    made = sealed_set(tmp_path)
    (made.set / "member-0001").rename(made.set / "away")
    (made.set / "member-0000").rename(made.set / "member-0001")
    with pytest.raises(StoreError, match="can be opened on no node"):
        over(made)


def test_a_node_with_another_head_is_never_ready(made, tmp_path):
    made = sealed_set(tmp_path)
    setup = OwnerSetup(store=str(made.set))
    launcher = LocalLauncher(setup, ["a"])
    with ClusterRanker(launcher, setup, 2) as cluster:
        changed_head(made.folder / "model")
        launcher.names.append("b")
        while not all("another head" in (shard.problem or "") for shard in cluster.health()):
            time.sleep(0.05)
        assert len(cluster.rank(QUERY, IDS)) == len(IDS)
        assert [shard.ready for shard in cluster.health()] == [1, 1]


def test_fewer_nodes_than_replicas_is_said_and_goes_on(made):
    told = []
    with over(made, replicas=3, nodes=("a", "b"), tell=told.append) as cluster:
        assert any("3 replicas are wanted, but there are 2 nodes" in line for line in told)
        assert [shard.wanted for shard in cluster.health()] == [3, 3] and cluster.problem is None
    with pytest.raises(StoreError, match="is closed"):
        cluster.rank(QUERY, IDS)


def test_without_nodes_the_start_fails(made, monkeypatch):
    monkeypatch.setattr("lateint.cluster.ranker._NO_NODES_SECONDS", 0.2)
    with pytest.raises(StoreError, match="no node with a processor"):
        over(made, nodes=())


def test_a_model_that_the_router_cannot_load_is_an_error(made):
    with pytest.raises((StoreError, ModelError)):
        over(made, model=str(made.folder / "no-such-model"))


def test_an_owner_tells_errors_as_data(made):
    owner = MemberOwner(OwnerSetup(store=str(made.set)), 0)
    ids = ids_of(0, 2)
    for order, kind in ((ScoreOrder("", ids, None), "InputError"), (ScoreOrder(QUERY, ids, "no-head"), "InputError")):
        found = owner.score(order)
        assert isinstance(found, OwnerFault) and found.kind == kind and found.everywhere
    assert owner.score(ScoreOrder(QUERY, ids, None)).content == ServedSet.read(str(made.set)).contents()[0]
    owner.close()
    assert not owner.score(ScoreOrder(QUERY, ids, None)).everywhere
    assert not fault_of(DamagedStore("s", "bytes")).everywhere and fault_of(FileNotFoundError("gone")).kind == "OSError"


def test_an_owner_outside_the_set_is_refused(made):
    with pytest.raises(InputError, match="has no member 2"):
        MemberOwner(OwnerSetup(store=str(made.set)), 2)


def test_costs_of_a_set_are_those_of_its_slowest_owner_for_its_share():
    costs = [{"cheap": Cost(1.0, 0.5)}, {"cheap": Cost(3.0, 0.1)}]
    reports = [report(0, documents=30, costs=costs[0]), report(1, documents=10, costs=costs[1])]
    assert set_costs(reports, 4.0) == {"cheap": Cost(7.0, 0.75 * 0.5)}
    assert set_costs([reports[0], report(1, documents=1)], 4.0) == {}
    assert set_costs([report(0, documents=0), reports[1]], 4.0) == {"cheap": Cost(7.0, 0.1)}
