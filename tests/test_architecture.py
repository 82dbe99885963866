"""The rules of the house: import arrows, sizes, names, and a test for every exchangeable part."""

import ast
import importlib
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "lateint": ROOT / "lateint",
    "lateint_store": ROOT / "store" / "lateint_store",
    "lateint_eval": ROOT / "eval" / "lateint_eval",
}
LIBRARY = sorted(file for folder in PACKAGES.values() for file in folder.rglob("*.py"))
SOURCES = [*LIBRARY, *sorted((ROOT / "benchmarks").rglob("*.py"))]
EVERYTHING = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]

FILE_LINES, MEDIAN_LINES, FUNCTION_LINES, PARAMETERS = 400, 120, 40, 6
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
HEAVY = {"torch", "transformers", "tokenizers", "numba", "scipy", "bm25s", "Stemmer", "ir_measures", "ir_datasets", "usearch"}
HEAVY |= {"accelerate", "matplotlib", "onnx", "onnxruntime", "obstore"}
SERVER = {"starlette", "uvicorn", "msgspec", "prometheus_client"}
CLUSTER = {"ray"}
ENGINE = ("compressors", "heads", "pools", "train/losses")
NOT_PARTS = {"base", "inputs", "codec", "pipeline", "syntax"}  # what parts of a folder share


@cache
def tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def place(file):
    return file.relative_to(ROOT).as_posix()


def is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def nodes(file, *, at_import=False):
    """All nodes of a module, or those alone that run when it is imported."""
    waiting = [tree(file)]
    while waiting:
        node = waiting.pop()
        yield node
        if at_import and (is_type_checking(node) or isinstance(node, FUNCTION)):
            continue
        waiting.extend(ast.iter_child_nodes(node))


def imports(file, *, at_import=False):
    """The dotted names that a module imports."""
    found = set()
    for node in nodes(file, at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(file)}, line {node.lineno}: a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def roots(file, *, at_import=False):
    return {name.partition(".")[0] for name in imports(file, at_import=at_import)}


def numbered(file):
    return enumerate(file.read_text(encoding="utf-8").splitlines(), 1)


def functions(file):
    return [node for node in ast.walk(tree(file)) if isinstance(node, FUNCTION)]


def is_click_command(function):
    """A verb: its parameters are options of the command line, named one by one by click."""
    return any("command" in ast.unparse(decorator) for decorator in function.decorator_list)


def importers(files, names, *, at_import=False):
    """The files among these that import one of these packages, and which."""
    found = {place(file): roots(file, at_import=at_import) & names for file in files}
    return {file: sorted(bad) for file, bad in found.items() if bad}


def test_the_store_knows_neither_torch_nor_the_engine():
    store = sorted(PACKAGES["lateint_store"].rglob("*.py"))
    assert len(store) > 20
    assert not importers(store, {"torch", "transformers", "lateint", "lateint_eval"})


def test_the_engine_knows_no_evaluation():
    engine = [file for file in PACKAGES["lateint"].rglob("*.py") if "cli" not in file.relative_to(ROOT).parts]
    assert len(engine) > 30
    assert not importers(engine, {"lateint_eval"})


def test_nothing_imports_the_command_line():
    inside = PACKAGES["lateint"] / "cli"
    allowed = {PACKAGES["lateint"] / "__main__.py"}
    outside = [file for file in SOURCES if inside not in file.parents and file not in allowed]
    users = {place(file) for file in outside if any(f"{name}.".startswith("lateint.cli.") for name in imports(file))}
    assert not users


def test_heavy_libraries_wait_until_they_are_used():
    """The engine is made of torch; the other two packages and the command line load it on use, all load the rest so."""
    light = [file for name in ("lateint_store", "lateint_eval") for file in PACKAGES[name].rglob("*.py")]
    light += (PACKAGES["lateint"] / "cli").rglob("*.py")
    assert not importers(light, HEAVY, at_import=True)
    assert not importers(LIBRARY, HEAVY - {"torch", "transformers"}, at_import=True)


def test_the_service_alone_knows_its_libraries():
    """Only `lateint serve` imports the service, when it is called; nothing else imports what it is made of.

    Its benchmark does too, when it runs: it serves a peer by the same libraries.
    """
    service = PACKAGES["lateint"] / "serving"
    outside = [file for file in SOURCES if service not in file.parents]
    assert importers(outside, SERVER) == {"benchmarks/_peers.py": ["starlette", "uvicorn"]}
    assert not importers(outside, SERVER, at_import=True)
    users = {place(file) for file in outside if any(f"{name}.".startswith("lateint.serving.") for name in imports(file))}
    assert users == {"lateint/cli/serve.py", "benchmarks/_peers.py", "benchmarks/speed/service.py"}
    command = PACKAGES["lateint"] / "cli" / "serve.py"
    assert not [name for name in imports(command, at_import=True) if name.startswith("lateint.serving")]


