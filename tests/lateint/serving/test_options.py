"""Options: the command line goes first, then the environment, then the file; unknown names are errors."""

import pytest

from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.serving import run as running
from lateint.serving.engine import _step, load_engine
from lateint.serving.keys import ApiKeys
from lateint.serving.options import ServeOptions, check_environment, read_config
from lateint_store.errors import InputError
from tests.support import engine


@pytest.fixture
def served(monkeypatch):
    """The options that `lateint serve` serves with, in place of serving."""
    found = []
    monkeypatch.setattr(running, "serve", lambda options, tell: found.append(options) or 0)
    return found


def config(tmp_path, text):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    return file


def test_the_command_line_goes_before_the_environment_before_the_file(call, served, tmp_path, monkeypatch):
    file = config(tmp_path, 'store = "of-the-file"\nport = 1\nmax-texts = 2\nid_prefix = "f:"\nthen = ["t:9", "u:4"]\n')
    monkeypatch.setenv("LATEINT_SERVE_MAX_TEXTS", "3")
    monkeypatch.setenv("LATEINT_SERVE_ID_PREFIX", "e:")
    assert call("serve", "--config", file, "--id-prefix", "c:", "--workers", 2)[0] == 0
    (options,) = served
    assert (options.store, options.port, options.max_texts, options.id_prefix) == ("of-the-file", 1, 3, "c:")
    assert options.then == ("t:9", "u:4") and options.workers == 2 and options.host == "127.0.0.1"


def test_the_file_can_be_named_in_the_environment(call, served, tmp_path, monkeypatch):
    monkeypatch.setenv("LATEINT_SERVE_CONFIG", str(config(tmp_path, 'store = "s"\n')))
    assert call("serve")[0] == 0 and served[0].store == "s"


def test_every_option_is_one_of_the_command_line(call):
    shown = call("serve", "--help")[1]
    assert not [name for name in ServeOptions.__slots__ if "--" + name.replace("_", "-") not in shown]


def test_a_store_is_needed(call):
    code, _, error = call("serve")
    assert code == 2 and "--store" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stoer = 's'", "did you mean store?"),
        ("[server]\nport = 1", "'server', which is no option"),
        ("port = 1\nport = 2", "is no TOML"),
        ("max-texts = 1\nmax_texts = 2", "gives an option twice"),
        ("store = 1.5", "store in"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=r"serve\.toml") as error:
        read_config(str(config(tmp_path, text)))
    assert message in str(error.value)


def test_an_absent_file_and_an_unknown_variable_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_config(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"LATEINT_SERVE_PROT.*did you mean LATEINT_SERVE_PORT"):
        check_environment({"LATEINT_SERVE_PROT": "1", "LATEINT_INDEX_STORE": "x"})


def test_a_value_out_of_range_is_refused_in_the_file_too(call, tmp_path):
    assert call("serve", "--config", config(tmp_path, 'store = "s"\nport = 70000'))[0] == 2
    for wrong in (
        {"port": 70_000},
        {"workers": 0},
        {"max_documents": -1},
        {"id_prefix": ""},
        {"cache_mib": 3},
        {"cache_mib": 1 << 30},
    ):
        with pytest.raises(InputError):
            ServeOptions(store="s", **wrong)


def test_only_this_machine_connects_unless_told(tmp_path):
    hosts = {"127.0.0.1": True, "::1": True, "localhost": True, "0.0.0.0": False, "::": False, "name": False}
    assert {host: ServeOptions(store="s", host=host).is_loopback for host in hosts} == hosts


def test_keys_are_read_one_a_line(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# of the team\nlong-enough\n\n  another-key  \n")
    keys = ApiKeys.read(str(file))
    given = {"long-enough": True, "another-key": True, "# of the team": False, "": False, "long-enough2": False}
    assert {key: keys.accept(f"Bearer {key}") for key in given} == given
    for text, message in (("# none\n", "holds no key"), ("short\n", "5 characters"), (b"\xff", "cannot read")):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InputError, match=message):
            ApiKeys.read(str(file))


def test_a_port_in_use_ends_with_1_before_anything_is_loaded(call):
    with running.bound_socket("127.0.0.1", 0) as taken:
        taken.listen()
        code, _, error = call("serve", "--store", "never-opened", "--port", taken.getsockname()[1])
    assert code == 1 and "Address already in use; choose another --host or --port" in error
    assert call("serve", "--store", "never-opened", "--host", "no.such.host.invalid")[0] == 1


def test_an_absent_package_is_named_with_the_command_that_installs_it(call, monkeypatch):
    monkeypatch.setattr(running, "_PACKAGES", ("msgspec", "a_package_that_is_absent"))
    code, _, error = call("serve", "--store", "never-opened")
    assert code == 1 and "a_package_that_is_absent is not installed; run: pip install 'lateint[serve]'" in error


def test_a_model_that_did_not_write_the_store_ends_with_3(call, rich_store, tmp_path):
    engine.fresh_model("colbert").save_pretrained(tmp_path / "other")
    code, _, error = call("serve", "--store", rich_store.path, "--model", tmp_path / "other", "--port", 0)
    assert code == 3 and "serving" not in error
    assert call("serve", "--store", rich_store.path.parent / "none", "--port", 0)[0] == 1


def test_a_cascade_step_is_a_store_and_a_depth():
    for text in ("store", "store:", "store:x", ":5x"):
        with pytest.raises(InputError, match="expected STORE:DEPTH"):
            _step(text, ServeOptions(store="s"))


def test_an_engine_loads_what_the_store_records(tmp_path):
    engine.fresh_model().save_pretrained(tmp_path / "model")
    with build_store(load_model(tmp_path / "model"), engine.DOCUMENTS[:3], tmp_path / "store"):
        pass
    loaded = load_engine(ServeOptions(store=str(tmp_path / "store"), then=(f"{tmp_path / 'store'}:2",)))
    assert list(loaded.costs) == ["joint_layers"] and loaded.cascade is not None
    assert len(loaded.cascade.rank(engine.QUERY, engine.IDS[:3])) == 3
    loaded.close()
