"""Docstrings of the standard library, found without running its Python modules.

Pure Python modules are parsed, never imported, because importing some of them opens a browser or a window. Modules in C
have no source to parse; they are imported from a fixed list of harmless modules (`modules.IMPORTED`).
"""

import ast
import importlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

NamedDocstring = tuple[str, str]  # qualified name, docstring cleaned by `inspect.cleandoc`


def parse_docstrings(public: str, sources: Sequence[Path]) -> Iterator[NamedDocstring]:
    """Read the docstrings of source files: exported functions, classes and their public methods, in source order.

    Args: `public` is the module's name as programmers import it (`asyncio` for `asyncio/tasks.py`); `sources` are its files.
    The module's own docstring is read from the first file that exists. Missing files are skipped, because packages move
    files between versions.
    Yields: (qualified name, docstring); objects without docstring are left out. Cost: about 10 MB of source per second.
    """
    for position, source in enumerate(source for source in sources if source.is_file()):
        tree = ast.parse(source.read_bytes(), filename=str(source))
        if position == 0:
            yield from _documented(public, tree)
        yield from _members(public, tree.body, _exported(tree))


def _exported(tree: ast.Module) -> frozenset[str] | None:
    """Return `__all__` if it is a literal list of strings; None if it is absent, empty, computed or changed later."""
    mentions = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "__all__"]
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and mentions[:1] == node.targets]
    if len(mentions) != 1 or not values:
        return None
    try:
        return frozenset(ast.literal_eval(values[0])) or None
    except ValueError:
        return None


def _members(prefix: str, body: list[ast.stmt], exported: frozenset[str] | None) -> Iterator[NamedDocstring]:
    """Walk definitions, including those under `if` and `try` (platforms, accelerators), but no function bodies."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_") or (exported is not None and node.name not in exported):
                continue
            name = f"{prefix}.{node.name}"
            yield from _documented(name, node)
            if isinstance(node, ast.ClassDef):
                yield from _members(name, node.body, None)
        elif isinstance(node, ast.If | ast.Try):
            handled = [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
            yield from _members(prefix, [*node.body, *handled, *node.orelse], exported)


def _documented(
    name: str, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[NamedDocstring]:
    doc = ast.get_docstring(node)
    if doc:
        yield name, doc


def import_docstrings(public: str, module_name: str) -> Iterator[NamedDocstring]:
    """Read the docstrings of an importable module, its own functions and classes, and their methods, sorted by name.

    Args: `public` is the prefix of the yielded names (`struct`); `module_name` is the module to import (`_struct`).
    Yields: (qualified name, docstring); nothing if this platform lacks the module (`posix`, `nt`, `_sqlite3`).
    """
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return
    if public == module_name:
        yield from _doc_of(public, module)
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or not _is_home(module, name, value):
            continue
        yield from _doc_of(f"{public}.{name}", value)
        if isinstance(value, type):
            for member in sorted(_own_members(value, module)):
                yield from _doc_of(f"{public}.{name}.{member}", getattr(value, member))


def _doc_of(name: str, value: object) -> Iterator[NamedDocstring]:
    if isinstance(value, type) and not vars(value).get("__doc__"):
        return  # an exception without its own docstring would repeat the one of `Exception`
    doc = inspect.getdoc(value)
    if doc:
        yield name, doc


def _is_home(module: ModuleType, name: str, value: object) -> bool:
    """Return True if the module defines this object: not imported (`pathlib.urlquote`), no alias (`socket.SocketType`)."""
    if not (isinstance(value, type) or inspect.isroutine(value)) or value.__name__ != name:
        return False
    home = (getattr(value, "__module__", None) or module.__name__).lstrip("_").split(".")[0]
    return module.__name__ == "builtins" or home == module.__name__.lstrip("_")


def _own_members(cls: type, module: ModuleType) -> set[str]:
    """Return the methods and properties that no public base has; bases in private modules count as part of the class."""
    bases = cls.__mro__[1:]
    hidden = [base for base in bases if "._" in base.__module__ and getattr(module, base.__name__, None) is not base]
    shown = {name for base in bases if base not in hidden for name in dir(base)}
    names = set(vars(cls)) | ({name for base in hidden for name in vars(base)} - shown)
    return {name for name in names if not name.startswith("_") and _is_member(getattr(cls, name, None))}


def _is_member(value: object) -> bool:
    return inspect.isroutine(value) or isinstance(value, property)
