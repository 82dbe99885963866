"""How an engine is named, and what is said if no Ray answers. No Ray runs here."""

import socket

import pytest

from lateint.cluster import connection
from lateint.cluster.connection import connected, parse_engine
from lateint.errors import ClusterError, InputError, MissingExtra


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ray", "local"),
        ("ray:auto", "auto"),
        ("ray://head", "head:6379"),
        ("ray://head:7000", "head:7000"),
        ("ray://[fe80::1]:7000", "[fe80::1]:7000"),
        ("ray://[fe80::1]", "[fe80::1]:6379"),
    ],
)
def test_engines_are_parsed(text, address):
    assert parse_engine(text).address == address


@pytest.mark.parametrize(
    "text",
    ["", "rai", "ray:", "ray://", "ray://:7000", "ray://head:", "ray://head:0", "ray://head:70000", "ray://a/b", "spark"],
)
def test_other_engines_are_refused(text):
    with pytest.raises(InputError, match="engine"):
        parse_engine(text)


def test_a_missing_extra_names_the_command(monkeypatch):
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"lateint\[ray\]"), connected("ray"):
        pass


def test_an_address_where_nothing_listens_is_one_error():
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Ray answers at {address}"), connected(f"ray://{address}"):
            pass


def test_something_else_that_listens_is_given_up_in_time():
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match="within 1 s"), connected(f"ray://{address}", seconds=1):
            pass
