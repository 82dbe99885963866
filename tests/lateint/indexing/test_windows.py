"""A shard of a planned corpus reads its own windows alone, and equals the shard that reads everything."""

import json

import pytest

from lateint.errors import InputError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.indexing.windows import PlannedDocuments, WindowPlan, plan_windows
from lateint.model.document import Document
from lateint_store import merge
from tests.support import engine
from tests.support.engine import DOCUMENTS

WINDOW = 4


def write(file, documents):
    file.write_text("".join(f"{document.id}\t{document.text}\n" for document in documents))


def planned(file, size=WINDOW):
    """The documents of a file by their plan, which went through its own file; and the windows that are read."""
    starts, place, lines = [], 0, file.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if number % size == 0:
            starts.append((place, 0, number + 1))
        place += len(line)
    groups = [lines[at : at + size] for at in range(0, len(lines), size)]
    found = [("passages", start, [parsed(line) for line in group]) for start, group in zip(starts, groups, strict=True)]
    plan_windows(file, size, found).save(file.with_suffix(".windows"))
    read = []

    def window(wanted):
        read.append(wanted.offset)
        with file.open("rb") as opened:
            opened.seek(wanted.offset)
            return [parsed(opened.readline()) for _ in range(wanted.documents)]

    return PlannedDocuments(WindowPlan.load(file.with_suffix(".windows")), file, window), read


def parsed(line):
    doc_id, _, text = line.decode().rstrip("\n").partition("\t")
    return Document(doc_id, text)


@pytest.fixture
def corpus(tmp_path):
    write(tmp_path / "corpus.tsv", DOCUMENTS[:22])
    return tmp_path / "corpus.tsv"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with build_store(engine.model(), DOCUMENTS[:22], tmp_path_factory.mktemp("whole") / "s", window=WINDOW) as store:
        yield store.content_digest(), store.progress


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_shards_of_a_plan_read_every_window_once_and_merge_to_the_unsharded_build(tmp_path, corpus, whole, shards):
    documents, read = planned(corpus)
    parts = [tmp_path / str(number) for number in range(shards)]
    for number, part in enumerate(parts):
        with build_store(engine.model(), documents, part, shard=(number, shards), window=WINDOW) as store:
            assert (store.progress.source_position, store.progress.source_digest) == (22, whole[1].source_digest)
    build_store(engine.model(), documents, parts[0], shard=(0, shards), window=WINDOW).close()
    assert sorted(read) == sorted(window.offset for window in documents.plan.windows), "each window once"
    with merge(parts, tmp_path / "all") as merged:
        assert (merged.content_digest(), merged.progress) == whole


def test_an_interrupted_shard_continues_and_equals_one_that_reads_everything(tmp_path, corpus):
    documents, read = planned(corpus)
    seen = []

    def stop(progress):
        seen.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(engine.model(), documents, tmp_path / "s", progress=stop, shard=(0, 2), window=WINDOW)
    read.clear()
    with build_store(engine.model(), documents, tmp_path / "s", shard=(0, 2), window=WINDOW) as store:
        digest = store.content_digest()
        assert 0 < len(read) < 3 and store.progress.source_position == 22
    with build_store(engine.model(), DOCUMENTS[:22], tmp_path / "t", shard=(0, 2), window=WINDOW) as store:
        assert store.content_digest() == digest
        assert store.progress == open_store(tmp_path / "s").progress
    with build_store(engine.model(), documents, tmp_path / "t", shard=(0, 2), window=WINDOW) as store:
        assert store.content_digest() == digest and store.info()["encoded_by_last_run"] == 0, "with the plan after without it"


@pytest.mark.parametrize("shard", [None, (1, 2)])
def test_a_corpus_that_has_grown_is_planned_again_and_continued(tmp_path, corpus, shard):
    options = {"shard": shard, "window": WINDOW}
    build_store(engine.model(), planned(corpus)[0], tmp_path / "s", **options).close()
    write(corpus, DOCUMENTS[:31])
    with (
        build_store(engine.model(), planned(corpus)[0], tmp_path / "s", **options) as grown,
        build_store(engine.model(), DOCUMENTS[:31], tmp_path / "once", **options) as once,
    ):
        assert grown.content_digest() == once.content_digest() and grown.progress == once.progress


def test_a_corpus_that_changed_after_the_plan_is_refused(tmp_path, corpus):
    documents, _ = planned(corpus)
    text = corpus.read_text()
    corpus.write_text(text.replace(DOCUMENTS[9].text[:4], DOCUMENTS[9].text[:4].upper()))
    with pytest.raises(InputError, match=r"window \d, from line \d+ on, changed since it was planned.*plan it again"):
        build_store(engine.model(), documents, tmp_path / "s", window=WINDOW)
    corpus.write_text(text + "x\ty\n")
    with pytest.raises(InputError, match=r"bytes, and had \d+ when its windows were planned"):
        PlannedDocuments(documents.plan, corpus, list)
    with pytest.raises(InputError, match="changed while its windows were planned"):
        plan_windows(corpus, WINDOW, (corpus.write_text(text) and pair for pair in [("passages", (0, 0, 1), DOCUMENTS[:1])]))


def test_a_plan_of_another_corpus_or_of_other_windows_is_refused(tmp_path, corpus):
    build_store(engine.model(), planned(corpus)[0], tmp_path / "s", window=WINDOW).close()
    write(tmp_path / "other.tsv", DOCUMENTS[10:40])
    with pytest.raises(StoreMismatch, match=r"first 22 documents of .*other\.tsv are not those"):
        build_store(engine.model(), planned(tmp_path / "other.tsv")[0], tmp_path / "s", window=WINDOW)
    with pytest.raises(StoreMismatch, match="windows of 4 documents, the plan of 5"):
        build_store(engine.model(), planned(corpus, 5)[0], tmp_path / "s", window=WINDOW)
    write(corpus, DOCUMENTS[:8])
    with pytest.raises(StoreMismatch, match="first 22 documents"):
        build_store(engine.model(), planned(corpus)[0], tmp_path / "s", window=WINDOW)


def test_a_file_that_is_no_plan_is_refused(tmp_path, corpus):
    planned(corpus)
    file = corpus.with_suffix(".windows")
    good = json.loads(file.read_text())
    for text in ("{", "[]", json.dumps(good | {"size": 5}), json.dumps({**good, "format": "x"})):
        file.write_text(text)
        with pytest.raises(InputError, match=r"is no plan of windows.*lateint corpus windows"):
            WindowPlan.load(file)
    with pytest.raises(InputError, match="no plan of windows"):
        WindowPlan.load(tmp_path / "nowhere")
