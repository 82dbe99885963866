"""No control character of data reaches a terminal; the package prints in one place."""

import re
from pathlib import Path

import pytest

import lateint.cli
from lateint.cli.main import run
from lateint.cli.printing import echo, warn

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj.exe\u2028\ud800"


def test_control_characters_are_escaped_and_text_is_kept(capsys):
    for stream in (False, True):
        echo(f"tea 🍵 é\tx{EVIL}", err=stream)
    warn(EVIL)
    out, err = capsys.readouterr()
    assert (
        out
        == "tea 🍵 é\tx"
        + "".join(char if char.isascii() and char.isprintable() else f"\\u{ord(char):04x}" for char in EVIL)
        + "\n"
    )
    assert not re.search("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028\u202e]", out + err)


def test_errors_with_data_and_wrong_usage_are_escaped(capsys, tmp_path):
    for arguments in (["store", "info", f"{tmp_path}/\x1b[2J"], ["\x1b[2J"], ["store", "info", "--\x1b[2J"]):
        assert run(arguments) in (1, 2)
        assert "\x1b" not in "".join(capsys.readouterr())


def test_only_one_module_prints():
    for file in Path(lateint.cli.__path__[0]).glob("*.py"):
        if file.name != "printing.py":
            assert not re.search(r"click\.s?echo\(|(?<![\w.])print\(", file.read_text()), file


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J"])
def test_info_prints_a_hostile_name_on_one_line(call, tmp_path, name):
    from lateint.indexing.build import build_store
    from lateint.loading.load import load_model
    from tests.support.commands import model as options

    model = load_model(options()[1], "cosine", query_max_length=24, doc_max_length=48)
    model.name = name
    build_store(model, ["a text"], tmp_path / "s").close()
    code, out, _ = call("store", "info", tmp_path / "s")
    assert code == 0 and "\x1b" not in out
    assert all(re.match(r"[a-z_]+ +\S|[a-z_]+ *$", line) for line in out.splitlines()), out
