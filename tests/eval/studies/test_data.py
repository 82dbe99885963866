"""Loading the data of a study: chosen queries of a set at any path, or an error with the reason."""

from dataclasses import replace

import pytest

from lateint_eval.studies.data import candidate_texts, load_data
from lateint_eval.studies.spec import Data
from lateint_store.errors import FormatError, InputError
from tests.support.paths import TOY

NAMES = {"corpus": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.tsv", "run": "run.trec"}
FILES = Data(name="toy", **{key: str(TOY / name) for key, name in NAMES.items()})


def written(path, text):
    path.write_text(text)
    return str(path)


def test_variables_in_paths_are_replaced_when_the_set_is_read(monkeypatch):
    data = Data(name="toy", **{key: f"$TOYS/{name}" for key, name in NAMES.items()})
    monkeypatch.setenv("TOYS", str(TOY))
    assert load_data(data, 5, 0) == load_data(FILES, 5, 0)
    monkeypatch.delenv("TOYS")
    with pytest.raises(InputError, match=r"data 'toy': corpus is '\$TOYS/collection.tsv'.* variable TOYS is not set"):
        load_data(data, 5, 0)


def test_ids_name_the_queries_and_a_sample_is_drawn_from_them(tmp_path):
    every = list(load_data(FILES, 5, 0).queries)
    chosen = replace(FILES, ids=written(tmp_path / "ids", f"{every[7]}\n{every[2]}\n{every[4]}\n"))
    assert list(load_data(chosen, 5, 0).queries) == [every[2], every[4], every[7]], "in the order of the set"
    (one,) = load_data(replace(chosen, sample=1), 5, 0).queries
    assert one in (every[2], every[4], every[7])
    with pytest.raises(InputError, match=r"query 'nobody' of .*ids has no judgements or no candidates"):
        load_data(replace(FILES, ids=written(tmp_path / "ids", f"{every[0]} nobody")), 5, 0)
    with pytest.raises(InputError, match="cannot read ids"):
        load_data(replace(FILES, ids=str(tmp_path / "none")), 5, 0)


def test_judgements_of_documents_that_nobody_knows_change_nothing_that_is_encoded(tmp_path):
    qrels = (TOY / "qrels.tsv").read_text() + "1001\t0\t999999\t3\n"
    more = replace(FILES, qrels=written(tmp_path / "qrels.tsv", qrels))
    assert candidate_texts(load_data(more, 5, 0)) == candidate_texts(load_data(FILES, 5, 0))


@pytest.mark.parametrize(
    ("key", "text", "error", "words"),
    [
        ("run", "", InputError, "no query with judgements and candidates"),
        ("qrels", "", InputError, "no query with judgements and candidates"),
        ("run", "1001 Q0 nowhere 1 2.5 x\n", InputError, "candidate 'nowhere' is not in its corpus"),
        ("run", "1001 Q0 0 1 nan x\n", FormatError, "line 1"),
        ("qrels", "1001 0 0 good\n", FormatError, "line 1"),
    ],
)
def test_sets_that_cannot_be_ranked_are_refused_with_the_reason(tmp_path, key, text, error, words):
    with pytest.raises(error, match=words):
        load_data(replace(FILES, **{key: written(tmp_path / key, text)}), 5, 0)
