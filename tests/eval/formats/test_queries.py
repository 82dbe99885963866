import pytest

from lateint_eval.formats import read_queries
from lateint_store.errors import FormatError
from tests.support.paths import TOY


def test_toy_in_both_layouts():
    beir, msmarco = read_queries(TOY), read_queries(TOY / "queries.tsv")
    assert next(iter(beir.items())) == ("q-proof", "how long should bread dough rise before baking")
    assert list(msmarco)[:2] == ["1001", "1002"] and list(msmarco.values()) == list(beir.values())
    assert read_queries(TOY / "queries.jsonl") == beir


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("q.tsv", "1\ta\n1\tb\n", 2, "for the second time"),
        ("q.tsv", "1\ta\n2\t \n", 2, "'2' has no text"),
        ("q.tsv", "1 a\n", 1, "1 tab-separated"),
        ("q.jsonl", '{"_id": "1", "text": "a"}\n{"text": "a"}\n', 2, "no '_id' or 'id' or 'query_id'"),
        ("q.jsonl", '{"_id": "1", "text": "a"}\n{"_id": 1, "text": "b"}\n', 2, "for the second time"),
    ],
)
def test_malformed_line_is_named(tmp_path, name, content, line, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=reason) as caught:
        read_queries(tmp_path / name)
    assert caught.value.line == line
