"""SIGKILL at named points: running the same command again gives the result of an undisturbed run."""

import json
import signal

import pytest

from lateint_store import create_store, open_store
from lateint_store.disk.killpoints import POINTS
from lateint_store.errors import StoreNotFound
from lateint_store.opening import finish_sealing
from tests.support.stores import ABOUT, WINDOW, build, contents, fork_child, specs

DOCUMENTS = 150


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    with build(tmp_path_factory.mktemp("reference") / "s", DOCUMENTS) as store:
        return store.content_digest(), contents(store)


def killed(*arguments, at):
    return fork_child(*arguments, kill_at=at)[0] == -signal.SIGKILL


def redone(*arguments):
    """What the same command prints when it runs again, to its end."""
    code, printed = fork_child(*arguments)
    assert code == 0
    return json.loads(printed)


@pytest.mark.parametrize(
    "at",
    [
        "create.shard:1",
        "manifest.before_rename:1",
        "manifest.after_rename:1",
        "append.before_put:3",
        "append.after_put:1",
        "append.before_commit:1",
        "append.before_commit:4",
        "append.after_commit:1",
        "append.after_commit:5",
    ],
)
def test_a_killed_build_goes_on_to_the_same_contents(tmp_path, reference, at):
    path = tmp_path / "s"
    assert killed("build", path, DOCUMENTS, at=at)
    try:
        with open_store(path) as store:
            begun = store.progress.source_position
            assert len(store) == begun and begun in (*range(0, DOCUMENTS, WINDOW), DOCUMENTS)
            assert store.verify().ok
    except StoreNotFound:
        begun = 0
    after = redone("build", path, DOCUMENTS)
    assert after == {"documents": DOCUMENTS, "digest": reference[0], "position": DOCUMENTS, "run": DOCUMENTS - begun}
    with open_store(path) as store:
        assert contents(store) == reference[1] and store.verify().ok


@pytest.mark.parametrize("at", ["roll.created:1", "manifest.before_rename:2", "manifest.after_rename:2", "create.shard:2"])
def test_a_build_killed_while_it_begins_a_shard_goes_on(tmp_path, reference, at):
    assert killed("rolling", tmp_path / "s", DOCUMENTS, at=at)
    assert redone("rolling", tmp_path / "s", DOCUMENTS)["digest"] == reference[0]
    with open_store(tmp_path / "s") as store:
        assert len(store.manifest.shards) == 3 and store.verify().ok


@pytest.mark.parametrize(
    ("verb", "at"),
    [
        ("compact", "rewrite.window:2"), ("compact", "rewrite.done"), ("compact", "manifest.before_rename"),
        ("compact", "publish.before_clean"), ("compact", "publish.after_clean"),
        ("seal", "rewrite.shard"), ("seal", "seal.verified"), ("seal", "seal.read_only"),
        ("seal", "manifest.after_rename"), ("seal", "publish.before_clean"),
    ],
)  # fmt: skip
def test_a_killed_rewrite_leaves_the_old_store_or_the_new_one(tmp_path, verb, at):
    path = tmp_path / "s"
    with build(path, DOCUMENTS) as store:
        store.delete([f"doc{number}" for number in range(0, DOCUMENTS, 3)])
        truth, digest = contents(store), store.content_digest()
    assert killed(verb, path, at=at)
    with open_store(path) as store:
        assert (contents(store), store.content_digest()) == (truth, digest) and store.verify().ok
        sealed = store.sealed
    assert sealed == (verb == "seal" and at in ("manifest.after_rename", "publish.before_clean"))
    if not sealed:
        assert redone(verb, path)["digest"] == digest
    with open_store(path) as store:
        assert contents(store) == truth and store.verify().ok
    assert finish_sealing(path) == (verb == "seal")
    assert sorted(entry.name for entry in path.iterdir() if entry.is_dir()) == [store.manifest.shards[0].folder]


@pytest.mark.parametrize("at", ["delete.before_commit", "delete.after_commit"])
def test_a_killed_delete_happened_or_did_not(tmp_path, at):
    path = tmp_path / "s"
    build(path, 40).close()
    assert killed("delete", path, "doc3", "doc4", at=at)
    with open_store(path) as store:
        assert len(store) == (40 if at.endswith("before_commit") else 38) and store.verify().ok


def test_a_killed_merge_leaves_no_store_and_can_be_repeated(tmp_path, reference):
    parts = [tmp_path / f"part{number}" for number in range(2)]
    for number, part in enumerate(parts):
        build(part, DOCUMENTS, shard=(number, 2)).close()
    assert killed("merge", tmp_path / "out", *parts, at="derived.done")
    with pytest.raises(StoreNotFound):
        open_store(tmp_path / "out")
    assert redone("merge", tmp_path / "out", *parts)["digest"] == reference[0]


def test_every_point_in_the_list_is_passed_by_the_code():
    from tests.support.paths import ROOT

    source = "".join(path.read_text() for path in (ROOT / "store/lateint_store").rglob("*.py") if path.stem != "killpoints")
    assert [name for name in POINTS if f'point("{name}")' not in source] == []


def test_points_do_nothing_when_unset(tmp_path):
    with create_store(tmp_path / "s", specs(), **ABOUT) as store:
        assert len(store) == 0
