import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lateint_eval.formats import Doc, joined_text, read_corpus
from lateint_store.errors import FormatError, InputError, LateintError
from tests.support.paths import TOY

texts = st.text(max_size=60)
GOOD = b'{"_id": "a", "title": "T", "text": "x"}\n'
MALFORMED = {
    "c.tsv": [
        (b"1\n", "1 tab-separated"),
        (b"1\ta\tb\n", "3 tab-separated"),
        (b"\ttext\n", "id is empty"),
        (b" \ttext\n", "id is empty"),
        (b"1\tcaf\xe9\n", "not UTF-8 .byte 0xe9 at column 6"),
        (b"1\t\xed\xa0\x80\n", "not UTF-8"),
    ],
    "c.jsonl": [
        (b'{"_id": "a"', "broken JSON"),
        (b"[1]\n", "a JSON list; expected an object"),
        (b"7\tseven\n", "broken JSON"),
        (b'{"text": "x"}\n', "no '_id' or 'id'"),
        (b'{"_id": "", "text": "x"}\n', "_id is empty"),
        (b'{"_id": true, "text": "x"}\n', "'_id' is of type bool"),
        (b'{"_id": 1.5, "text": "x"}\n', "'_id' is of type float"),
        (b'{"_id": "a"}\n', "no 'text'"),
        (b'{"_id": "a", "text": null}\n', "no 'text'"),
        (b'{"_id": "a", "text": 3}\n', "'text' is of type int"),
        (b'{"_id": "a", "title": [], "text": "x"}\n', "'title' is of type list"),
        (b'{"_id": "a", "text": "\\ud800"}\n', "lone surrogate"),
        (b'{"_id": "\\udc00", "text": "x"}\n', "lone surrogate"),
        (b'{"_id": "a", "text": "\xff"}\n', "not UTF-8"),
        (b"[" * 100_000 + b"\n", "broken JSON"),
        (b'{"_id": ' + b"9" * 5000 + b"}\n", "broken JSON"),
    ],
}


def test_toy_in_both_layouts():
    beir, msmarco = list(read_corpus(TOY)), list(read_corpus(TOY / "collection.tsv"))
    assert beir[0].id == "bread-proof" and beir[0].title == "Proofing dough" and beir[0].line == 1
    assert msmarco[0] == Doc("0", "", beir[0].full_text, 1)
    assert beir[5].id == "tea-🍵" and beir[-1].id == "note with space" and len(beir) == len(msmarco) == 62


@pytest.mark.parametrize(("name", "line", "reason"), [(n, *case) for n, cases in MALFORMED.items() for case in cases])
def test_malformed_line_is_named(tmp_path, name, line, reason):
    good = GOOD if name == "c.jsonl" else b"0\tgood\n"
    path = tmp_path / name
    path.write_bytes(good + b"\n" + line)
    docs = read_corpus(path)
    assert next(docs).line == 1
    with pytest.raises(FormatError, match=reason) as caught:
        list(docs)
    assert caught.value.line == 3 and str(path) in str(caught.value)


def test_plain_jsonl_takes_id_or_numbers_and_no_title(tmp_path):
    path = tmp_path / "docs"
    path.write_text('{"id": 7, "text": "x", "url": "ignored"}\n{"_id": "b", "id": "c", "title": null, "text": ""}\n')
    assert list(read_corpus(path)) == [Doc("7", "", "x", 1), Doc("b", "", "", 2)]


def test_a_tsv_text_may_look_like_json_and_may_be_empty(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text('{"a"\t{"b"}\n2\t\n')
    assert [(doc.id, doc.text) for doc in read_corpus(path)] == [('{"a"', '{"b"}'), ("2", "")]


def test_msmarco_documents_have_four_fields_and_the_url_is_left_out(tmp_path):
    path = tmp_path / "docs.tsv"
    path.write_text("D1\thttp://a/b\tA title\tThe body.\nD2\thttp://c\t\t\n")
    assert list(read_corpus(path)) == [Doc("D1", "A title", "The body.", 1), Doc("D2", "", "", 2)]
    assert next(read_corpus(path)).full_text == "A title The body."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("D1\tu\tt\tb\nD2\tbody\n", "2 tab-separated fields; expected 4: docid<TAB>url"),
        ("D1\tu\tt\tb\nD2\tu\tt\tb\tc\n", "5 tab-separated fields; expected 4"),
        ("D1\tu\tt\tb\n\tu\tt\tb\n", "id is empty"),
        ("1\tpassage\nD2\tu\tt\tb\n", "4 tab-separated fields; expected 2: pid<TAB>text .or 4 in every line"),
    ],
)
def test_documents_and_passages_do_not_mix(tmp_path, text, reason):
    path = tmp_path / "docs.tsv"
    path.write_text(text)
    with pytest.raises(FormatError, match=reason) as caught:
        list(read_corpus(path))
    assert caught.value.line == 2


def test_corpus_is_streamed(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text("1\ta\nbroken\n")
    assert next(read_corpus(path)).id == "1"


def test_a_corpus_without_documents_is_an_error(tmp_path):
    for content in ("", "\n \n"):
        (tmp_path / "c.tsv").write_text(content)
        with pytest.raises(InputError, match=r"c.tsv holds no document"):
            list(read_corpus(tmp_path / "c.tsv"))
    with pytest.raises(InputError, match=r"no corpus.jsonl"):
        list(read_corpus(tmp_path))


def test_joined_text_is_beirs():
    assert joined_text("T", "x") == "T x"
    assert joined_text("", " x ") == "x"
    assert joined_text("T", "") == "T"


@pytest.mark.parametrize("name", ["f.tsv", "f.jsonl", "f"])
@settings(derandomize=True, deadline=None, max_examples=150)
@given(content=st.binary(max_size=60) | texts.map(lambda text: json.dumps({"_id": text, "text": text}).encode()))
def test_any_bytes_give_documents_or_a_typed_error(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(content)
    try:
        docs = list(read_corpus(path))
    except LateintError as error:
        assert str(error)
    else:
        assert all(doc.id.strip() and doc.text.encode("utf-8") is not None for doc in docs)