def test_one_file_alone_knows_the_library_of_object_storage():
    objects = "store/lateint_store/remote/objects.py"
    assert importers(SOURCES, {"obstore"}) == {objects: ["obstore"]}
    assert not importers([ROOT / objects], {"obstore"}, at_import=True)


def test_the_cluster_alone_knows_ray():
    """Modules whose whole subject is Ray import it at once; all others load them, and it, when they connect."""
    cluster = PACKAGES["lateint"] / "cluster"
    assert not importers([file for file in SOURCES if cluster not in file.parents], CLUSTER)
    at_once = set(importers(SOURCES, CLUSTER, at_import=True))
    assert at_once == {"lateint/cluster/crew.py", "lateint/cluster/ray_owners.py"}
    names = {file.removesuffix(".py").replace("/", ".") for file in at_once}
    assert not [place(file) for file in SOURCES if place(file) not in at_once and names & imports(file, at_import=True)]
    engine = [file for file in SOURCES if cluster not in file.parents and "cli" not in file.parts]
    users = {place(file) for file in engine if any(f"{name}.".startswith("lateint.cluster.") for name in imports(file))}
    serving = {file for file in users if file.startswith("lateint/serving/")}
    assert users - serving <= {"benchmarks/speed/scale.py", "benchmarks/speed/scatter.py"}


def test_importing_the_packages_takes_no_torch():
    code = (
        f"import sys; sys.path[:0] = {[str(folder.parent) for folder in PACKAGES.values()]!r}\n"
        "import lateint, lateint.cli.main, lateint_store, lateint_eval\n"
        f"print(sorted({HEAVY | SERVER | CLUSTER!r} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_file_is_long():
    lengths = {place(file): len(file.read_text(encoding="utf-8").splitlines()) for file in EVERYTHING}
    assert not {file: n for file, n in lengths.items() if n > FILE_LINES}
    assert statistics.median(lengths[place(file)] for file in SOURCES) <= MEDIAN_LINES


def test_no_function_is_long():
    sizes = {f"{place(file)}: {f.name}": f.end_lineno - f.lineno + 1 for file in EVERYTHING for f in functions(file)}
    assert not {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES}


def test_no_function_takes_many_positional_parameters():
    many = {}
    for file in SOURCES:
        for function in functions(file):
            names = [argument.arg for argument in function.args.posonlyargs + function.args.args]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > PARAMETERS and not is_click_command(function):
                many[f"{place(file)}: {function.name}"] = count
    assert not many


def test_library_code_prints_nothing():
    calls = [(file, node) for file in LIBRARY for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
    assert not [f"{place(file)}, line {call.lineno}" for file, call in calls if ast.unparse(call.func) == "print"]


def test_nothing_is_left_for_later():
    later = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "NotImplemented" + "Error"]))
    files = [*EVERYTHING, ROOT / "Makefile", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    lines = {f"{place(file)}, line {number}": line for file in files for number, line in numbered(file)}
    assert not {where: line for where, line in lines.items() if later.search(line)}


def in_order(name):
    """Constants, then classes, then functions, each by name."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def module_name(file):
    package = next(name for name, folder in PACKAGES.items() if folder in file.parents)
    parts = (package, *file.relative_to(PACKAGES[package]).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


WITH_ALL = [module_name(file) for file in LIBRARY if "__all__ = " in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", WITH_ALL)
def test_public_names_are_sorted_and_there(name):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__), key=in_order)
    assert not [public for public in module.__all__ if getattr(module, public, None) is None]


def test_the_packages_have_public_names_and_types():
    assert {"lateint", "lateint_store"} <= set(WITH_ALL)
    assert all((folder / "py.typed").is_file() for folder in PACKAGES.values())


def parts():
    for kind in ENGINE:
        for file in sorted((PACKAGES["lateint"] / kind).glob("[!_]*.py")):
            if file.stem not in NOT_PARTS:
                yield f"{kind}/{file.stem}", ROOT / "tests" / "lateint" / kind
    for file in sorted((PACKAGES["lateint_store"] / "codecs").glob("[!_]*.py")):
        if file.stem not in NOT_PARTS:
            yield f"codecs/{file.stem}", ROOT / "tests" / "store" / "codecs"


@cache
def contracts():
    """The text of all tests: one that says `names("heads")` finds every head by itself and tests what all promise."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    return "".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize(("part", "folder"), [pytest.param(*chosen, id=chosen[0]) for chosen in parts()])
def test_every_part_has_a_test_of_its_own_or_a_contract(part, folder):
    kind, _, name = part.rpartition("/")
    own = folder / f"test_{name}.py"
    finds = "known_codecs()" if kind == "codecs" else f'names("{kind}")'
    assert own.is_file() or finds in contracts(), f"{part} needs {place(own)}, or a test over {finds}"
