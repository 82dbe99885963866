"""Connect to Ray: `ray` and `ray://HOST:PORT` as the command line takes them, and one typed error for each way to fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from lateint.errors import ClusterError, InputError, MissingExtra

CONNECT_SECONDS = 30.0
"""How long `connected` waits for an address to answer before it raises."""
_PORT = 6379  # of a head that `ray start --head` starts
_START = "start one with `ray start --head`, or check the address"
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
    wants another token, or runs another version of Ray or Python. Cost: 1 to 2 s at an address, about 10 s to start Ray here.
    """
    wanted = parse_engine(engine) if isinstance(engine, str) else engine
    if find_spec("ray") is None:
        raise MissingExtra("ray", "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        with _ray_errors(wanted.address):
            yield
        return
    if wanted.address not in ("local", "auto"):
        _check_answers(wanted.address, seconds)
    _join(wanted.address)
    try:
        with _ray_errors(wanted.address):
            yield
    finally:
        ray.shutdown()


@contextmanager
def _ray_errors(address: str) -> Iterator[None]:
    """Make what Ray raises of itself, such as for a head that died, one typed error. Raises: ClusterError."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ClusterError(f"Ray at {address} failed: {reason}; repeat the command, which continues") from error


def _check_answers(address: str, seconds: float) -> None:
    """Ask the head for its health, in a process of its own: Ray retries for two minutes, then ends the process that asks.

    Raises: ClusterError.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except OSError as error:
        raise ClusterError(f"no Ray answers at {address}: {error}; {_START}") from error
    answer = _ask(address, seconds)
    if answer is None:
        return
    if b"InvalidAuthToken" in answer or b"Unauthenticated" in answer:
        raise ClusterError(
            f"Ray at {address} refuses the token of this process; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or "
            "RAY_AUTH_TOKEN) as on its head"
        )
    raise ClusterError(f"no Ray answers at {address} within {seconds:g} s; {_START}")


def _ask(address: str, seconds: float) -> bytes | None:
    """Return None if the head is well, else what Ray's own check wrote until it ended, saw a wrong token, or was late."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    end, said = time.monotonic() + seconds, b""
    with tempfile.TemporaryFile() as written, subprocess.Popen(command, stdout=written, stderr=written) as asked:
        try:
            while asked.poll() is None and b"InvalidAuthToken" not in said and time.monotonic() < end:
                time.sleep(0.05)
                said = os.pread(written.fileno(), 1 << 16, 0)
        finally:
            asked.kill()
    return None if asked.returncode == 0 else said


def _join(address: str) -> None:
    """Call `ray.init`, and make its failures typed ones. Raises: ClusterError."""
    import ray

    dashboard = False if address == "local" else None
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=dashboard)
    except ConnectionError as error:
        place = "on this machine" if address == "auto" else f"at {address}"
        raise ClusterError(f"no Ray answers {place}: {error}; {_START}") from error
    except RuntimeError as error:
        if "version mismatch" not in str(error).lower():
            raise
        reason = " ".join(str(error).split())
        raise ClusterError(
            f"Ray at {address} and this process differ: {reason}; install equal versions on all machines"
        ) from error
