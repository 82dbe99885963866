"""Messages about a missing extra; these tests run where the other adapter tests are skipped."""

import importlib.util
import sys

import pytest

from lateint.errors import MissingExtra
from lateint_eval.adapters.mteb import SearchModel


def test_without_pyterrier_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyterrier", None)
    spec = importlib.util.find_spec("lateint_eval.adapters.pyterrier")
    with pytest.raises(MissingExtra, match=r"pyterrier is not installed; run: pip install 'lateint\[pyterrier\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_without_mteb_the_error_names_the_extra(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    monkeypatch.setitem(sys.modules, "mteb.models", None)
    with pytest.raises(MissingExtra, match=r"mteb is not installed; run: pip install 'lateint\[mteb\]'"):
        SearchModel(toy.plain)


def test_the_entry_points_lead_to_the_adapter():
    import tomllib
    from pathlib import Path

    groups = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["entry-points"]
    module = "lateint_eval.adapters.pyterrier"
    assert groups["pyterrier.artifact"]["forward_index.lateint"] == f"{module}:StoreArtifact"
    assert groups["pyterrier.artifact.metadata_adapter"]["lateint"] == f"{module}:store_metadata"
