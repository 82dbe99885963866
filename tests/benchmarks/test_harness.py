"""What benchmarks share, the commands that they name, and the private names that they patch."""

import importlib.util
import json
import re

import pytest

from benchmarks import _harness
from benchmarks.speed import decode_speed, encode_speed
from tests.support.paths import ROOT

SCRIPTS = [file for folder in ("quality", "size", "speed") for file in sorted((ROOT / "benchmarks" / folder).glob("*.py"))]


def test_measurements_alternate():
    order = []
    calls = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert _harness.alternate(calls, 3) == {"a": [1, 3, 5], "b": [2, 4, 6]} and "".join(order) == "ababab"


def test_the_median_ratio_is_one_of_pairs_and_not_of_medians():
    assert _harness.median_ratio([1, 20, 3], [1, 2, 30]) == 1
    with pytest.raises(ValueError):
        _harness.median_ratio([1, 2], [1])


def test_a_clock_measures_in_milliseconds():
    ticks = iter((1.0, 1.5))
    assert _harness.timed(lambda: "result", lambda: next(ticks)) == (500.0, "result")


def test_a_result_is_stored_with_its_origin(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_harness, "RESULTS", tmp_path / "results")
    _harness.save("made", {"ratio": 2})
    stored = json.loads((tmp_path / "results" / "made.json").read_text())
    assert stored["ratio"] == 2 and {"commit", "machine", "versions"} <= stored.keys()
    assert "made.json" in capsys.readouterr().out


def test_random_texts_are_the_same_each_time():
    texts = list(_harness.random_texts(20, 2, 5))
    assert texts == list(_harness.random_texts(20, 2, 5)) and {len(text.split()) for text in texts} == {2, 3, 4, 5}
    assert all(len(text.split()) == 8 for text in _harness.random_texts(5, 8, 8))


def test_commands_name_modules_that_exist():
    sources = [*SCRIPTS, ROOT / "Makefile"]
    commands = {name for file in sources for name in re.findall(r"-m (benchmarks[\w.]+)", file.read_text("utf-8"))}
    assert "benchmarks.speed.rerank_speed" in commands
    assert [name for name in sorted(commands) if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_a_script_names_its_own_module_in_its_command(file):
    own = f"benchmarks.{file.parent.name}.{file.stem}"
    named = re.findall(
        r'"command": f?"python -m (benchmarks[\w.]+)|command = f?"python -m (benchmarks[\w.]+)', file.read_text("utf-8")
    )
    assert {first or second for first, second in named} <= {own}


def test_every_private_name_that_a_benchmark_patches_exists():
    assert all(hasattr(owner, attribute) for owner, attribute in encode_speed.PHASES.values())
    assert decode_speed.with_kernels(lambda: "result", used=True) == "result"
