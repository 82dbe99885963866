"""What the guide gives to copy: clients, a unit for systemd, a Dockerfile, options, and the list of metrics."""

import ast
import configparser
import json
import re
import shlex

import pytest

from lateint.cli.serve import command
from lateint.errors import InputError, StoreMismatch
from lateint.serving.metrics import ServiceMetrics
from lateint.serving.options import ServeOptions, read_config
from tests.support.paths import ROOT
from tests.support.serving import ask

PAGE = (ROOT / "docs" / "guide" / "serving.md").read_text()
DEPLOY = ROOT / "docs" / "deploy"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CLIENTS = [code for language, code in BLOCKS if language == "py"]
PACKAGES = {  # modules of the packages that the environments of clients install
    "cohere": "cohere", "litellm": "litellm", "openai": "openai", "langchain-cohere": "langchain_cohere",
    "llama-index-postprocessor-cohere-rerank": "llama_index.postprocessor.cohere_rerank",
    "llama-index-postprocessor-tei-rerank": "llama_index.postprocessor.tei_rerank",
    "cohere-haystack": "haystack_integrations.components.rankers.cohere",
    "huggingface-api-haystack": "haystack_integrations.components.rankers.huggingface_api",
}  # fmt: skip


def test_each_tried_client_can_be_copied():
    tried = {
        line.partition("==")[0] for file in (ROOT / "tests" / "clients").glob("*.txt") for line in file.read_text().split()
    }
    assert tried == PACKAGES.keys()
    modules = set()
    for code in CLIENTS:
        for node in ast.walk(ast.parse(code)):
            modules |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            modules |= {node.module} if isinstance(node, ast.ImportFrom) else set()
        assert f"http://127.0.0.1:{ServeOptions(store='x').port}" in code and "print(" in code
    assert set(PACKAGES.values()) <= modules


def test_the_command_of_curl_is_answered(engine):
    line = next(line for _, code in BLOCKS for line in code.splitlines() if line.startswith("curl "))
    _, address, _, header, _, body = shlex.split(line)
    name, value = header.split(": ")
    found = ask(engine, json.loads(body), path=address.removeprefix("http://127.0.0.1:8080"), headers={name: value})
    assert found.status_code == 200 and len(found.json()["results"]) == 3


def test_the_options_of_the_guide_are_options(tmp_path):
    (tmp_path / "serve.toml").write_text(next(code for language, code in BLOCKS if language == "toml"))
    assert ServeOptions(**read_config(str(tmp_path / "serve.toml"))).workers == 2


def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "lateint.service")
    return parser


def accepts(words):
    """True if the command line takes these words; a file of options need not be there."""
    program, verb, *rest = words
    given = [word for word in rest if word.startswith("--")]
    known = {name for parameter in command.params for name in parameter.opts}
    return program.rpartition("/")[2] == "lateint" and verb == "serve" and set(given) <= known


def test_the_unit_of_systemd_stops_and_restarts_as_the_service_needs():
    service, defaults = unit()["Service"], ServeOptions(store="x")
    assert accepts(shlex.split(service["ExecStart"])) and service["User"] != "root"
    assert int(service["TimeoutStopSec"]) > (defaults.timeout_ms + defaults.drain_ms) / 1e3 + 5
    assert service["Restart"] == "on-failure" and service["KillMode"] == "mixed"
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert StoreMismatch.exit_code in codes and InputError.exit_code not in codes, "a port in use may be free later"
    assert unit()["Install"]["WantedBy"] == "multi-user.target"


def faults(text):
    """What is wrong in a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).split("\n")
    steps = [(word, rest) for word, _, rest in (line.partition(" ") for line in whole if line.strip())]
    found = []
    if not re.fullmatch(r"[\w./-]+:\d[\w.-]*", dict(steps).get("FROM", "")):
        found.append("the base image has no version")
    users = [rest for word, rest in steps if word == "USER"]
    if not users or users[-1] in ("root", "0"):
        found.append("it runs as root")
    commands = [rest for word, rest in steps if word in ("ENTRYPOINT", "CMD")]
    commands += [rest.partition("CMD ")[2] for word, rest in steps if word == "HEALTHCHECK"]
    for line in commands:
        try:
            assert isinstance(json.loads(line), list)
        except (ValueError, AssertionError):
            found.append("a command is run by a shell, which passes no signal on")
    sources = [name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]]
    return found + [f"{name} does not exist" for name in sources if not (ROOT / name).exists()]


def test_the_dockerfile_is_in_order():
    text = (DEPLOY / "Dockerfile").read_text()
    assert faults(text) == []
    assert accepts(json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1]))


@pytest.mark.parametrize(
    "bad",
    ["FROM python\nUSER me",
     "FROM python:latest\nUSER me", "FROM a:1\nUSER root", "FROM a:1", "FROM a:1\nUSER me\nCMD lateint serve",
     "FROM a:1\nUSER me\nHEALTHCHECK --timeout=5s \\\n  CMD curl x", "FROM a:1\nUSER me\nCOPY nothing /x"],
)  # fmt: skip
def test_faults_of_a_dockerfile_are_found(bad):
    assert len(faults(bad)) == 1


def measured():
    """(name as Prometheus stores it, type, labels) of every metric."""
    metrics = vars(ServiceMetrics()).values()
    described = [(metric, metric.describe()[0]) for metric in metrics if hasattr(metric, "describe")]
    return {
        (found.name + ("_total" if found.type == "counter" else ""), found.type, tuple(metric._labelnames))
        for metric, found in described
    }


def test_the_list_of_metrics_is_that_of_the_service():
    rows = re.findall(r"^\| `(lateint_serve_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \| `([^`]+)` \|$", PAGE, re.MULTILINE)
    assert {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _, _ in rows} == measured()
    for name, kind, labels, _, panel in rows:
        assert re.findall(r"lateint_serve_\w+", panel) == [name + ("_bucket" if kind == "histogram" else "")]
        used = set(re.findall(r"by \((\w+)\)", panel)) | set(re.findall(r"(\w+)=", panel))
        assert used <= set(re.findall(r"`(\w+)`", labels)) | {"le"}
