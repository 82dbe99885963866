"""The description of a study: data, grids of settings, measures. Read from TOML or from options; plain data."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from lateint_eval.formats.records import Json
from lateint_store.arguments import as_count, as_threads
from lateint_store.errors import InputError

FIRST_STAGE = "first stage"
PATHS = ("folder", "corpus", "queries", "qrels", "run", "ids")  # fields of `Data` that are paths
T = TypeVar("T")
_NAME = re.compile(r"[\w+][\w .+-]{0,99}")  # part of file names: no separator, no dot first, nothing special in HTML


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A set to rank: a split of a BEIR-like folder with `runs/`, or four files.

    Paths may start with an environment variable, `$NAME/...`, so that studies and results do not depend on one machine's
    folders. `ids` is a file with the ids of the queries to use, one per line. `sample` is the maximum number of queries, drawn
    with the study's seed; 0 means all.
    """

    name: str
    folder: str = ""
    split: str = "dev"
    corpus: str = ""
    queries: str = ""
    qrels: str = ""
    run: str = ""
    ids: str = ""
    sample: int = 0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f"data name {self.name!r}; expected 1 to 100 letters, digits, blanks or . _ + -, not a dot first")
        files = [self.corpus, self.queries, self.qrels, self.run]
        if not self.name or bool(self.folder) == any(files) or not (self.folder or all(files)):
            raise InputError(f"data {self.name!r}: expected a name and a folder, or a name and corpus, queries, qrels and run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Lists of settings of a model; all combinations are run. An empty list keeps the model's own setting."""

    model: str
    method: tuple[str, ...] = ()
    offline_layers: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    doc_max_length: tuple[int, ...] = ()
    query_max_length: tuple[int, ...] = ()
    depth: tuple[int, ...] = (50,)
    threads: tuple[int, ...] = (1,)
    device: tuple[str, ...] = ("cpu",)

    def __post_init__(self) -> None:
        if self.pool and not self.method:
            raise InputError(f"grid of {self.model!r}: pool replaces the pool of a method; expected methods as well")
        for name in ("depth", "threads", "device"):
            if not getattr(self, name):
                raise InputError(f"grid of {self.model!r}: {name} is empty; expected at least one value")
        for name, check in (("depth", as_count), ("threads", as_threads)):
            for value in getattr(self, name):
                check(value, f"grid of {self.model!r}: {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All settings of a study."""

    name: str = "study"
    data: tuple[Data, ...]
    grids: tuple[Grid, ...]
    measures: tuple[str, ...] = ("nDCG@10", "RR@10")
    baseline: str = FIRST_STAGE  # or the label of a point
    reference: str = ""  # label of the point on the other axis of scatter plots; empty means the best point
    seed: int = 0

    def __post_init__(self) -> None:
        names = [data.name for data in self.data]
        if not names or not self.grids or not self.measures:
            raise InputError("a study needs [[data]], [[grids]] and measures; one of them is empty")
        if len(set(names)) < len(names):
            raise InputError(f"data sets have equal names: {', '.join(names)}")

    def to_json(self) -> Json:
        """Return the study as JSON."""
        return asdict(self)


def read_study(path: str | Path) -> Study:
    """Read a study's TOML file; paths in it are relative to it.

    Raises: InputError for an unknown key, with the nearest known key, or a value of the wrong type.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read study {path}: {error}") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    home = Path(path).parent
    data = tuple(_located(made(Data, each, f"{path} [[data]]"), home) for each in table.pop("data", []))
    grids = tuple(made(Grid, each, f"{path} [[grids]]") for each in table.pop("grids", []))
    return made(Study, table | {"data": data, "grids": grids}, str(path))


def _located(data: Data, home: Path) -> Data:
    given = {key: value for key in PATHS if (value := getattr(data, key)) and not value.startswith(("irds:", "$"))}
    paths: Json = {key: str(home / value) for key, value in given.items()}
    return replace(data, **paths)


def made(kind: type[T], table: Json, where: str) -> T:
    """Build a dataclass from a table; a single value is accepted for a list of one."""
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise InputError(f"{where} has the key {key!r}, which is unknown{meant}")
    lacking = [name for name, each in known.items() if name not in table and each.default is MISSING]
    if lacking:
        raise InputError(f"{where} lacks {lacking[0]!r}")
    return kind(**{key: _value(str(known[key].type), value, f"{where}: {key}") for key, value in table.items()})


def _value(kind: str, value: object, where: str) -> object:
    """Check a value against the field's annotation (str, int, or a tuple of these) and return it converted."""
    if kind.startswith("tuple[Data") or kind.startswith("tuple[Grid"):
        return value
    if kind.startswith("tuple"):
        listed: Sequence[object] = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_value("int" if "int" in kind else "str", each, where) for each in listed)
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)  # a number of layers may be written without quotes
    raise InputError(f"{where} = {value!r}; expected {'a whole number' if kind == 'int' else 'text'}")
