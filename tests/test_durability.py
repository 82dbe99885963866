"""Power loss: every verb that writes syncs its data before the rename that publishes it, and that name before it returns."""

import os
from dataclasses import replace
from unittest.mock import patch

import pytest

import lateint
from lateint.loading.delta import save_delta
from lateint.retrieval.retriever import Retriever
from lateint.testing import tiny
from lateint.train.plan import TrainingPlan
from lateint.train.run import run_plan
from lateint_eval.formats import write_run
from lateint_eval.studies.run import run_study
from lateint_eval.studies.spec import Data, Grid, Study
from lateint_store import merge, open_store, parse_codecs, recode
from lateint_store.disk.files import replace_file, sync_file, sync_folder
from tests.support import caching, engine, students
from tests.support.durability import recorded
from tests.support.paths import TOY
from tests.support.stores import build, entries


def changed(verb, *arguments):
    """A change of a store of three shards that exists."""

    def prepare(folder):
        build(folder, 150, documents_per_shard=64).close()

    def call(folder):
        with open_store(folder, write=True) as store:
            getattr(store, verb)(*arguments)

    return prepare, call


def index(folder):
    build(folder, 150, documents_per_shard=64).close()


def begin(folder):
    build(folder, 40).close()


def replaced(folder):
    with open_store(folder, write=True) as store:
        store.replace_last_window(entries(range(32, 50)), 50, "digest to 50")


def parts(folder):
    for number in range(2):
        build(folder.with_name(f"part{number}"), 100, shard=(number, 2)).close()


def merged(folder):
    merge([folder.with_name(f"part{number}") for number in range(2)], folder).close()


def source(folder):
    build(folder.with_name("source"), 100).close()


def recoded(folder):
    recode(folder.with_name("source"), folder, parse_codecs("vector=int4"))[0].close()


def saved(folder):
    engine.model("mice").save_pretrained(str(folder))


def saved_int8(folder):
    engine.model("mice").save_pretrained(folder, dtype="int8")


def saved_delta(folder):
    save_delta(engine.model("mice"), folder, str(tiny.checkpoint("bert")))


def trained(folder):
    base = TrainingPlan.from_method("mice")
    method = replace(base.method, stages=(students.STAGE, students.STAGE), offline_layers=2, query_layers=2)
    plan = replace(base, base=str(tiny.checkpoint("bert")), method=method, steps=(2, 1), save_every=1, **students.LENGTHS)
    with patch("gc.collect"):  # which accelerate calls; it takes longer than training
        run_plan(plan, [students.source()], folder)


def studied(folder):
    files = {"corpus": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.tsv", "run": "run.trec"}
    data = Data(name="toy", sample=3, **{key: str(TOY / name) for key, name in files.items()})
    lengths = {"doc_max_length": (48,), "query_max_length": (24,)}
    grid = Grid(model=str(tiny.checkpoint("bert")), method=("prettr",), codecs=("states=int8",), depth=(3,), **lengths)
    with patch("lateint_eval.studies.run.render", lambda found: "page"):  # drawing takes longer than all else
        run_study(Study(data=(data,), grids=(grid,)), folder, lambda line: None)


def ran(folder):
    write_run(folder / "new.trec", {"q": [("d1", 2.0), ("d2", 1.0)]})


def vectors(folder):
    engine.store(folder.with_name("vectors"), "cosine").close()


def searched(folder):
    with lateint.open_store(folder.with_name("vectors") / "store") as store:
        Retriever(engine.model("cosine"), store, index="hnsw", index_file=folder / "graph")


def cached(folder):
    with caching.opened(folder) as cache:
        caching.put(cache, caching.TEXTS[:3])


def nothing(folder):
    pass


def empty(folder):
    folder.mkdir()


MANIFEST = ("manifest.json",)
POINT = "?" * 12 + ".json"
CHECKPOINT = ("lateint.json", "config.json")
VERBS = {
    "index": (nothing, index, MANIFEST, "manifest.json"),
    "index, grown": (begin, replaced, MANIFEST, None),
    "store add": (*changed("add", entries(range(200, 300))), MANIFEST, "manifest.json"),
    "store delete": (*changed("delete", ["doc1", "doc70", "doc149"]), MANIFEST, None),
    "store compact": (*changed("compact"), MANIFEST, "manifest.json"),
    "store seal": (*changed("seal"), MANIFEST, "manifest.json"),
    "store merge": (parts, merged, MANIFEST, "manifest.json"),
    "store recode": (source, recoded, MANIFEST, "manifest.json"),
    "save_pretrained": (nothing, saved, CHECKPOINT, "config.json"),
    "save_pretrained, int8": (nothing, saved_int8, CHECKPOINT, "config.json"),
    "save_pretrained, delta": (nothing, saved_delta, CHECKPOINT, "lateint.json"),
    "train": (nothing, trained, (*CHECKPOINT, "run.json", "complete", "stage0.json", "stage1.json"), None),
    "study": (
        nothing,
        studied,
        (*MANIFEST, "seconds", "study.json", "?" * 12 + ".json", "results.*", "report.html"),
        "report.html",
    ),
    "rank": (empty, ran, (), "new.trec"),
    "text cache": (nothing, cached, (), "cache.json"),
    "retrieve --index-file": (lambda folder: (vectors(folder), empty(folder)), searched, ("graph",), "graph"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_power_loss_at_any_moment_finds_what_was_published_whole(tmp_path, verb):
    prepare, call, markers, last = VERBS[verb]
    folder = tmp_path / "new"
    prepare(folder)
    with recorded(folder, markers) as found:
        call(folder)
    assert found.problems == []
    assert (found.renames[-1] if found.renames else None) == last or last is None


def write(folder, *, sync=True, sync_names=True, marker_first=False):
    """Publish a file by a marker, in the right order or a wrong one."""
    folder.mkdir()
    sync_folder(folder.parent)
    if marker_first:
        replace_file(folder / "marker", b"")
    (folder / "draft").write_bytes(b"data")
    if sync:
        sync_file(folder / "draft")
    os.replace(folder / "draft", folder / "data")
    if sync_names:
        sync_folder(folder)
    if not marker_first:
        replace_file(folder / "marker", b"")


BROKEN = {
    "in order": ({}, []),
    "no sync": (
        {"sync": False},
        ["draft is renamed to data before it is synced", "marker is published before the bytes of data are synced",
         "the call returns before the bytes of data are synced"],
    ),
    "no sync of the folder": ({"sync_names": False}, ["marker is published before the name of data is synced"]),
    "marker first": (
        {"marker_first": True, "sync_names": False}, ["the call returns before the name of data is synced"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("order", BROKEN)
def test_a_wrong_order_is_found(tmp_path, order):
    options, problems = BROKEN[order]
    with recorded(tmp_path / "new", ("marker",)) as found:
        write(tmp_path / "new", **options)
    assert found.problems == problems


@pytest.mark.parametrize(
    ("verb", "broken"),
    [
        ("index", "lateint_store.shards.shards.sync_folder"),
        ("store compact", "lateint_store.shards.shards.sync_folder"),
        ("save_pretrained", "lateint_store.disk.files.sync_file"),
        ("save_pretrained", "lateint_store.disk.files.sync_folder"),
        ("rank", "lateint_eval.formats.output.sync_folder"),
    ],
)
def test_a_verb_that_leaves_out_a_sync_is_found(tmp_path, verb, broken):
    prepare, call, markers, _ = VERBS[verb]
    prepare(tmp_path / "new")
    with recorded(tmp_path / "new", markers) as found, patch(broken, lambda path: None):
        call(tmp_path / "new")
    assert found.problems
