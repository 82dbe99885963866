"""Candidates go to their owners, scores come back to their queries, and finished parts are kept. No Ray here."""

import numpy as np
import pytest

from lateint.cluster import rank as ranking
from lateint.cluster.rank import RankJob, RankWorker, model_digest, rank_set
from lateint.cluster.rank_parts import BLOCK, RankFolder
from lateint.cluster.work_queue import Fault
from lateint.errors import ClusterError
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.ranking.ranker import Ranker
from lateint_store import create_set, split
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, QUERIES

TASKS = [(f"q{number}", query, IDS[number : number + 25]) for number, query in enumerate(QUERIES)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same documents as one store, as a set that is split by id, and as a set of shards."""
    folder = tmp_path_factory.mktemp("stores")
    build_store(engine.model(), DOCUMENTS, folder / "single", window=4).close()
    split(folder / "single", folder / "split", 3)
    for number in range(2):
        build_store(engine.model(), DOCUMENTS, folder / str(number), shard=(number, 2), window=4).close()
    create_set(folder / "shards", [folder / "0", folder / "1"])
    return folder


@pytest.fixture
def inline(monkeypatch):
    """Workers in this process, one after the other; returns the parts that were scored."""
    scored = []

    def run(job, kept, spread, missing, tick):
        worker = RankWorker(job)
        assert worker.start() is None
        for part in missing:
            scores = worker.work(part, kept.tasks(part))
            assert not isinstance(scores, Fault), scores
            tick(worker.progress(), 1)
            scored.append(part)
            yield part, scores

    from contextlib import nullcontext

    monkeypatch.setattr(ranking, "connected", lambda engine: nullcontext())
    monkeypatch.setattr(ranking, "_run", run)
    return scored


def ranked(store, folder, tasks=TASKS, **options):
    with open_store(store) as opened:
        return list(rank_set(engine.model, opened, tasks, folder, **options))


def local(store, tasks=TASKS, **options):
    with open_store(store) as opened:
        ranker = Ranker(engine.model(), opened)
        found = ((query_id, ranker.rank(query, ids, missing="skip", **options)) for query_id, query, ids in tasks)
        return [(query_id, [(hit.doc_id, hit.score) for hit in hits]) for query_id, hits in found]


@pytest.mark.parametrize("kind", ["single", "split", "shards"])
def test_owners_rank_as_one_store_does(stores, tmp_path, inline, kind):
    wanted, found = local(stores / kind), ranked(stores / kind, tmp_path / "parts")
    assert [query_id for query_id, _ in found] == [query_id for query_id, _ in wanted]
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        assert engine.close(dict(one), dict(other))
    assert not (tmp_path / "parts").exists(), "parts are removed after the last query"


def test_only_the_best_are_kept_and_unknown_ids_are_skipped(stores, tmp_path, inline):
    tasks = [(query_id, query, [*ids, "nobody"]) for query_id, query, ids in TASKS]
    found = ranked(stores / "split", tmp_path / "parts", tasks, top_k=3)
    assert [[doc_id for doc_id, _ in hits] for _, hits in found] == [
        [doc_id for doc_id, _ in hits] for _, hits in local(stores / "split", top_k=3)
    ]


def interrupted(stores, folder, after, tasks=TASKS):
    """Rank, and stop after some parts."""

    def stop(done, total):
        nonlocal after
        after -= 1
        if after == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ranked(stores / "split", folder, tasks, report=stop)


def test_a_repeated_call_scores_what_is_missing(stores, tmp_path, inline):
    whole = ranked(stores / "split", tmp_path / "other")
    inline.clear()
    interrupted(stores, tmp_path / "parts", 3)
    assert inline == [0, 1]
    assert ranked(stores / "split", tmp_path / "parts") == whole
    assert inline == [0, 1, 2], "a part whose scores were kept is not scored again"


def test_parts_of_other_inputs_are_not_used(stores, tmp_path, inline):
    interrupted(stores, tmp_path / "parts", 3)
    inline.clear()
    changed = [(query_id, "bread", ids) for query_id, _, ids in TASKS]
    assert ranked(stores / "split", tmp_path / "parts", changed) == ranked(stores / "split", tmp_path / "more", changed)
    assert inline == [0, 1, 2] * 2


def test_many_queries_make_several_blocks(tmp_path):
    folder = RankFolder(tmp_path / "parts", 2)
    tasks = [(ranking.Task(f"q{number}", "text", []), [["a"], ["b"]]) for number in range(BLOCK + 1)]
    assert folder.spool(tasks, {}) == 4
    assert folder.missing(4) == [0, 2, 1, 3], "member by member"
    for part in range(4):
        folder.keep(part, np.arange(float(len(folder.tasks(part)))))
    joined = list(folder.join(4, None))
    assert [query_id for query_id, _ in joined] == [f"q{number}" for number in range(BLOCK + 1)]
    assert joined[-1][1] == [("a", 0.0), ("b", 0.0)], "equal scores by id"


def test_scores_of_another_size_are_refused(tmp_path):
    folder = RankFolder(tmp_path / "parts", 1)
    folder.spool([(ranking.Task("q", "text", ["a", "b"]), [["a", "b"]])], {})
    folder.keep(0, np.zeros(1))
    with pytest.raises(ClusterError, match="has 1 scores"):
        list(folder.join(1, None))


def test_errors_of_a_worker_are_data_that_names_the_query(stores):
    with open_store(stores / "split") as opened:
        members = tuple(opened.members)
    job = RankJob(load=engine.model, members=members, aggregate=None, model=model_digest(engine.model()))
    worker = RankWorker(job)
    assert worker.start() is None
    fault = worker.work(0, [ranking.Task("q7", " ", IDS[:3])])
    assert isinstance(fault, Fault) and fault.message.startswith("query 'q7'")
    other = RankWorker(RankJob(load=engine.model, members=members, aggregate=None, model="another"))
    assert "another version of the model" in other.start().message
