"""Text that a model does not read is counted: queries and documents beyond their length, also behind blanks."""

import pytest

from lateint.errors import InputError
from lateint.indexing.chunks import Chunks
from lateint.loading.load import load_model
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from lateint.testing import tiny
from tests.support import engine

ROOM = 22  # of 24 tokens of a query, two are special
LONG = "river stone " * 40
BEHIND_BLANKS = "bread" + " \n" * (48 * 250) + "oven"
TRAILING_BLANKS = "bread" + " \n" * (48 * 250)


@pytest.mark.parametrize(
    ("query", "cut"), [("bread", 0), ("bread " * ROOM, 0), ("bread " * (ROOM + 1), 1), ("bread" + " " * 9_000 + "oven", 1)]
)
def test_a_query_that_is_cut_is_counted(rich, rich_store, query, cut):
    ranker = Ranker(rich, rich_store)
    assert ranker.rank(query, engine.IDS[:3]).timing.cut_queries == cut
    assert ranker.rank(query, documents=["bread"]).timing.cut_queries == cut
    assert Cascade(ranker, (ranker, 2)).rank(query, engine.IDS[:3]).timing.cut_queries == cut
    found = list(Retriever(rich, rich_store).retrieve_many(["stone", query], 3))
    assert [ranking.timing.cut_queries for ranking in found] == [0, cut]


def test_documents_that_are_cut_are_counted(rich):
    texts = ["bread", LONG, BEHIND_BLANKS, TRAILING_BLANKS, "stone " * 46, LONG]
    timing = Ranker(rich).rank("bread", documents=texts).timing
    assert timing.cut_documents == 2, "the two distinct texts whose end was lost"
    assert Ranker(rich, chunks=Chunks(48)).rank("bread", documents=[LONG, "bread"]).timing.cut_documents == 0
    assert Ranker(rich, chunks=Chunks(24, 4, 1)).rank("bread", documents=[LONG, "bread"]).timing.cut_documents == 1


def test_a_build_counts_text_behind_blanks(tmp_path):
    seen = []
    texts = ["bread", LONG, BEHIND_BLANKS, TRAILING_BLANKS, "x" * 90_000, "stone " * 47, "stone " * 48]
    engine.store(tmp_path, documents=texts, progress=seen.append).close()
    assert sum(window.cut for window in seen) == 3


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize(("method", "side"), [("cosine", "query"), ("cosine", "document"), ("mice", "query")])
def test_lengths_beyond_the_positions_are_refused_when_the_model_is_made(method, side, family):
    lengths = engine.LENGTHS | {"query_max_length" if side == "query" else "doc_max_length": 98}
    with pytest.raises(InputError, match=f"the {side} layout reaches position .*, but this encoder has 9[67]"):
        load_model(tiny.checkpoint(family), method, **lengths)


@pytest.mark.parametrize("value", [0, -3, True, 2.5, "64", 2])
@pytest.mark.parametrize("name", ["query_max_length", "doc_max_length"])
def test_lengths_that_hold_no_text_are_refused_when_the_model_is_made(name, value):
    with pytest.raises(InputError, match="max_length"):
        load_model(tiny.checkpoint("bert"), "cosine", **(engine.LENGTHS | {name: value}))
