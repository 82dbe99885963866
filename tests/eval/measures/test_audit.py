import pytest

from lateint_eval.formats import read_qrels, read_run
from lateint_eval.measures.audit import audit
from lateint_store.errors import FormatError
from tests.support.paths import TOY

QRELS = {"1": {"a": 1, "b": 0}, "2": {"x": 0}, "3": {"y": 1}}


def findings(tmp_path, text, qrels=QRELS):
    (tmp_path / "run").write_text(text)
    return {finding.kind: finding for finding in audit(qrels, read_run(tmp_path / "run", finite=False))}


def trec(*rows):
    return "".join(f"{query} Q0 {doc} {rank} {score} t\n" for query, doc, rank, score in rows)


def test_a_run_that_lateint_wrote_has_nothing_but_unjudged_documents():
    qrels = read_qrels(TOY / "qrels.tsv")
    kinds = [finding.kind for finding in audit(qrels, read_run(TOY / "run.trec", finite=False))]
    assert kinds == ["label 0", "unjudged documents", "depth"]


@pytest.mark.parametrize(
    ("kind", "text", "count", "places"),
    [
        ("not finite", trec(("1", "a", 1, "nan"), ("1", "b", 2, 1), ("1", "c", 3, "-inf")), 2, ("line 1", "line 3")),
        ("ties", trec(("1", "a", 1, 2), ("1", "b", 2, 1), ("1", "c", 3, 1)), 2, ("line 2", "line 3")),
        ("ties", trec(("1", "a", 1, 1.0000000001), ("1", "b", 2, 1)), 2, ("line 1", "line 2")),
        ("rank base", trec(("1", "a", 0, 2), ("1", "b", 1, 1)), 1, ("query 1",)),
        ("negative rank", trec(("1", "a", -1, 2)), 1, ("line 1",)),
        ("deep rank", "1\ta\t1\n1\tb\t1001\n", 1, ("line 2",)),
        ("equal ranks", "1\ta\t1\n1\tb\t1\n1\tc\t2\n", 1, ("line 2",)),
        ("rank gaps", "1\ta\t1\n1\tb\t3\n", 1, ("query 1",)),
        ("rank against score", trec(("1", "a", 1, 1), ("1", "b", 2, 2)), 1, ("query 1",)),
        ("duplicates", "1\ta\t1\n1\tb\t2\n1\ta\t3\n", 1, ("line 3",)),
        ("missing queries", "1\ta\t1\n", 2, ("query 2", "query 3")),
        ("unjudged queries", "1\ta\t1\n9\ta\t1\n", 1, ("query 9",)),
        ("query as document", "1\ta\t1\n1\t1\t2\n", 1, ("line 2",)),
        ("label 0", "1\ta\t1\n", 2, ()),
        ("no positive", "1\ta\t1\n", 1, ("query 2",)),
        ("unjudged documents", "1\ta\t1\n1\tnew\t2\n9\tnew\t1\n", 1, ("line 2",)),
    ],
)
def test_each_oddity_is_found_with_its_place(tmp_path, kind, text, count, places):
    found = findings(tmp_path, text)[kind]
    assert (found.count, found.places) == (count, places)
    assert str(found).startswith(f"{kind}: {count} ")


def test_a_clean_run_raises_no_alarm(tmp_path):
    text = trec(("1", "a", 1, 2), ("1", "b", 2, 1), ("2", "x", 1, 1), ("3", "y", 1, 5))
    assert set(findings(tmp_path, text)) == {"label 0", "no positive", "depth"}
    text = "1\tb\t2\n1\ta\t1\n2\tx\t1\n3\ty\t1\n"
    assert set(findings(tmp_path, text)) == {"label 0", "no positive", "depth"}, "lines need not be sorted by rank"


def test_the_pyterrier_trap_is_named(tmp_path):
    found = findings(tmp_path, "1\ta\t0\n1\tb\t1\n1\tc\t2\n")
    assert "PyTerrier" in str(found["rank base"]) and "rank gaps" not in found


def test_depth_is_summed_up_and_long_lists_of_places_are_cut(tmp_path):
    text = "".join(f"1\td{n}\t{n}\n" for n in range(1, 10)) + "2\tx\t1\n"
    found = findings(tmp_path, text)
    assert found["depth"].text == "queries with 1 to 9 documents, median 5"
    assert len(found["unjudged documents"].places) == 5 and str(found["unjudged documents"]).endswith("line 5, ...]")
    assert findings(tmp_path, "")["depth"].count == 0


def test_a_line_that_is_no_run_line_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="line 2"):
        findings(tmp_path, "1\ta\t1\nwhat\n")
