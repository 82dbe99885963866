"""The scripts of examples/ run as they are, in an empty folder, offline, and print what they promise."""

import re
import runpy

import pytest
import torch

from tests.support.paths import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
PRINTED = {
    "rerank": r"by text: \['heapq', '\w+'\]\nheapq .*\n(\w+ .*\n){3}read [1-9]\d* bytes for 4 candidates\n",
    "cascade": r"best: \['sorted', '\w+', '\w+'\]\nevidence scored 5 candidates\njoint_layers scored 2 candidates\n",
    "long_documents": r"2 documents, \d\d chunks, such as formats#0\nmax: \[\('structures', \d+\).*\nfirst: \[\(.*\n",
    "add_a_method": r"bread \(8, 64\)\nengine \(7, 64\)\nranked 2 documents with maxsim\n",
}


def test_every_script_has_its_output_here_and_is_short():
    assert {script.stem for script in SCRIPTS} == set(PRINTED)
    lengths = {script.name: len(script.read_text(encoding="utf-8").splitlines()) for script in SCRIPTS}
    assert not {name: lines for name, lines in lengths.items() if not 25 <= lines <= 60}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_runs_in_an_empty_folder_and_prints_what_it_promises(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert re.fullmatch(PRINTED[script.stem], printed), printed
