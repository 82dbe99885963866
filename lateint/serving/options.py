"""Options of the service, and where they come from: the command line, then the environment, then a TOML file."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from lateint.cluster.connection import parse_engine
from lateint_store.arguments import as_count, as_path, check_kind
from lateint_store.errors import InputError
from lateint_store.format.manifest import MAX_MAP

ENVIRONMENT = "LATEINT_SERVE_"
"""What the names of environment variables of the service begin with."""
MIB = 1 << 20
_LEAST = {"port": 0, "cache_mib": 4, "drain_ms": 0, "gather_ms": 0}  # all other numbers are at least 1
_MOST = {"port": 65_535, "cache_mib": MAX_MAP // MIB}  # all others are at most 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What one service serves, where, and its limits. Times are milliseconds. Raises: InputError for a value out of range.

    max_documents, max_texts: candidates of a request, and those among them that are texts; max_tokens: tokens of a request
    that are encoded; max_requests: requests that are accepted at once, in each worker; timeout_ms: longest time for an
    answer; latency_ms: what an answer should take under load, which decides how deep requests are ranked then; gather_ms:
    how long a query waits for others while queries run; drain_ms: time between unready and refusing connections at the end.
    engine: `local`, or the Ray whose nodes score, as `parse_engine` reads it; replicas: owners of each member of the set there.
    scorers: threads that rank, None for the worker's share of the processors and one more.
    """

    store: str
    engine: str = "local"
    replicas: int = 1
    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    precision: str | None = None
    then: tuple[str, ...] = ()
    aggregate: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    scorers: int | None = None
    api_key_file: str | None = None
    id_prefix: str | None = None
    cache: str | None = None
    cache_mib: int = 1024
    max_documents: int = 10_000
    max_texts: int = 1_000
    max_tokens: int = 500_000
    max_body_mib: int = 8
    max_requests: int = 256
    timeout_ms: int = 30_000
    latency_ms: int = 1_000
    gather_ms: int = 3
    drain_ms: int = 500

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in ("int", "int | None") and value is not None:
                as_count(value, field.name, least=_LEAST.get(field.name, 1), most=_MOST.get(field.name, 1 << 31))
        if self.id_prefix == "":
            raise InputError("id_prefix is empty, so every text would be an id; expected a prefix such as 'id:'")
        self._check_engine()

    def _check_engine(self) -> None:
        """Refuse options that do not belong together. Raises: InputError."""
        if not self.is_cluster:
            if self.replicas != 1:
                raise InputError(f"replicas={self.replicas} needs engine='ray': this process alone scores with 'local'")
            return
        parse_engine(self.engine)
        if self.workers != 1:
            raise InputError(
                f"workers={self.workers} with engine={self.engine!r}; expected 1: the owners score, one process routes"
            )
        if self.then:
            raise InputError(
                f"then={self.then[0]!r} with engine={self.engine!r}: owners serve one set; run a cascade with 'local'"
            )
        if self.device not in (None, "cpu"):
            raise InputError(f"device={self.device!r} with engine={self.engine!r}; expected cpu: owners score on processors")

    @property
    def is_cluster(self) -> bool:
        """True if owners on other machines score."""
        return self.engine != "local"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_config(path: str) -> dict[str, object]:
    """Read options from a TOML file; names are those of the command line, with `-` or `_`.

    Raises: InputError for a file that cannot be read, and for an unknown name.
    """
    file = as_path(path, "config", "the path of a TOML file")
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; expected a TOML file of options") from error
    except ValueError as error:  # invalid TOML or UTF-8
        raise InputError(f"{path} is no TOML: {error}") from error
    values = {name.replace("-", "_"): value for name, value in found.items()}
    if len(values) < len(found):
        raise InputError(f"{path} gives an option twice, with - and with _; expected each once")
    check_names(values, f"{path} sets")
    for name, value in values.items():
        check_kind(value, f"{name} in {path}", str | int | list, "a text, a whole number, or a list of texts")
    return values


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a variable that looks like an option of the service, but is none. Raises: InputError."""
    names = [name.removeprefix(ENVIRONMENT).lower() for name in environment if name.startswith(ENVIRONMENT)]
    check_names([name for name in names if name != "config"], "the environment sets", ENVIRONMENT)


def check_names(names: Iterable[str], where: str, prefix: str = "") -> None:
    """Refuse names of options that do not exist. Raises: InputError with the nearest name."""
    known = [field.name for field in fields(ServeOptions)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            shown = [prefix + (other.upper() if prefix else other) for other in near or known]
            hint = f"did you mean {shown[0]}?" if near else f"expected one of {', '.join(shown)}"
            raise InputError(f"{where} {prefix + (name.upper() if prefix else name)!r}, which is no option of serve; {hint}")
