"""The option --compressor: the arrays that it makes a store hold, and the calls that refuse it."""

import pytest

from lateint.cli.main import run
from tests.support import commands, paths

CORPUS = ["--corpus", str(paths.TOY / "collection.tsv")]


@pytest.mark.parametrize(
    ("spec", "arrays"),
    [("bottleneck:8", {"states": 8}), ("aesi:width=4", {"states": 4, "token_ids": None}), ("none", {"states": 32})],
)
def test_a_store_holds_what_the_compressor_gives_and_its_recorded_model_reads_it(tmp_path, capsys, spec, arrays):
    store, output = str(tmp_path / "store"), tmp_path / "run"
    assert run(["index", *CORPUS, "--store", store, *commands.model(), "--compressor", spec]) == 0
    from lateint import open_store

    with open_store(store) as opened:
        assert {name: pipeline.spec.width for name, pipeline in opened.manifest.specs.items()} == arrays
    queries = ["--queries", str(paths.TOY / "queries.tsv"), "--candidates", str(paths.TOY / "run.trec")]
    assert run(["rank", "--store", store, *queries, "--output", str(output)]) == 0
    assert len({line[4] for line in commands.run_lines(output)}) > 5
    capsys.readouterr()
    assert run(["rank", "--store", store, *queries, "--output", str(output), "--compressor", spec]) == 2
    assert "--compressor belongs to --model or --method" in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["bottle", "bottleneck:0", "projection"])
def test_a_compressor_that_cannot_be_is_one_line_and_no_store(tmp_path, capsys, spec):
    assert run(["index", *CORPUS, "--store", str(tmp_path / "store"), *commands.model(), "--compressor", spec]) == 1
    assert spec.partition(":")[0] in capsys.readouterr().err and not (tmp_path / "store").exists()
