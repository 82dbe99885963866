"""`benchmarks/quality/study.py` stores, prints and draws the results of a study."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.quality import study
from lateint_eval.studies.spec import read_study
from tests.support import study_results as results


@pytest.fixture
def found(tmp_path):
    """A study of three points in a folder; its baseline is not its first point."""
    made = results.study(results.POINTS[:3])
    made["baseline"] = "p1"
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "results.json").write_text(json.dumps(made))
    (tmp_path / "made" / "results.csv").write_text("id\np0\n")
    return made


def test_quality_is_the_mean_of_the_means_of_sets_whatever_their_sizes():
    mean, low, high = study.mean_of_means([np.zeros(1), np.ones(3), np.array([0.0, 1.0])])
    assert mean == 0.5 and low == pytest.approx(1 / 3) and high == pytest.approx(2 / 3)


def test_results_are_kept_printed_and_drawn(found, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study._harness, "RESULTS", tmp_path / "results")
    picture = tmp_path / "front.svg"
    monkeypatch.setattr(sys, "argv", ["study.py", "dev", str(tmp_path / "made"), "--picture", str(picture)])
    study.main()
    assert json.loads((tmp_path / "results" / "study" / "dev.json").read_text()) == found
    assert (tmp_path / "results" / "study" / "dev.csv").exists()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3 and "1.0x" in rows[1] and "+0.0000 [+0.0000, +0.0000]" in rows[1]
    root = ElementTree.fromstring(picture.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "background: #fff" in root.attrib["style"]


def test_labels_are_shortened():
    rows = [("default L=4 states=drive:bits=2;vector=cast:float16 doc_max_length=64", 1.0, 1.0, 0.5)]
    (spot,) = study.spots(results.study(rows), study.BYTES)
    assert spot.label == "default L=4 drive2;float16 cut at 64"


@pytest.mark.parametrize("file", sorted(Path(study.__file__).parent.glob("*.toml")), ids=lambda file: file.name)
def test_study_files_are_valid_and_their_samples_exist(file):
    assert all(Path(data.ids).is_file() for data in read_study(file).data if data.ids)
