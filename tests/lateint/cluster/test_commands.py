"""`lateint index --engine` and `lateint rank --engine`: the results are those without; options that do not go together."""

from contextlib import nullcontext

import pytest

from lateint.cluster import build as building
from lateint.cluster import rank as ranking
from lateint_store import merge, open_store
from tests.support import commands
from tests.support.paths import TOY

CORPUS = TOY / "collection.tsv"
QUERIES = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec"]
ENGINE = ["--engine", "ray://head"]


def in_order(make, inputs=None):
    """A crew of one worker in this process."""

    def run(queue, starts, tick):
        worker = make()
        assert worker.start() is None
        while (piece := queue.take()) is not None:
            result = worker.work(piece, *(() if inputs is None else (inputs(piece),)))
            queue.done(piece)
            yield piece, result

    return run


@pytest.fixture
def inline(monkeypatch):
    monkeypatch.setattr(building, "_crew", lambda job, spread: nullcontext(in_order(lambda: building.ShardWorker(job))))
    monkeypatch.setattr(ranking, "connected", lambda engine: nullcontext())

    def run(job, kept, spread, missing, tick):
        return in_order(lambda: ranking.RankWorker(job), kept.tasks)(ranking.WorkQueue("part", missing), None, tick)

    monkeypatch.setattr(ranking, "_run", run)


def test_a_set_is_built_and_ranked_as_a_store(tmp_path, call, inline):
    single = commands.build(tmp_path)
    built = tmp_path / "set"
    for _ in range(2):  # the second call changes nothing
        code, _, err = call("index", "--corpus", CORPUS, "--store", built, *ENGINE, "--shards", 3, *commands.model())
        assert code == 0 and f"{commands.DOCUMENTS} entries of {commands.DOCUMENTS} documents" in err
    with open_store(built) as store, open_store(single) as alone, merge(store.members, tmp_path / "all") as merged:
        assert merged.content_digest() == alone.content_digest()
    for name, options in (("local", []), ("cluster", ENGINE)):
        code, _, err = call("rank", "--store", built, *QUERIES, "--output", tmp_path / name, *options)
        assert code == 0, err
    local, cluster = (commands.run_lines(tmp_path / name) for name in ("local", "cluster"))
    assert [line[:4] for line in cluster] == [line[:4] for line in local]
    assert not (tmp_path / "cluster.parts").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*ENGINE], "--engine needs --shards"),
        (["--shards", 2], "--shards belongs to --engine"),
        (["--workers", 2], "--workers belongs to --engine"),
        (["--gpus-per-worker", 1], "--gpus-per-worker belongs to --engine"),
        ([*ENGINE, "--shards", 2, "--shard", "0/2"], "give one of both"),
    ],
)
def test_index_options_that_contradict_each_other(tmp_path, call, options, message):
    code, _, err = call("index", "--corpus", CORPUS, "--store", tmp_path / "s", *options)
    assert code == 2 and message in err and not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", 2], "--workers belongs to --engine"),
        ([*ENGINE, "--ladder", "cosine:2"], "--ladder does not go with --engine"),
        ([*ENGINE, "--timing", "times"], "--timing does not go with --engine"),
        ([*ENGINE, "--missing", "encode"], "--missing encode does not go with --engine"),
    ],
)
def test_rank_options_that_contradict_each_other(tmp_path, call, options, message):
    code, _, err = call("rank", "--store", tmp_path / "s", *QUERIES, "--output", tmp_path / "run", *options)
    assert code == 2 and message in err


def test_another_engine_is_an_error_before_anything_is_done(tmp_path, call):
    code, _, err = call("index", "--corpus", CORPUS, "--store", tmp_path / "s", "--engine", "spark", "--shards", 2)
    assert code == 1 and "engine 'spark'" in err and not (tmp_path / "s").exists()


def test_a_store_in_the_place_of_the_set_is_left_alone(tmp_path, call, inline):
    single = commands.build(tmp_path)
    before = sorted(path.name for path in single.iterdir())
    code, _, err = call("index", "--corpus", CORPUS, "--store", single, *ENGINE, "--shards", 2, *commands.model())
    assert code == 1 and "no build of a set" in err
    assert sorted(path.name for path in single.iterdir()) == before
