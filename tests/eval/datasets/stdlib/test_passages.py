import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lateint_eval.datasets.stdlib import passages as stdlib
from lateint_eval.datasets.stdlib.passages import MAX_CHARS, MAX_PASSAGES, MAX_WORDS, MIN_WORDS, build_passages, shorten
from lateint_eval.datasets.stdlib.questions import judged_ids
from lateint_store.errors import InputError

BUILD_AND_REPORT = """
import hashlib, json, sys
from lateint_eval.datasets.stdlib.passages import build_passages
before = set(sys.modules)
passages = build_passages()
digest = hashlib.sha256(repr(passages).encode()).hexdigest()
print(json.dumps({"digest": digest, "loaded": sorted(set(sys.modules) - before)}))
"""
IMPORT_ALLOWED = """
import importlib, json, sys, sysconfig
from lateint_eval.datasets.stdlib.modules import IMPORTED
from lateint_eval.datasets.stdlib.questions import judged_ids
sysconfig.get_path("stdlib"), judged_ids()  # imports the modules that find sources and questions
for name in [*IMPORTED.split(), "pydoc_data.topics"]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def passages():
    return build_passages()


def run(code, hash_seed):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_there_are_two_to_three_thousand_passages(passages):
    assert 2000 <= len(passages) <= MAX_PASSAGES == 3000


def test_ids_are_unique(passages):
    assert len({passage.id for passage in passages}) == len(passages)


def test_every_passage_is_one_line_within_the_limits(passages):
    for passage in passages:
        assert MIN_WORDS <= len(passage.text.split()) <= MAX_WORDS
        assert len(passage.text) <= MAX_CHARS
        assert passage.text == " ".join(passage.text.split())
        assert passage.title and "\n" not in passage.title


def test_no_two_passages_say_the_same_under_the_same_name(passages):
    sayings = [(passage.id.rpartition(".")[2], passage.text) for passage in passages]
    assert len(set(sayings)) == len(sayings)


@pytest.mark.parametrize(
    "identifier",
    ["builtins.sorted", "pathlib.Path.glob", "pathlib.PurePath.suffix", "os.path.join", "asyncio.gather", "math.dist"],
)
def test_names_are_those_that_a_programmer_imports(passages, identifier):
    assert identifier in {passage.id for passage in passages}


@pytest.fixture(scope="module")
def builds():
    return [run(BUILD_AND_REPORT, hash_seed) for hash_seed in ("1", "2")]


def test_two_processes_with_different_hash_seeds_build_the_same(builds):
    assert builds[0]["digest"] == builds[1]["digest"]


def test_building_imports_only_what_the_list_allows(builds):
    assert set(builds[0]["loaded"]) <= set(run(IMPORT_ALLOWED, "1"))


def test_building_imports_nothing_that_opens_windows_or_connections(builds):
    unwanted = {"antigravity", "this", "idlelib", "turtle", "tkinter", "webbrowser", "urllib.request", "smtplib"}
    assert not [name for name in builds[0]["loaded"] if name in unwanted or name.startswith(("idlelib.", "tkinter."))]


def test_above_the_maximum_judged_passages_stay_and_order_holds(passages, monkeypatch):
    monkeypatch.setattr(stdlib, "MAX_PASSAGES", 1000)
    capped = build_passages()
    ids = [passage.id for passage in capped]
    assert len(capped) == 1000
    assert judged_ids() <= set(ids)
    assert ids == [passage.id for passage in passages if passage.id in set(ids)]


def test_an_interpreter_without_sources_is_an_error_that_names_the_folder(tmp_path):
    with pytest.raises(InputError, match=r"expected at least 2000.*installed with its sources") as caught:
        build_passages(tmp_path)
    assert str(tmp_path) in str(caught.value)


@given(st.text(alphabet="ab .\n:é", max_size=900))
def test_shorten_takes_leading_words_within_the_limits(text):
    short = shorten(text)
    assert len(short) <= MAX_CHARS
    assert len(short.split()) <= MAX_WORDS
    assert " ".join(text.split()).startswith(short)
    assert bool(short) == bool(text.split())


def test_shorten_stops_at_a_sentence_when_one_fits():
    assert shorten("One two. " + "word " * 70 + "end.") == "One two."


def test_shorten_cuts_a_long_first_sentence_between_words():
    assert shorten("abcde " * 63 + "end") == " ".join(["abcde"] * 60)  # 60 words of 5, and blanks


def test_shorten_leaves_examples_out():
    assert shorten("Return the mean.\n\n>>> mean([1, 2])\n1.5") == "Return the mean."
