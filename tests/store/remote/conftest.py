"""Object storage for the tests of this folder: an S3 emulator, a local folder, and the memory of the process."""

import shutil
import uuid

import pytest

from lateint_store import create_set
from tests.support.remote import BUCKET, s3_environment, sealed

DOCUMENTS = 150


def pytest_collection_modifyitems(items):
    here = [item for item in items if "store/remote" in item.path.as_posix()]
    try:
        import obstore  # noqa: F401
    except ImportError:
        for item in here:
            item.add_marker(pytest.mark.skip(reason="obstore (extra `remote`) is not installed"))


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    """A sealed store of three shards, the two sealed shards of a build, and a set of both."""
    folder = tmp_path_factory.mktemp("remote")
    sealed(folder / "whole", DOCUMENTS, documents_per_shard=64)
    for number in range(2):
        sealed(folder / f"part{number}", DOCUMENTS, shard=(number, 2))
    create_set(folder / "set", [folder / "part0", folder / "part1"])
    return folder


@pytest.fixture
def copied(stores, tmp_path):
    """A copy of the store that a test may change."""
    for name in ("whole", "part0", "part1", "set"):
        shutil.copytree(stores / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("*lock*"))
    return tmp_path / "copy"


@pytest.fixture(scope="session")
def emulator():
    pytest.importorskip("moto", reason="moto, the S3 emulator, is not installed")
    with s3_environment() as environment:
        yield environment


@pytest.fixture
def s3(emulator, monkeypatch):
    """A URL below which nothing is yet."""
    for name, value in emulator.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def local(tmp_path):
    return f"file://{tmp_path}/objects"


@pytest.fixture(params=["s3", "file", "memory"])
def url(request):
    """The same on each kind of storage."""
    if request.param == "memory":
        return f"memory://test/{uuid.uuid4().hex}"
    return request.getfixturevalue("s3" if request.param == "s3" else "local")
