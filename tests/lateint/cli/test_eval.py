import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lateint.cli.eval import _split_measures, command
from lateint_store.errors import FormatError, InputError, LateintError
from tests.support import official
from tests.support.paths import ROOT, TOY

QRELS, RUN, MSMARCO = (str(TOY / name) for name in ("qrels.tsv", "run.trec", "run.msmarco.tsv"))


def invoke(*args, **options):
    return CliRunner().invoke(command, [str(arg) for arg in args], **options)


def test_table_of_the_toy_run():
    result = invoke("--qrels", QRELS, "--run", RUN, "--measures", "RR@10, nDCG@10", "--measures", "RR(rel=2)@10")
    assert result.exit_code == 0 and result.stderr == ""
    header, row = result.stdout.splitlines()
    assert header.split()[:4] == ["run", "RR@10", "nDCG@10", "RR(rel=2)@10"]
    assert row.split()[1:3] == ["0.8625", "0.8440"] and "20 of 20 (100.0%)" in row


def test_beir_folder_and_its_run_give_the_same_numbers():
    numbers = [
        json.loads(invoke("--qrels", qrels, "--run", run, "--json").stdout)["runs"][0]["measures"]
        for qrels, run in ((TOY, TOY / "run.beir.trec"), (QRELS, RUN))
    ]
    beir, msmarco = ({name: each["mean"] for name, each in side.items()} for side in numbers)
    assert beir == msmarco and list(beir) == ["nDCG@10", "RR@10", "R@100"]


def test_msmarco_prints_the_official_bytes_and_warns_on_stderr():
    result = invoke("--qrels", QRELS, "--run", MSMARCO, "--msmarco")
    lines, _ = official.score(Path(QRELS).read_text(), Path(MSMARCO).read_text())
    assert result.stdout.splitlines() == lines and result.stdout.endswith("#\n")
    assert result.stderr == "warning: 27 judgements with a label below 1 count as relevant\n"


def test_msmarco_strict_counts_positive_labels_only():
    result = invoke("--qrels", QRELS, "--run", MSMARCO, "--msmarco", "--strict", "--json")
    assert json.loads(result.stdout)["MRR@10"] == pytest.approx(0.8625) and result.stderr == ""
    assert "MRR@10              0.8625" in invoke("--qrels", QRELS, "--run", MSMARCO, "--msmarco", "--strict").stdout


def test_baseline_and_stdin(tmp_path):
    with open(RUN, "rb") as file:
        result = invoke("--qrels", QRELS, "--run", MSMARCO, "--baseline", "-", "--measures", "RR@10", input=file.read())
    assert result.exit_code == 0
    assert "run.msmarco.tsv - -  " in result.stdout and "p (Holm)" in result.stdout


def test_missing_queries_warn_and_show_both_averages(tmp_path):
    lines = Path(RUN).read_text().splitlines(keepends=True)[: 15 * 10]
    (tmp_path / "half.trec").write_text("".join(lines))
    result = invoke("--qrels", QRELS, "--run", tmp_path / "half.trec")
    assert "holds 10 of 20 judged queries (50.0%)" in result.stderr
    assert "half.trec, ranked queries only" in result.stdout and "10 of 20 (50.0%)" in result.stdout


def test_audit_reads_what_evaluation_refuses(tmp_path):
    (tmp_path / "run").write_text("1001 Q0 0 0 nan x\n1001 Q0 0 1 1 x\n")
    with pytest.raises(FormatError, match="not finite"):
        invoke("--qrels", QRELS, "--run", tmp_path / "run", catch_exceptions=False)
    result = invoke("--qrels", QRELS, "--run", tmp_path / "run", "--audit")
    assert all(kind in result.stdout for kind in ("not finite: 1", "rank base: 1", "duplicates: 1", "[line 2]"))
    assert "trec_eval -c" in result.stdout and "undefined: nan" in result.stdout
    report = json.loads(invoke("--qrels", QRELS, "--run", tmp_path / "run", "--audit", "--json").stdout)
    report = report[str(tmp_path / "run")]
    assert {"not finite", "duplicates"} <= {each["kind"] for each in report["findings"]}
    assert {each["tool"] for each in report["figures"]} >= {"lateint eval", "ms_marco_eval", "ir_measures", "BEIR"}


@pytest.mark.parametrize(
    "args",
    [
        ("--strict",),
        ("--msmarco", "--baseline", RUN),
        ("--msmarco", "--run", RUN),
        ("--msmarco", "--measures", "RR@10"),
        ("--audit", "--measures", "RR@10"),
        ("--audit", "--intervals"),
        ("--audit", "--baseline", RUN),
        ("--run", "-", "--baseline", "-"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(args):
    result = invoke("--qrels", QRELS, "--run", RUN, *args)
    assert result.exit_code == 2 and "Error:" in result.stderr and result.stdout == ""


def test_typed_errors_reach_the_group(tmp_path):
    for args, expected in (
        (("--qrels", tmp_path / "none", "--run", RUN), InputError),
        (("--qrels", QRELS, "--run", RUN, "--measures", "foo"), InputError),
        (("--qrels", QRELS, "--run", QRELS), FormatError),
    ):
        result = invoke(*args)
        assert isinstance(result.exception, expected) and isinstance(result.exception, LateintError)


def test_measures_split_at_commas_and_blanks_outside_parentheses():
    assert _split_measures("nDCG@10,RR(rel=2)@10  P@1") == ["nDCG@10", "RR(rel=2)@10", "P@1"]
    assert _split_measures("nDCG(dcg='exp-log2', cutoff=10),") == ["nDCG(dcg='exp-log2', cutoff=10)"]


def run_python(code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "store", "eval"))}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def loaded_by(code):
    listing = "import sys; print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    printed = run_python(f"{code}\n{listing}").stdout
    return set(printed.rpartition("MODULES")[2].split())


LIBRARY = "import lateint_eval.formats, lateint_eval.measures.comparison, lateint_eval.measures.audit"
IMPORT = "from lateint.cli.eval import command\n"
HELP = IMPORT + "command(['--help'], standalone_mode=False)"
EVALUATE = IMPORT + f"command(['--qrels', {QRELS!r}, '--run', {RUN!r}], standalone_mode=False)"


@pytest.mark.parametrize("code", [LIBRARY, HELP, EVALUATE])
def test_torch_transformers_and_numba_stay_out(code):
    assert loaded_by(code) & {"torch", "transformers", "numba"} == set()


def test_ir_measures_waits_until_a_measure_is_computed():
    assert "ir_measures" in loaded_by(EVALUATE)
    assert loaded_by(HELP) & {"ir_measures", "lateint_eval"} == set()
    assert "ir_measures" not in loaded_by(LIBRARY)


@pytest.mark.parametrize("code", [LIBRARY, HELP])
def test_nothing_heavy_is_imported_beyond_what_the_error_tree_brings(code):
    assert (loaded_by(code) - loaded_by("import lateint_store.errors, lateint.cli.main")) & {"numpy", "zstandard"} == set()


def test_help_keeps_its_examples_on_their_own_lines():
    assert "\n    lateint eval --qrels qrels.tsv --run mine.trec --baseline bm25.trec\n" in invoke("--help").stdout
