"""The method of docs/guide/add-a-method.md: its entry, its Python and its commands, run as they stand there."""

import contextlib
import io
import json
import re
import shlex

import pytest

import lateint
from lateint.indexing.codecs import pipelines
from lateint.methods.method import Method
from lateint.methods.presets import PRESETS
from lateint.testing import tiny
from tests.support.commands import run_lines
from tests.support.paths import ROOT, TOY

PAGE = (ROOT / "docs" / "guide" / "add-a-method.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
(_, ENTRY), (_, PYTHON), (_, PRINTED), (_, COMMANDS) = FENCE.findall(PAGE)
# Without these a command takes its defaults, which are too long for a test and for a tiny encoder.
SMALL = {"STEPS": "2", "QUERY_MAX_LENGTH": "24", "DOC_MAX_LENGTH": "48"}


@pytest.fixture
def place(tmp_path, data, monkeypatch):
    """A folder with what the page takes for granted."""
    (tmp_path / "my-encoder").symlink_to(tiny.checkpoint("bert"))
    (tmp_path / "my-set").symlink_to(data)
    (tmp_path / "my-candidates.trec").symlink_to(TOY / "run.beir.trec")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entry():
    names = {}
    exec(compile(ENTRY, "docs/guide/add-a-method.md", "exec"), names)
    return names


def test_the_entry_is_a_method_of_parts_that_are_there_and_no_preset():
    method = entry()["FEW_VECTORS"]
    assert len(PRESETS) == 13 and method.name not in PRESETS and method not in PRESETS.values()
    assert Method.from_json(json.loads(json.dumps(method.to_json()))) == method


def test_its_python_runs_and_an_entry_has_eight_rows_and_the_bytes_that_are_stated(place):
    names, printed = entry(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(PYTHON, "docs/guide/add-a-method.md", "exec"), names)
    assert printed.getvalue() == PRINTED == "2 (8, 64)\n"
    model = names["model"]
    entries = model.encode(model.document_tokens([lateint.Document("long", "bread " * 40), lateint.Document("short", "bread")]))
    sizes = [len(pipelines(model)["states"].encode(each["states"])) for each in entries]
    assert [len(each["states"]) for each in entries] == [8, 3]
    assert sizes == [272, 2 * 68] and "272 bytes" in PAGE


def test_its_commands_train_index_rank_and_evaluate(place, call, monkeypatch):
    method = entry()["FEW_VECTORS"]
    monkeypatch.setitem(PRESETS, method.name, method)
    for name, value in SMALL.items():
        monkeypatch.setenv(f"LATEINT_TRAIN_{name}", value)
    verbs = []
    for line in COMMANDS.splitlines():
        program, *arguments = shlex.split(line)
        code, out, err = call(*arguments)
        assert program == "lateint" and code == 0, err
        verbs.append(arguments[0])
    assert verbs == ["train", "index", "rank", "eval"] and "nDCG@10" in out
    history = json.loads((place / "my-model" / "history.json").read_text())
    assert [len(stage) for stage in history] == [2]
    scores = {(line[0], line[2]): float(line[4]) for line in run_lines(place / "my-run.trec")}
    assert len(scores) > 250 and len(set(scores.values())) > 200
    model = lateint.load_model(place / "my-model")
    assert model.method.pool == method.pool and model.method.name == "few_vectors"
    query, document = (
        json.loads((place / "my-set" / name).read_text().splitlines()[0]) for name in ("queries.jsonl", "corpus.jsonl")
    )
    plain = lateint.Document(document["_id"], document["text"], document.get("title", ""))
    with lateint.open_store("my-store") as store:
        stored = lateint.Ranker(model, store).rank(query["text"], [plain.id])[0].score
    assert stored == lateint.Ranker(model).rank(query["text"], documents=[plain])[0].score
