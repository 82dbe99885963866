"""The table of identity tests is true: what it names is in the suite, and every number has a test and a twin."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from lateint.methods.presets import PRESETS

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "docs" / "explanation" / "identity-tests.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if re.match(r"\| \d", line)]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
NUMBERS = [str(number) for number in (*range(1, 8), *range(9, 22), 24, *range(26, 39))]
NUMBERS += [*(f"8.{part}" for part in range(1, 9)), "25.1", "25.2"]


@cache
def functions(file):
    """Names of the tests of a file."""
    path = TESTS / file
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_every_number_has_one_row_of_five_cells():
    assert sorted(row[0] for row in ROWS) == sorted(NUMBERS)
    assert {len(row) for row in ROWS} == {5}


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(TABLE))))
def test_a_test_that_the_table_names_is_in_the_suite(file, name):
    assert (TESTS / file).is_file() and name in functions(file) and name.startswith("test_")


def test_a_name_that_is_not_in_the_suite_would_be_found():
    assert "test_of_that_name_there_is_none" not in functions("lateint/backbone/test_split.py")
    assert "test_split_equals_the_unsplit_model_under_a_block_mask" in functions("lateint/backbone/test_split.py")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_a_test_and_a_twin(row):
    _, statement, tests, twin, where = row
    assert statement and where and NAMED.search(tests)
    assert twin.startswith("same") or NAMED.search(twin)


def test_every_preset_with_an_identity_of_its_own_is_named():
    covered = " ".join(row[4] for row in ROWS)
    assert "every preset" in covered
    own = set(PRESETS) - {"cosine", "colbert", "early_layers"}  # these have what every preset has
    assert not sorted(name for name in own if not re.search(rf"\b{name}\b", covered))
