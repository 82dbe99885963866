"""`Layout.trim`: one trailing token is removed, only at the end of a text, and never the only token of a text."""

from dataclasses import replace

import pytest

from lateint.errors import InputError, ModelError
from lateint.loading.load import load_model
from lateint.methods.method import Layout, Method
from lateint.methods.presets import preset
from lateint.testing import tiny

LENGTHS = {"query_max_length": 8, "doc_max_length": 48}


def model(family, mark):
    method = preset("prettr")
    return load_model(tiny.checkpoint(family), replace(method, query=replace(method.query, trim=mark)), **LENGTHS)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_one_mark_is_left_off_at_the_end_alone(family):
    ours, plain = model(family, "!"), model(family, "")
    mark = ours.texts.token_id("!")
    bare = plain.query_tokens("bread and flour")
    assert ours.query_tokens("bread and flour!") == ours.query_tokens("bread and flour") == bare
    assert plain.query_tokens("bread and flour!") != bare
    assert ours.query_tokens("bread and flour!!").count(mark) == 1
    assert ours.query_tokens("bread!and flour") == plain.query_tokens("bread!and flour")
    assert ours.query_tokens("!") == plain.query_tokens("!"), "a text that is only the mark must keep it"


def test_a_text_that_is_cut_is_cut_after_the_mark_is_left_off():
    ours, plain = model("bert", "!"), model("bert", "")
    text = " ".join(["bread"] * 6)
    assert ours.query_tokens(text + "!") == plain.query_tokens(text)
    assert len(ours.query_tokens(text)) == 8


def test_documents_keep_their_marks():
    ours, plain = model("bert", "!"), model("bert", "")
    assert ours.texts.tokens(["bread!"], ours.method.document) == plain.texts.tokens(["bread!"], plain.method.document)


def test_a_mark_that_the_tokenizer_lacks_is_refused():
    with pytest.raises(ModelError, match=r"no token '¿¿'.*trim"):
        model("bert", "¿¿").query_tokens("bread")


def test_a_layout_without_a_mark_is_written_as_before_there_were_marks():
    plain, marked = Layout(), Layout(trim="?")
    assert "trim" not in plain.to_json() and marked.to_json()["trim"] == "?"
    assert [Layout.from_json(layout.to_json()) for layout in (plain, marked)] == [plain, marked]
    method = replace(preset("prettr"), query=marked)
    assert Method.from_json(method.to_json()) == method
    with pytest.raises(InputError, match="mark"):
        Layout.from_json(plain.to_json() | {"mark": "?"})
