"""`lateint eval-pairs` on pairs of the toy collection: a question, a passage, and how well it answers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lateint_eval.measures.pairs import best_threshold
from tests.support.commands import model, run_lines
from tests.support.paths import TOY, python_environment

HEADER = "question\tpassage_text\tgrade\tsplit\n"
COLUMNS = ["--columns", "question,passage_text,grade"]


def judged():
    """(query id, passage id, grade) of the toy collection."""
    return [(fields[0], fields[2], int(fields[3])) for fields in run_lines(TOY / "qrels.tsv")]


def texts(name):
    """{id: text} of a file of the toy collection."""
    return dict(line.split("\t", 1) for line in (TOY / name).read_text().splitlines())


def write(folder, grade):
    """A file of all judged pairs, every third one in the split dev."""
    queries, passages = texts("queries.tsv"), texts("collection.tsv")
    rows = [
        f"{queries[query]}\t{passages[passage]}\t{grade(label)}\t{'test' if place % 3 else 'dev'}\n"
        for place, (query, passage, label) in enumerate(judged())
    ]
    (folder / "pairs.tsv").write_text(HEADER + "".join(rows))
    return folder / "pairs.tsv"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pairs"), float)


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pairs"), lambda label: int(label > 0))


def test_graded_pairs_are_scored_as_rank_scores_them(call, tmp_path, graded):
    split = ["--split", "dev", "--split", "test"]
    code, out, err = call("eval-pairs", "--pairs", graded, *COLUMNS, *split, "--scores", tmp_path / "s.tsv", *model())
    assert code == 0, err
    lines = out.splitlines()
    assert "(prettr)" in lines[0] and lines[1].startswith(f"{len(judged())} pairs, graded labels")
    assert [line.split()[0] for line in lines[3:]] == ["measure", "Pearson", "Spearman"]
    header, *rows = run_lines(tmp_path / "s.tsv")
    assert header == ["line", "label", "score"] and [int(row[0]) for row in rows] == list(range(2, len(rows) + 2))
    assert [int(row[1]) for row in rows] == [label for _, _, label in judged()]
    scores = {(query, passage): float(row[2]) for (query, passage, _), row in zip(judged(), rows, strict=True)}
    candidates = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--corpus", TOY / "collection.tsv"]
    assert call("rank", *candidates, "--output", tmp_path / "run", *model())[0] == 0
    ranked = {(line[0], line[2]): float(line[4]) for line in run_lines(tmp_path / "run")}
    both = scores.keys() & ranked.keys()
    assert len(both) > 40 and max(abs(scores[pair] - ranked[pair]) for pair in both) < 1e-4
    assert max(scores.values()) - min(scores.values()) > 0.01


def test_the_threshold_is_chosen_on_other_pairs(call, tmp_path, binary):
    tuned = ["eval-pairs", "--pairs", binary, *COLUMNS, "--split", "test", *model()]
    code, out, err = call(*tuned, "--tune", binary, "--tune-split", "dev", "--json")
    assert code == 0, err
    found = json.loads(out)
    dev = ["--split", "dev", "--scores", tmp_path / "dev.tsv"]
    assert call("eval-pairs", "--pairs", binary, *COLUMNS, *dev, *model())[0] == 0
    rows = np.array(run_lines(tmp_path / "dev.tsv")[1:], dtype=float)
    assert found["threshold"]["value"] == pytest.approx(best_threshold(rows[:, 2], rows[:, 1]), abs=1e-6)
    assert found["threshold"]["origin"] == f"best accuracy on {len(rows)} pairs of {binary} dev"
    assert found["labels"] == "binary" and found["n"] + len(rows) == len(judged()) and found["split"] == ["test"]
    assert list(found["measures"]) == ["accuracy", "F1", "AUC"]
    other = json.loads(call(*tuned, "--threshold", found["threshold"]["value"] + 100, "--json")[1])
    assert other["measures"]["AUC"] == found["measures"]["AUC"] and other["threshold"]["origin"] == "given"
    assert other["measures"]["F1"]["value"] == 0.0 < found["measures"]["F1"]["value"]


def test_tested_pairs_never_choose_the_threshold(call, tmp_path, binary):
    command = ["eval-pairs", "--pairs", binary, *COLUMNS, "--split", "test", *model(), "--tune", binary, "--tune-split"]
    code, out, err = call(*command, "test")
    assert code == 1 and out == "" and "every pair of --tune" in err and "is also tested" in err
    code, _, err = call(*command, "test", "--tune-split", "dev")
    tested = sum(place % 3 != 0 for place in range(len(judged())))
    assert code == 0 and f"{tested} of {len(judged())} pairs in {binary} are also tested and were left out" in err


def test_texts_that_are_cut_are_counted(call, graded):
    command = ["eval-pairs", "--pairs", graded, *COLUMNS, "--split", "dev", *model()]
    err = call(*command)[2]
    assert "second texts (" in err and "cut at 48 tokens (--doc-max-length)" in err and "first texts" not in err
    assert "first texts (" in call(*command, "--query-max-length", "5")[2]


def test_equal_scores_for_all_pairs_give_a_warning_and_no_number(call, tmp_path):
    (tmp_path / "p.csv").write_text("sentence1,sentence2,score\n" + "".join(f'a,"bread, oven",{i}\n' for i in range(4)))
    code, out, err = call("eval-pairs", "--pairs", tmp_path / "p.csv", "--json", *model())
    assert code == 0 and "warning: all 4 pairs have the same score, so Pearson and Spearman are not defined" in err
    assert json.loads(out)["measures"]["Spearman"]["value"] is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\tb\tlabel\nx\ty\t1\n", "line 1: none of sentence1/sentence2"),
        ("sentence1\tsentence2\tlabel\nx\ty\tgood\n", "line 2: label 'good' is not a finite number"),
        ("sentence1\tsentence2\tlabel\nx\ty\t1\nx\tz\t2\n", "the labels of 2 pairs hold only 1 and 2"),
        ("sentence1\tsentence2\tlabel\n", "holds no pair"),
        ("", "is empty"),
    ],
)
def test_bad_files_are_refused_before_a_model_is_looked_for(call, tmp_path, text, reason):
    (tmp_path / "p.tsv").write_text(text)
    code, out, err = call("eval-pairs", "--pairs", tmp_path / "p.tsv", "--model", tmp_path / "none")
    assert code == 1 and out == "" and reason in err and "Traceback" not in err


def test_a_missing_file_a_missing_column_and_a_missing_model(call, tmp_path, graded):
    assert "cannot read" in call("eval-pairs", "--pairs", tmp_path / "none")[2]
    code, _, err = call("eval-pairs", "--pairs", graded, "--columns", "question,answer,grade", "--split", "dev")
    assert code == 1 and f"{graded}, line 1: 0 columns 'answer'" in err
    code, _, err = call("eval-pairs", "--pairs", graded, *COLUMNS, "--split", "dev", "--model", tmp_path / "none")
    assert code == 1 and str(tmp_path / "none") in err


def test_thresholds_belong_to_binary_labels(call, graded, binary):
    command = ["eval-pairs", *COLUMNS, "--split", "test", "--model", "none", "--pairs"]
    for options in (["--threshold", "0.5"], ["--tune", binary, "--tune-split", "dev"]):
        code, _, err = call(*command, graded, *options)
        assert code == 1 and "has graded labels; --tune and --threshold need labels 0 and 1" in err
    code, _, err = call(*command, binary, "--tune", graded, "--tune-split", "dev")
    assert code == 1 and f"--tune {graded} has graded labels" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--tune", "a", "--threshold", "1"),
        ("--tune-split", "dev"),
        ("--columns", "a,b"),
        ("--scores", "-"),
        ("--pairs", "-", "--tune", "-"),
        ("--threshold", "high"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(call, options):
    code, out, _ = call("eval-pairs", "--pairs", "none", *options)
    assert code == 2 and out == ""


def test_the_verb_has_one_spelling_and_its_help_loads_nothing_heavy(call):
    assert call("eval_pairs", "--pairs", "x")[0] == 2
    code = (
        "import sys; from lateint.cli.main import run\nassert run(['eval-pairs', '--help']) == 0\n"
        "print('LOADED', sorted({'torch', 'transformers', 'numpy', 'lateint_eval', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=python_environment(), capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout and "--tune-split" in done.stdout
