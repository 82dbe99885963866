"""Storage that refuses, is full, or cannot be reached: typed errors that name the URL and the next step."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lateint_store import fetch_store, open_store, publish_store, read_publication, verify_store
from lateint_store.errors import (
    InputError,
    MissingExtra,
    RemoteDenied,
    RemoteError,
    RemoteUnreachable,
    StoreError,
    StoreFull,
    StoreNotFound,
)
from lateint_store.remote import objects
from lateint_store.remote.objects import _meant
from tests.support.paths import ROOT


def test_a_bucket_that_does_not_exist(stores, s3, tmp_path):
    for call in (
        lambda: publish_store(stores / "whole", "s3://absent-bucket/x"),
        lambda: fetch_store("s3://absent-bucket/x", tmp_path / "copy"),
    ):
        with pytest.raises(StoreNotFound, match="s3://absent-bucket/x"):
            call()


def test_storage_that_cannot_be_reached(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "RETRIES", 1)
    with pytest.raises(RemoteUnreachable, match=rf"{s3}/publication.json.*check the network and the endpoint"):
        read_publication(s3)


def test_a_folder_that_may_not_be_written(stores):
    """As another user than root, for whom rights count, and as one with nothing but a read-only folder."""
    code = (
        "import os, obstore, lateint_store.remote.publish\n"
        "if os.getuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    lateint_store.publish_store(*sys.argv[1:])\n"
        "except lateint_store.errors.RemoteDenied as error:\n    print(error)\n"
    )
    path = f"import sys; sys.path[:0] = {[path for path in sys.path if path] + [str(ROOT / 'store')]!r}\n"
    with tempfile.TemporaryDirectory() as made:  # not below pytest's own folder, which nobody else may enter
        folder = Path(made)
        shutil.copytree(stores / "whole", folder / "whole")
        (folder / "locked").mkdir()
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o555 if place.is_dir() else 0o444)
        command = [sys.executable, "-c", path + "import lateint_store.errors\n" + code]
        run = subprocess.run([*command, str(folder / "whole"), f"file://{folder}/locked/x"], capture_output=True, text=True)
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o755)
    assert "cannot write file://" in run.stdout and "no rights" in run.stdout, run.stderr


def test_a_full_disk_while_publishing_and_fetching(stores, tmp_path):
    url = f"file://{tmp_path}/objects"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = (
        "import resource, signal, sys, lateint_store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {limits[1]}))\n"
        "try:\n    getattr(lateint_store, sys.argv[1])(*sys.argv[2:])\n"
        "except lateint_store.errors.StoreFull as error:\n    print(error)\n"
    )
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'store')!r}]\nimport lateint_store.errors\n"

    def limited(*arguments):
        return subprocess.run([sys.executable, "-c", path + code, *map(str, arguments)], capture_output=True, text=True)

    run = limited("publish_store", stores / "whole", url)
    assert "no space" in run.stdout, run.stderr
    assert read_publication(url) is None
    publish_store(stores / "whole", url)
    run = limited("fetch_store", url, tmp_path / "copy")
    assert "no space" in run.stdout, run.stderr
    assert not (tmp_path / "copy").exists()
    assert verify_store(fetch_store(url, tmp_path / "copy")).ok


def test_a_disk_without_room_is_refused_before_the_first_byte(stores, tmp_path, monkeypatch):
    url = f"memory://room/{tmp_path.name}"
    publish_store(stores / "whole", url)
    monkeypatch.setattr("lateint_store.remote.fetch.shutil.disk_usage", lambda _: type("", (), {"free": 10})())
    with pytest.raises(StoreFull, match="bytes to fetch, 10 free"):
        fetch_store(url, tmp_path / "copy")


def test_a_target_that_holds_something_else_stays(stores, tmp_path):
    url = f"memory://target/{tmp_path.name}"
    publish_store(stores / "whole", url)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for target in (tmp_path / "mine", stores / "part0", stores / "set"):
        with pytest.raises(StoreError, match="it is not the published store"):
            fetch_store(url, target)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Generic S3 error: 403 Forbidden: <Code>AccessDenied</Code>", RemoteDenied),
        ("Generic LocalFileSystem error: Unable to open file: Permission denied (os error 13)", RemoteDenied),
        ("Error performing PUT http://169.254.169.254/latest/api/token: error sending request", RemoteDenied),
        ("Generic LocalFileSystem error: No space left on device (os error 28)", StoreFull),
        ("Server returned non-2xx status code: 507 Insufficient Storage", StoreFull),
        ("<Code>NoSuchBucket</Code>", StoreNotFound),
        ("Error performing GET: HTTP error: error sending request", RemoteUnreachable),
        ("Server returned error response: 500 Internal Server Error", RemoteError),
    ],
)
def test_every_refusal_has_a_type_and_a_next_step(message, kind):
    from obstore.exceptions import GenericError

    error = _meant("s3://bucket/x", "read", GenericError(f"{message}\n\nDebug source:\nmore"))
    assert type(error) is kind and "s3://bucket/x" in str(error) and "Debug" not in str(error)
    assert str(error).rpartition("; ")[2]


@pytest.mark.parametrize(
    "url",
    ["", "folder", "/a/b", "s3://", "s3://bucket", "s3:///x", "file://relative/x", "ftp://host/x", "s3://b/../x", "s3://b/x?y=1",
     "s3://user:word@b/x", "s3://b//x", "s3://b/%00", "s3://[b/x", None, 5, b"s3://b/x"],
)  # fmt: skip
def test_urls_that_name_no_store(url, stores, tmp_path):
    for call in (lambda: publish_store(stores / "whole", url), lambda: fetch_store(url, tmp_path / "copy")):
        with pytest.raises(InputError):
            call()
    assert not list(tmp_path.iterdir())


def test_a_url_is_no_path(stores, tmp_path):
    for call in (
        lambda: verify_store("s3://bucket/x"),
        lambda: publish_store("s3://bucket/x", "s3://bucket/y"),
        lambda: fetch_store("s3://bucket/x", "s3://bucket/y"),
    ):
        with pytest.raises(InputError, match="a URL; expected the path of a folder: `lateint store fetch URL FOLDER`"):
            call()


def test_a_missing_library_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingExtra, match=r"pip install 'lateint\[remote\]'"):
        open_store(f"file://{tmp_path}/x")


def test_a_forked_process_is_refused_and_does_not_hang(stores, tmp_path):
    url = f"file://{tmp_path}/objects"
    publish_store(stores / "whole", url)
    answers, written = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(30)
            read_publication(url)
        except RemoteError as error:
            os.write(written, str(error).encode())
        finally:
            os._exit(0)
    os.close(written)
    with open(answers) as pipe:
        assert "was forked from one that used object storage before; fetch the store before the fork" in pipe.read()
    os.waitpid(child, 0)


def test_names_of_any_characters(stores, tmp_path):
    url = (tmp_path / "a%b#c \N{LATIN SMALL LETTER U WITH DIAERESIS}? %20" / "x").as_uri()
    publish_store(stores / "part0", url)
    assert (tmp_path / "a%b#c \N{LATIN SMALL LETTER U WITH DIAERESIS}? %20" / "x" / "publication.json").exists()
    assert verify_store(fetch_store(url, tmp_path / "copy")).ok
