"""Connect to Ray: `ray` and `ray://HOST:PORT` as the command line takes them, and one typed error for each way to fail."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from lateint.errors import ClusterError, InputError, MissingExtra

CONNECT_SECONDS = 10.0
"""How long `connected` waits for an address to answer before it raises."""
_PORT = 6379  # of a head that `ray start --head` starts
_FORMS = "expected ray, ray:auto or ray://HOST[:PORT]"


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where to work. `address`: "local" for a Ray that this process starts, "auto" for the one of this machine, HOST:PORT."""

    address: str


def parse_engine(text: str) -> ClusterAddress:
    """Parse `ray` (start Ray here), `ray:auto` (the Ray of this machine), or `ray://HOST[:PORT]` (the address of a head).

    Raises: InputError.
    """
    if text == "ray":
        return ClusterAddress("local")
    if text == "ray:auto":
        return ClusterAddress("auto")
    scheme, separator, place = text.partition("://")
    host, _, port = place.rpartition(":") if ":" in place.rpartition("]")[2] else (place, "", str(_PORT))
    if scheme != "ray" or not separator or not host or "/" in place:
        raise InputError(f"engine {text!r}; {_FORMS}")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise InputError(f"engine {text!r}: port {port!r}; expected a number from 1 to 65535")
    return ClusterAddress(f"{host}:{int(port)}")


@contextmanager
def connected(engine: str | ClusterAddress, seconds: float = CONNECT_SECONDS) -> Iterator[None]:
    """Connect this process to Ray, and disconnect at the end; a Ray that was started here is stopped with it.

    Does nothing if this process is connected already, so that a caller with a Ray of its own may use it.
    Raises: MissingExtra; InputError for an engine of another form; ClusterError if no Ray answers within `seconds`, if it
    wants another token, or runs another version of Ray or Python. Cost: 0.1 s at an address, about 10 s to start Ray here.
    """
    wanted = parse_engine(engine) if isinstance(engine, str) else engine
    if find_spec("ray") is None:
        raise MissingExtra("ray", "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    if wanted.address not in ("local", "auto"):
        _check_answers(wanted.address, seconds)
    _join(wanted.address)
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str, seconds: float) -> None:
    """Check that something listens at the address: Ray itself retries for two minutes, then ends the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray answers at {address} within {seconds:g} s: {error}; start one with `ray start --head`, or check it"
        ) from error


def _join(address: str) -> None:
    """Call `ray.init`, and make its failures typed ones. Raises: ClusterError."""
    import ray

    try:
        ray.init(
            address=address,
            log_to_driver=False,
            configure_logging=False,
            include_dashboard=False if address == "local" else None,
        )
    except ConnectionError as error:
        raise ClusterError(
            f"no Ray runs on this machine: {error}; start one with `ray start --head`, or use --engine ray"
        ) from error
    except SystemExit as error:  # what Ray's client does when the head stays silent
        raise ClusterError(f"Ray at {address} does not answer; check the address, and that both have the same token") from error
    except Exception as error:
        raise _explained(address, error) from error


def _explained(address: str, error: Exception) -> ClusterError:
    """Name the reason of a failed connection: another token, another version, or what Ray said."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    lowered = str(error).lower()
    if "version mismatch" in lowered:
        python = ".".join(map(str, sys.version_info[:3]))
        return ClusterError(f"Ray at {address} runs another version than this Python {python}: {' '.join(str(error).split())}")
    if "token" in lowered or "unauthenticated" in lowered:
        return ClusterError(
            f"Ray at {address} refuses this token: {reason}; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as on its head"
        )
    return ClusterError(f"cannot connect to Ray at {address}: {reason}")
