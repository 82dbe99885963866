import string

import pytest

from lateint_eval.datasets.stdlib.docstrings import import_docstrings, parse_docstrings

SOURCE = '''
"""About the module."""
raise SystemExit("this file must never run")
try:
    def fast():
        """Under a try."""
except ImportError:
    def slow():
        """Under its except."""
if True:
    class Shape:
        """About shapes."""
        def area(self):
            """About the area."""
            def inner():
                """Inside a body."""
        def _hidden(self):
            """About something private."""
async def wait():
    """About waiting."""
def undocumented():
    pass
'''


def names(found):
    return [name for name, _ in found]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return path


def test_definitions_are_found_without_running_the_file(source):
    found = dict(parse_docstrings("shapes", [source]))
    assert found == {
        "shapes": "About the module.",
        "shapes.fast": "Under a try.",
        "shapes.slow": "Under its except.",
        "shapes.Shape": "About shapes.",
        "shapes.Shape.area": "About the area.",
        "shapes.wait": "About waiting.",
    }


def test_only_names_in_a_written_out_all_are_taken(source):
    source.write_text(SOURCE + "__all__ = ['Shape']\n")
    assert names(parse_docstrings("shapes", [source])) == ["shapes", "shapes.Shape", "shapes.Shape.area"]


@pytest.mark.parametrize("exports", ["__all__ = []", "__all__ = [] + more", "__all__ = ['wait']\n__all__ += more"])
def test_an_empty_computed_or_growing_all_hides_nothing(source, exports):
    everything = names(parse_docstrings("shapes", [source]))
    source.write_text(f"{SOURCE}{exports}\n")
    assert names(parse_docstrings("shapes", [source])) == everything


def test_the_first_file_that_exists_speaks_for_the_module(source, tmp_path):
    second = tmp_path / "second.py"
    second.write_text('"""About the second file."""\ndef more():\n    """About more."""\n')
    found = list(parse_docstrings("shapes", [tmp_path / "absent.py", source, second]))
    assert found[0] == ("shapes", "About the module.")
    assert found[-1] == ("shapes.more", "About more.")
    assert names(found).count("shapes") == 1


def test_an_imported_module_gives_its_own_functions_and_methods_by_name():
    found = names(import_docstrings("builtins", "builtins"))
    assert {"builtins", "builtins.len", "builtins.str.strip"} <= set(found)
    assert not [name for name in found if name.rpartition(".")[2].startswith("_")]


def test_what_a_module_borrows_is_not_its_own():
    assert "string.ChainMap" not in names(import_docstrings("string", "string"))
    assert hasattr(string, "Template")


def test_methods_of_a_public_base_are_left_to_the_base():
    found = names(import_docstrings("pathlib", "pathlib"))
    assert {"pathlib.PurePath.suffix", "pathlib.Path.exists", "pathlib.Path.read_text"} <= set(found)
    assert "pathlib.Path.suffix" not in found


def test_a_class_without_words_of_its_own_does_not_repeat_its_base():
    assert "struct.error" not in names(import_docstrings("struct", "_struct"))


def test_a_module_that_this_platform_lacks_yields_nothing():
    assert names(import_docstrings("nothing", "no_such_module_anywhere")) == []
