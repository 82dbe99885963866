"""Real clients get what `Ranker.rank` gives, by ids and by texts, and errors of their own kind.

Each environment of clients lies beside the others in the folder that LATEINT_CLIENTS names; `make clients` makes them. The
packages exclude each other and are large, so they are no part of the environment of the other tests.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from tests.support import engine, processes
from tests.support.paths import ROOT
from tests.support.retrieving import RICH
from tests.support.serving_process import serve_in_process

HERE = Path(__file__).parent
ENVIRONMENTS = sorted(file.stem for file in HERE.glob("*.txt"))
MODULES = {
    "cohere5": ("cohere", "litellm", "openai"),
    "cohere7": ("cohere",),
    "frameworks": ("langchain_cohere", "llama_index", "haystack"),
}
KEY, TEXTS = "a-key-of-the-tests", ["bread and yeast", "a wheel of stone", "rain on the river"]
# Errors of an unknown id and of a wrong key, where a client does not tell 404 apart; the first does not even read the status.
COARSE = {
    "llama-index tei": ["AssertionError", "AssertionError"],
    "haystack tei": ["RuntimeError", "RuntimeError"],
    "litellm huggingface": ["APIError", "AuthenticationError"],
}

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A ranker, and the address of a service over its store."""
    folder = tmp_path_factory.mktemp("clients")
    engine.fresh_model(RICH).save_pretrained(folder / "model")
    model = load_model(folder / "model")
    (folder / "keys").write_text(KEY)
    with build_store(model, engine.DOCUMENTS, folder / "store") as store:
        lines, send = processes.pipe()
        options = {"store": str(folder / "store"), "port": 0, "id_prefix": "id:", "api_key_file": str(folder / "keys")}
        process = processes.fork(serve_in_process, options, send)
        yield Ranker(model, store), lines.recv().rpartition(" ")[2]
        process.terminate()
        process.join()


def python_of(environment):
    """The interpreter of an environment of clients."""
    folder = os.environ.get("LATEINT_CLIENTS")
    if folder is None:
        pytest.skip("needs environments of clients: run `make clients`")
    return Path(folder) / environment / "bin" / "python"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_clients_of_the_guide_can_be_copied(served, environment):
    python, (ranker, address) = python_of(environment), served
    page = (ROOT / "docs" / "guide" / "serving.md").read_text()
    ran, ids = 0, ["d01", "d02", "d03"]
    expected = [ids.index(hit.doc_id) for hit in ranker.rank("how is bread made", ids)]
    for code in re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if code.split()[1].partition(".")[0] in MODULES[environment]:
            here = code.replace("http://127.0.0.1:8080", address).replace("my-api-key", KEY)
            run = subprocess.run([python, "-c", here], capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            assert json.loads(run.stdout.splitlines()[-1]) == expected, code
            ran += 1
    assert ran >= len(MODULES[environment])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_clients_get_the_scores_of_the_ranker(served, environment):
    python, (ranker, address) = python_of(environment), served
    case = {"address": address, "key": KEY, "query": engine.QUERY, "ids": engine.IDS, "texts": TEXTS}
    run = subprocess.run([python, HERE / f"ask_{environment}.py"], input=json.dumps(case), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    for name, got in found.items():
        check(name, got, ranker)


def check(name, got, ranker):
    by_id = [(engine.IDS.index(hit.doc_id), hit.score) for hit in ranker.rank(engine.QUERY, engine.IDS)]
    by_text = [(int(hit.doc_id), hit.score) for hit in ranker.rank(engine.QUERY, documents=TEXTS)]
    for kind, expected in (("ids", by_id), ("texts", by_text)):
        assert [index for index, _ in got[kind]] == [index for index, _ in expected], (name, kind)
        sent = [score for _, score in got[kind]]
        assert sent == pytest.approx([sigmoid(score) for _, score in expected], abs=1e-6), (name, kind)
    unknown, key = got["unknown"], got["key"]
    if name in COARSE:
        assert [unknown[0], key[0]] == COARSE[name]
    else:
        assert "NotFound" in unknown[0] and "nowhere" in unknown[1], (name, unknown)
        assert "Authentic" in key[0] or "Unauthorized" in key[0], (name, key)


def sigmoid(logit):
    from math import exp

    return 1 / (1 + exp(-logit))
