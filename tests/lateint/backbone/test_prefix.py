"""`Layout.prefix`: a fixed text before every text of a side, which counts as neither words nor states of its own text."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.indexing.fingerprint import fingerprint
from lateint.loading.load import load_model
from lateint.methods.method import Layout
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support import engine

PREFIX = "what is the path : "
WORDS = 5
CLS = replace(preset("cosine"), vector=part("first", tokens=1, normalise=True))


def prefixed(prefix=PREFIX, side="query", **layout):
    return replace(CLS, **{side: replace(getattr(CLS, side), prefix=prefix, **layout)})


def texts(family="bert"):
    return engine.model("prettr", family).texts


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_vectors_are_the_normalised_cls_of_transformers_with_the_prefix_before_queries_alone(family):
    from transformers import AutoModel, AutoTokenizer

    folder, query, document = tiny.checkpoint(family), "how is bread in the oven", "a river of stone"
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    model = engine.fresh_model(prefixed(), family)

    def reference(text):
        with torch.inference_mode():
            return torch.nn.functional.normalize(
                encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0], dim=-1
            )

    vector = model.query(query).vector
    assert torch.allclose(vector, reference(PREFIX + query), atol=1e-5)
    (entry,) = model.encode(model.document_tokens([Document("d", document)]))
    assert torch.allclose(torch.from_numpy(entry["vector"]), reference(document), atol=1e-5)
    assert (vector - reference(query)).abs().max() > 1e-2, "without the prefix it is another vector"
    mean = engine.fresh_model(replace(prefixed(), vector=part("mean")), family)
    assert (mean.query(query).vector - vector).abs().max() > 1e-3, "the mean is another vector"


def test_words_of_the_prefix_are_no_words_of_the_query():
    layout = prefixed().query
    rows = texts().tokens(["bread and flour"], layout)
    assert rows == texts().tokens([PREFIX + "bread and flour"], replace(layout, prefix=""))
    assert texts().text_masks(rows, layout)[0].tolist() == [False] * (1 + WORDS) + [True] * 3 + [False]


def test_a_long_text_is_cut_behind_the_prefix_and_says_so():
    layout = replace(prefixed().query, max_length=10)
    assert texts().room(layout) == 3
    rows, cut = texts().tokenise(["bread and flour", "bread and flour and yeast"], layout)
    assert [len(row) for row in rows] == [10, 10] and cut == [False, True] and rows[0] == rows[1]


def test_a_text_that_is_only_the_mark_to_trim_keeps_it_behind_a_prefix():
    layout = replace(prefixed().query, trim="!")
    only, none, word = texts().tokens(["!", "", "bread!"], layout)
    assert len(only) == len(none) + 1 == len(word) and only != word


def test_a_query_without_words_is_refused_though_its_prefix_has_some():
    with pytest.raises(InputError, match="holds no token"):
        engine.model(prefixed()).query("")


@pytest.mark.parametrize(
    ("prefix", "length", "reason"),
    [("path:", 24, "end in white space"), (PREFIX, 7, "at least 8"), ("\ud800 ", 24, "prefix has a lone surrogate")],
)
def test_prefixes_that_cannot_be_used_are_refused(prefix, length, reason):
    with pytest.raises(InputError, match=reason):
        load_model(tiny.checkpoint("bert"), prefixed(prefix), query_max_length=length, doc_max_length=48)


def test_stored_vectors_depend_on_the_prefix_of_documents_alone():
    plain, query, document = (fingerprint(engine.model(m)) for m in (CLS, prefixed(), prefixed(side="document")))
    assert query == plain
    assert {name for name in plain if plain[name] != document[name]} == {"layout", "tokenizer"}


def test_a_layout_without_a_prefix_is_written_as_before_there_were_prefixes():
    plain, long = Layout(), Layout(prefix=PREFIX, attend_to_fill=False)
    assert not {"prefix", "attend_to_fill"} & set(plain.to_json()) and set(long.to_json()) - set(plain.to_json()) == {
        "prefix",
        "attend_to_fill",
    }
    assert [Layout.from_json(layout.to_json()) for layout in (plain, long)] == [plain, long]
    assert plain.to_json()["segment"] is None
