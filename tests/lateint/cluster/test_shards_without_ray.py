"""A shard is built, published once, and continued after a kill at any place; a folder serves one set only. No Ray here."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lateint.cluster import build as building
from lateint.cluster.build import build_set
from lateint.cluster.build_job import JOB_FILE, BuildJob, begin, identity_of
from lateint.cluster.publishing import clean, publish_store
from lateint.cluster.shard_builder import ShardBuilder
from lateint.cluster.work_queue import Fault
from lateint.errors import DuplicateDocument, InputError, StoreError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint_store import merge, parse_codecs
from lateint_store.disk import killpoints
from tests.support import cluster as clusters
from tests.support import engine, processes
from tests.support.engine import DOCUMENTS

SHARDS = 3


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path)


def make_job(folder, documents=DOCUMENTS[:22], **options):
    corpus = clusters.write(folder / "corpus.tsv", documents)
    job = BuildJob(
        **{
            "load": engine.model,
            "documents": clusters.planned(corpus),
            "out": folder / "set",
            "shards": SHARDS,
            "scratch": folder / "scratch",
        }
        | options
    )
    return replace(job, identity=identity_of(job, engine.model()))


def unread(_):
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with build_store(engine.model(), DOCUMENTS[:22], tmp_path_factory.mktemp("whole") / "s", window=clusters.WINDOW) as store:
        yield store.content_digest()


@pytest.fixture
def inline(monkeypatch):
    """Workers of `build_set` in this process, one after the other."""

    class Crew:
        def __init__(self, job):
            self.worker = building.ShardWorker(job)

        def run(self, queue, begin, tick):
            assert self.worker.start() is None
            while (piece := queue.take()) is not None:
                result = self.worker.work(piece)
                assert not isinstance(result, Fault), result
                tick(self.worker.progress(), 1)
                queue.done(piece)
                yield piece, result

    from contextlib import nullcontext

    monkeypatch.setattr(building, "_crew", lambda job, spread: nullcontext(Crew(job).run))


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_a_set_merges_to_one_build_and_counts_all_documents(tmp_path, inline, whole, shards):
    seen = []
    job = make_job(tmp_path)
    with build_set(engine.model, job.documents, job.out, shards=shards, report=seen.append) as built:
        assert len(built) == 22 and built.sealed
        places = built.members
    with merge(places, tmp_path / "all") as merged:
        assert merged.content_digest() == whole
    assert [now.documents for now in seen] == sorted(now.documents for now in seen)
    assert (seen[-1].documents, seen[-1].published, seen[-1].total) == (22, shards, 22)


def test_a_repeated_call_builds_what_is_missing_and_then_nothing(tmp_path, inline):
    job = make_job(tmp_path)
    begin(job)
    before = ShardBuilder(job).build(1, unread)
    for number in range(2):
        seen = []
        with build_set(engine.model, job.documents, job.out, shards=SHARDS, report=seen.append) as built:
            assert len(built) == 22
        assert len(seen) == (4, 0)[number], "two shards, each with a look at the progress and a publication"
    assert before.first and before.entries == job.documents.shard_size(1, SHARDS) == before.new


def test_the_second_builder_of_a_shard_leaves_the_first_one_there(job):
    begin(job)
    first = ShardBuilder(job).build(0, unread)
    second = ShardBuilder(replace(job, scratch=job.scratch / "other")).build(0, unread)
    assert (first.first, second.first, second.content_digest) == (True, False, first.content_digest)
    assert not list(job.out.glob(".incoming*")) and not list(job.scratch.rglob("member*"))


def test_a_second_builder_with_other_content_fails_loudly(tmp_path, job):
    begin(job)
    ShardBuilder(job).build(0, unread)
    with build_store(engine.model(), DOCUMENTS[5:9], tmp_path / "other", window=clusters.WINDOW) as other:
        other.seal()
    with pytest.raises(StoreMismatch, match="was published with content digest"):
        publish_store(tmp_path / "other", job.place(0))


def test_a_copy_that_was_damaged_is_not_published(tmp_path, job, monkeypatch):
    with build_store(engine.model(), DOCUMENTS[:4], tmp_path / "built") as built:
        built.seal()
    begin(job)
    copy = shutil.copy2

    def damaged(source, target, **options):
        copy(source, target, **options)
        if target.endswith("data.mdb"):
            file = Path(target)
            file.chmod(0o644)
            engine.flip(file, file.stat().st_size // 2)

    monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, damaged, False, False))
    with pytest.raises(StoreError, match="the copy differs"):
        publish_store(tmp_path / "built", job.place(0))
    assert not job.place(0).exists() and not list(job.out.glob(".incoming*"))


def publish_killed(folder, at):
    """Build shard 0 in this process, and die at a point."""
    job = make_job(folder)
    begin(job)
    killpoints.arm(at)
    ShardBuilder(job).build(0, unread)


@pytest.mark.parametrize("at", ["append.after_commit:1", "seal.verified", "seal.read_only", "cluster.copied"])
def test_a_shard_that_was_killed_is_continued(tmp_path, at, job):
    process = processes.fork(publish_killed, tmp_path, at)
    process.join()
    assert process.exitcode == -9
    built = ShardBuilder(job).build(0, unread)
    with build_store(engine.model(), job.documents, tmp_path / "s", shard=(0, SHARDS), window=clusters.WINDOW) as alone:
        assert (built.content_digest, built.first) == (alone.content_digest(), True)
    clean(job.out)
    assert not list(job.out.glob(".incoming*"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shards": 4}, "shards 3 there, 4 here"),
        ({"codecs": parse_codecs("states=cast:float16")}, "codecs"),
        ({"chunks": engine.CHUNKS}, "chunks"),
    ],
)
def test_a_folder_that_was_begun_as_another_set_is_refused(tmp_path, job, change, named):
    begin(job)
    other = make_job(tmp_path, **change)
    with pytest.raises(StoreMismatch, match=named):
        begin(other)


def test_another_corpus_and_another_model_are_refused(tmp_path, job):
    begin(job)
    with pytest.raises(StoreMismatch, match="corpus"):
        begin(make_job(tmp_path, DOCUMENTS[:20]))
    model = engine.shaken("prettr")
    with pytest.raises(StoreMismatch, match="states"):
        begin(replace(job, identity=identity_of(job, model)))
    with pytest.raises(StoreMismatch, match="this machine has another states"):
        ShardBuilder(replace(make_job(tmp_path), identity=identity_of(job, model)))


def test_a_member_of_another_build_in_the_folder_is_refused(tmp_path, job):
    begin(job)
    with build_store(engine.model(), DOCUMENTS[:4], job.place(1)):
        pass
    with pytest.raises(StoreError, match="is no finished shard 1/3"):
        job.published()


def test_what_is_there_already_is_left_alone(tmp_path, job):
    job.out.mkdir()
    (job.out / "letter.txt").touch()
    with pytest.raises(StoreError, match=r"holds 'letter.txt' already"):
        begin(job)
    assert [path.name for path in job.out.iterdir()] == ["letter.txt"]


def test_a_url_is_refused(job):
    with pytest.raises(InputError, match="is a URL"):
        build_set(engine.model, job.documents, "s3://bucket/set", shards=2)


def test_an_altered_job_file_is_refused(job):
    begin(job)
    (job.out / JOB_FILE).write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="does not say how its set is built"):
        begin(job)


def test_a_corpus_that_changed_between_plan_and_build_is_refused(tmp_path, job):
    corpus = tmp_path / "corpus.tsv"
    text = corpus.read_text()
    begin(job)
    corpus.write_text(text + "x\tmore\n")
    with pytest.raises(InputError, match="when its windows were planned"):
        ShardBuilder(job)
    corpus.write_text(text.replace("d00\t", "d99\t"))
    with pytest.raises(InputError, match="changed since it was planned"):
        ShardBuilder(job).build(0, unread)
    corpus.unlink()
    with pytest.raises(InputError, match="every machine needs it at this path"):
        ShardBuilder(job)


def test_a_shard_that_cannot_be_encoded_fails_alike_each_time(tmp_path):
    documents = [*DOCUMENTS[:5], Document("d04", "again"), *DOCUMENTS[6:12]]
    job = make_job(tmp_path, documents)
    begin(job)
    builder, messages = ShardBuilder(job), set()
    for _ in range(3):
        with pytest.raises(DuplicateDocument) as caught:
            builder.build(1, unread)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_the_set_opens_as_one(tmp_path, inline):
    job = make_job(tmp_path)
    build_set(engine.model, job.documents, job.out, shards=SHARDS).close()
    with open_store(job.out) as opened:
        assert sorted(opened.ids()) == sorted(document.id for document in DOCUMENTS[:22])
