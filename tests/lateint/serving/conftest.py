import pytest

from lateint.serving.engine import make_engine
from lateint.serving.options import ServeOptions


@pytest.fixture(scope="session")
def engine(rich, rich_store):
    """The engine of a model with two heads over the shared documents."""
    return make_engine(rich, rich_store, ServeOptions(store=str(rich_store.path)))
