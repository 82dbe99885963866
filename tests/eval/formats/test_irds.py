import sys

import ir_datasets
import pytest

from lateint_eval.formats import irds_measures, read_candidates, read_corpus, read_qrels, read_queries, read_run
from lateint_store.errors import InputError, MissingExtra
from tests.support.paths import TOY

STREAMED = [lambda name: list(read_corpus(name)), lambda name: list(read_candidates(name))]


@pytest.mark.parametrize("read", [read_queries, read_qrels, read_run, *STREAMED])
def test_without_the_package_the_error_names_the_extra(monkeypatch, read):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtra, match=r"ir-datasets is not installed; run: pip install 'lateint\[data\]'"):
        read("irds:vaswani")


@pytest.fixture(scope="module")
def registered():
    files = {"docs_tsv": "collection.tsv", "queries_tsv": "queries.tsv", "qrels_trec": "qrels.tsv"}
    dataset = ir_datasets.create_dataset(**{key: str(TOY / name) for key, name in files.items()})
    ir_datasets.registry.register("lateint-toy", dataset)
    return "irds:lateint-toy"


def test_a_data_set_reads_like_its_files(registered):
    assert [(doc.id, doc.text) for doc in read_corpus(registered)] == [
        (doc.id, doc.text) for doc in read_corpus(TOY / "collection.tsv")
    ]
    assert read_queries(registered) == read_queries(TOY / "queries.tsv")
    assert read_qrels(registered) == read_qrels(TOY / "qrels.tsv")


def test_what_a_data_set_lacks_or_nobody_knows_is_said(registered):
    with pytest.raises(InputError, match="has no scoreddocs"):
        read_run(registered)
    with pytest.raises(InputError, match="knows no data set irds:no-such-set"):
        read_queries("irds:no-such-set")


SOURCES = [(f"https://source-{i}", OSError("no route " + "x" * 400)) for i in range(3)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("All download sources failed", SOURCES), r"failed \(All download sources failed\); run this once"),
        (ConnectionError("no route to host"), r"failed \(no route to host\); run this once with a network .*IR_DATASETS_HOME"),
        (FileNotFoundError("corpora/nyt.tgz"), "corpora/nyt.tgz does not exist; this data set must be downloaded by hand"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_a_line(registered, monkeypatch, error, words):
    def fails(*_):
        raise error

    monkeypatch.setattr(type(ir_datasets.load("lateint-toy")), "queries_iter", fails, raising=False)
    with pytest.raises(InputError, match=f"cannot read {registered}: .*{words}") as caught:
        read_queries(registered)
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_official_measures_come_with_the_id(registered):
    assert irds_measures("irds:msmarco-passage/trec-dl-2019/judged") == ("nDCG@10", "RR(rel=2)", "AP(rel=2)")
    assert irds_measures(registered) == irds_measures("qrels.tsv") == ()


def test_evaluation_uses_them_unless_told_otherwise(registered, monkeypatch):
    from click.testing import CliRunner

    from lateint.cli.eval import command

    call = ["--qrels", registered, "--run", str(TOY / "run.trec")]
    assert "RR@10" in CliRunner().invoke(command, call).stdout
    dataset = type(ir_datasets.load("lateint-toy"))
    monkeypatch.setattr(dataset, "documentation", lambda self: {"official_measures": ["AP(rel=2)"]}, raising=False)
    assert "AP(rel=2)" in (shown := CliRunner().invoke(command, call).stdout) and "RR@10" not in shown
    assert "RR@10" in CliRunner().invoke(command, [*call, "--measures", "RR@10"]).stdout
