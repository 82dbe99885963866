"""An S3 emulator in a process of its own, and sealed stores to publish."""

import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.stores import build

BUCKET = "stores"
_SERVER = """
import sys, threading
from moto.server import ThreadedMotoServer
import logging; logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until the tests end
"""


@contextmanager
def s3_environment():
    """The environment variables of an empty emulator with one bucket."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")).close()
        yield {
            "AWS_ENDPOINT": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def sealed(path: Path, documents: int, **changes) -> Path:
    with build(path, documents, **changes) as store:
        store.seal()
    return path


def run_remote(verb, *arguments, kill_at=""):
    """`publish_store` or `fetch_store` in a new Python, which a point may kill; returns its exit code and error output."""
    code = f"import sys, lateint_store; lateint_store.{verb}(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'store'}", "LATEINT_KILL_AT": kill_at}
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=60
    )
    return run.returncode, run.stderr
