"""The order of folders: a folder imports only folders before it, imports inside functions included, and nothing is circular.

An import under `TYPE_CHECKING` may point the other way: nothing depends on it when the code runs.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = {
    "lateint": ROOT / "lateint",
    "lateint_store": ROOT / "store" / "lateint_store",
    "lateint_eval": ROOT / "eval" / "lateint_eval",
}
ORDER = {
    name: rooms.split()
    for name, rooms in {
        "lateint": "errors results methods kernels backbone pools compressors heads model loading indexing ranking retrieval "
        "train testing cluster serving cli",
        "lateint_store": "errors arguments part spec ragged numerics kernels codecs disk format shards reading writing store "
        "remote opening derive",
        "lateint_eval": "formats measures datasets machine systems demo planning studies reporting adapters",
    }.items()
}
ROOMS = {"lateint": 19, "lateint_store": 17, "lateint_eval": 16}  # folders and modules at the top of a package, at most


@cache
def tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def modules():
    """Every module of the three packages with its file."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in folder.rglob("*.py"):
            parts = (package, *file.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(tree):
    """The dotted names that a module imports when it runs, wherever the import stands."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not is_type_checking(node):
            waiting.extend(ast.iter_child_nodes(node))


def arrows_of(name, file):
    """The modules of ours that one module imports."""
    found = set()
    for dotted in imported(tree(file)):
        while dotted and dotted not in modules():
            dotted = dotted.rpartition(".")[0]
        found |= {dotted} - {"", name}
    return found


@cache
def arrows():
    """Importing module -> imported modules; a package's own face, which only hands names on, is left out."""
    return {name: arrows_of(name, file) - set(PACKAGES) for name, file in modules().items() if name not in PACKAGES}


def room(name):
    """The package of a module, and the folder or module at its top that it belongs to."""
    package, _, rest = name.partition(".")
    return package, rest.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_rooms_of_a_package_are_those_of_the_order(package):
    rooms = {room(name)[1] for name in modules() if room(name)[0] == package} - {"", "__main__"}
    assert rooms == set(ORDER[package]) and len(rooms) <= ROOMS[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_imports_only_folders_before_it(package):
    place = {name: index for index, name in enumerate(ORDER[package])}
    wrong = []
    for importer, targets in arrows().items():
        if room(importer)[0] != package or room(importer)[1] == "__main__":
            continue
        inside = [target for target in targets if room(target)[0] == package]
        wrong += [f"{importer} -> {target}" for target in inside if place[room(target)[1]] > place[room(importer)[1]]]
    assert not wrong


def test_packages_import_only_those_below_them():
    below = {"lateint_store": set(), "lateint": {"lateint_store"}, "lateint_eval": {"lateint_store", "lateint"}}
    for importer, targets in arrows().items():
        package, own_room = room(importer)
        if (package, own_room) == ("lateint", "cli"):
            continue  # the composition root
        others = {room(target)[0] for target in targets} - {package}
        assert others <= below[package], importer


def circle(graph):
    """A list of modules that import each other in a circle; empty if there is none."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for target in sorted(graph.get(name, ())):
            if found := visit(target):
                return found
        path.pop()
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name))), [])


def test_nothing_is_imported_in_a_circle():
    assert circle(arrows()) == []


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    inner = "def f():\n    from lateint.cli import main\nif TYPE_CHECKING:\n    import lateint.train"
    assert list(imported(ast.parse(inner))) == ["lateint.cli.main"]


def test_the_engine_asks_no_object_for_its_attributes():
    """`hasattr` is for what Python or a library may lack, never for parts of ours: these have contracts."""
    allowed = {"posix_fallocate", "decompressor", "documentation"}
    asked = []
    for file in modules().values():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
                name = ast.literal_eval(node.args[1])
                asked += [] if name in allowed else [f"{Path(file).relative_to(ROOT)}: {name}"]
    assert not asked


def test_a_class_name_has_one_meaning():
    places = {}
    for file in [*modules().values(), *sorted((ROOT / "benchmarks").rglob("*.py"))]:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, set()).add(file.relative_to(ROOT).as_posix())
    twice = {name: sorted(found) for name, found in places.items() if len(found) > 1}
    assert set(twice) == {"Store"}, "lateint.Store extends lateint_store.Store"


ANY_PER_1000_LINES = 8


def test_types_are_named_more_often_than_any(record_property, capsys):
    files = list(modules().values())
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    trees = [tree(file) for file in files]
    count = sum(isinstance(node, ast.Name) and node.id == "Any" for tree in trees for node in ast.walk(tree))
    summary = f"Any: {count} in {lines} lines, {1000 * count / lines:.1f} per 1,000"
    record_property("any", summary)
    with capsys.disabled():
        sys.stdout.write(f"{summary}\n")
    assert 1000 * count / lines < ANY_PER_1000_LINES
