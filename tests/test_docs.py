"""The documentation is an artefact under test: it names everything that is there, and its examples run."""

import contextlib
import io
import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import lateint
from lateint.cli.main import VERBS, group
from lateint.methods.presets import PRESETS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "store" / "README.md",
        ROOT / "eval" / "README.md",
        ROOT / "tests" / "toy" / "README.md",
    }
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
RANKER = [name for name in vars(lateint.Ranker) if not name.startswith("_")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|usr|opt|mnt|farm|Users)/")


def commands():
    """Every verb and sub-verb: its words and its command."""
    for verb in VERBS:
        command = group.get_command(click.Context(group), verb)
        if not isinstance(command, click.Group):
            yield (verb,), command
            continue
        for sub in command.list_commands(click.Context(command)):
            yield (verb, sub), command.get_command(click.Context(command), sub)


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_verb_is_in_the_readme(words):
    assert f"lateint {' '.join(words)}" in README


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_every_verb_says_what_it_does_and_ends_with_an_example(words):
    shown = CliRunner().invoke(group, [*words, "--help"], prog_name="lateint")
    assert shown.exit_code == 0
    assert len((COMMANDS[words].help or "").strip()) > 20
    example = re.split(r"^\s*Examples?:", shown.output, maxsplit=1, flags=re.MULTILINE)[-1]
    assert re.search(rf"^\s*lateint {' '.join(words)}\b", example, re.MULTILINE), "an example that can be copied"


def test_the_list_of_verbs_names_the_sub_verbs_of_store():
    subs = [words[1] for words in COMMANDS if words[0] == "store"]
    assert subs and all(re.search(rf"\b{sub}\b", VERBS["store"]) for sub in subs)


@pytest.mark.parametrize("name", [*lateint.__all__, *(f"Ranker.{name}" for name in RANKER)])
def test_every_public_name_is_in_the_readme(name):
    assert re.search(rf"`[^`\n]*\b{re.escape(name)}\b[^`\n]*`", README)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_row_of_the_table_of_methods(name):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    method = PRESETS[name]
    assert f"| {method.offline_layers} |" in row, "the depth that the preset has"
    assert f"`{method.head.name}`" in row, "its head"
    assert method.source.split(",")[0] in row, "its paper"


def test_the_examples_of_the_readme_print_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = FENCE.findall(README)
    assert sum(language == "python" for language, _ in blocks) == README.count("```python") >= 2
    names, ran = {}, 0
    for (language, code), (next_language, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"README.md, example {ran + 1}", "exec"), names)
        assert printed.getvalue() == (expected if next_language == "text" else "")
        ran += bool(printed.getvalue())
    assert ran >= 2, "examples show what they print"
    for held in names.values():
        if isinstance(held, lateint.Store):
            held.close()


def test_the_first_screen_of_the_readme_is_one_screen():
    first = README.split("\n## ")[0].splitlines()
    assert len(first) <= 40
    text = "\n".join(first)
    assert "make demo" in text and "make test" in text and "<!-- numbers -->" in text
    code = next(code for language, code in FENCE.findall(text) if language == "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 8


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link and not link.startswith("#")]
    assert not [link for link in local if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_name_no_place_of_one_machine(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert not [f"line {number}: {line}" for number, line in lines if MACHINE.search(line)]


def test_the_pattern_for_places_finds_them():
    assert all(MACHINE.search(f"see {place}") for place in ("/ho" + "me/me/x", "/tm" + "p/x", "(/wo" + "rk/main)"))
    assert not MACHINE.search("kept in ~/.cache/lateint/demo; see docs/home/ and benchmarks/work/x.py")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_that_are_named_exist(page):
    named = set(re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8")))
    if page.name == "README.md" and page.parent == ROOT:
        named |= set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
        assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_files_and_folders_that_the_architecture_names_exist():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:lateint|store|eval|tests|benchmarks|docs)/[\w./-]*)`", text))
    assert len(named) > 20
    assert not sorted(path for path in named if not (ROOT / path).exists())
    assert len(text.splitlines()) <= 150


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_has_its_three_parts(page):
    text = page.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name) and text.startswith(f"# {int(page.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Choice", "What would change our mind"]
    assert len(text.splitlines()) <= 40


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == lateint.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(lateint.__version__)}\b", changes, re.MULTILINE)


def test_extras_that_the_readme_names_exist_and_all_are_named():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {name for name in re.findall(r"lateint\[(\w+)\]", README)} <= set(extras)
    assert all(f"`{name}`" in README for name in extras)


def test_every_error_that_the_readme_names_exists():
    from lateint import errors

    named = set(re.findall(r"`(\w+(?:Mismatch|Store|Document|Error|Full|Locked|Found|Extra|Checkpoint))`", README))
    assert named and not [name for name in named if not hasattr(errors, name) and not hasattr(lateint, name)]
