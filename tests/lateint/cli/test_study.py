"""`lateint study` by options and by file."""

import json
import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from lateint.cli.main import run
from lateint.cli.study import StudyRequest, _data
from lateint.errors import InputError
from tests.support import processes
from tests.support.commands import model
from tests.support.paths import TOY

FILES = f"name=toy,corpus={TOY}/collection.tsv,queries={TOY}/queries.tsv,qrels={TOY}/qrels.tsv,run={TOY}/run.trec,sample=3"


def test_options_describe_a_study_of_one_grid(call, tmp_path):
    name, checkpoint, *rest = model()
    given = [name, checkpoint, "--query-max-length", 24, "--doc-max-length", 48, "--method", "prettr", "--depth", 5]
    assert rest[:2] == ["--method", "prettr"]
    layers = ["--offline-layers", 1, "--offline-layers", 2]
    code, out, err = call("study", *given, *layers, "--data", FILES, "--output", tmp_path / "s")
    assert code == 0 and out.strip() == str(tmp_path / "s" / "report.html") and "2 of 2: prettr L=2" in err
    results = json.loads((tmp_path / "s" / "results.json").read_text())
    assert [point["offline_layers"] for point in results["points"]] == [1, 2]
    assert results["data"]["toy"]["queries"] == 3 and results["data"]["toy"]["depth"] == 5
    code, _, _ = call(*results["points"][1]["command"].split()[1:-1], tmp_path / "one")
    (again,) = json.loads((tmp_path / "one" / "results.json").read_text())["points"]
    assert code == 0 and again["results"] == results["points"][1]["results"], "the command of a point makes it again"


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("study.toml", "--model", "m"),
        ("study.toml", "--depth", "5"),
        ("--model", "m"),
        ("--model", "m", "--data", "d", "--depth", "0"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(call, tmp_path, given):
    assert call("study", *given, "--output", tmp_path / "s")[0] == 2


def test_errors_name_the_key(call, tmp_path):
    (tmp_path / "study.toml").write_text("[[dta]]\n")
    code, _, err = call("study", tmp_path / "study.toml", "--output", tmp_path / "s")
    assert code == 1 and "'dta'" in err and "'data'" in err and not (tmp_path / "s").exists()


def test_a_folder_is_data_by_its_name_and_keys_say_more():
    assert (_data("sets/squad").name, _data("sets/squad").folder) == ("squad", "sets/squad")
    assert _data("name=x,folder=sets/x,split=test,sample=7").sample == 7
    with pytest.raises(InputError, match=r"'splitt'.*'split'"):
        _data("name=x,folder=y,splitt=test")
    study = StudyRequest("m", data=("sets/squad",), measures=("RR@10",)).study()
    assert study.measures == ("RR@10",) and study.grids[0].depth == (50,)


def run_with(environment, arguments):
    """Run `lateint` with more environment variables; return its exit code and what it wrote."""
    os.environ.update(environment)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        return run(arguments), out.getvalue(), err.getvalue()


def test_without_a_network_a_data_set_is_a_line_and_no_point_is_begun(tmp_path):
    """The real ir_datasets tries every source, through a proxy that is not there."""
    dead = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "IR_DATASETS_HOME": str(tmp_path / "home")}
    files = f"name=v,corpus=irds:vaswani,queries=irds:vaswani,qrels={TOY}/qrels.tsv,run={TOY}/run.trec"
    study = ["study", "--model", "all-MiniLM-L6-v2", "--data", files, "--output", str(tmp_path / "study")]
    for arguments in (study, ["eval", "--qrels", "irds:vaswani", "--run", str(TOY / "run.trec")]):
        code, out, err = processes.call(run_with, dead, arguments)
        assert code == 1 and out == "" and "Traceback" not in err
        last = err.splitlines()[-1]
        assert last.startswith("lateint: cannot read irds:vaswani: the download to ") and "network" in last
    assert not (tmp_path / "study" / "points").exists()
