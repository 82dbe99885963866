"""Span queries: consecutive words of one document, which is relevant; BM25's best documents are the candidates."""

from lateint.model.document import Document
from lateint.train.data import TrainingSet
from lateint_eval.datasets.spans import SPAN_CANDIDATES, SPAN_WORDS, span_queries

TEXT = "the quick brown fox jumps over a lazy dog while {0} waits beside the {1} and sings"


def source(number=20):
    words = ["bread", "engine", "moon", "river", "stone"]
    documents = {f"d{i}": Document(f"d{i}", TEXT.format(words[i % 5], words[i // 5])) for i in range(number)}
    return TrainingSet("toy", {}, {}, {}, documents | {"short": Document("short", "too short")})


def test_a_span_is_a_piece_of_its_document():
    made = span_queries(source(), 10)
    assert made.name == "toy spans" and len(made.usable) == 10 and made.documents == source().documents
    for query, text in made.queries.items():
        (origin,) = made.positives[query]
        assert text in made.documents[origin].full_text and SPAN_WORDS[0] <= len(text.split()) <= SPAN_WORDS[1]
        assert origin != "short" and 0 < len(made.candidates[query]) <= SPAN_CANDIDATES


def test_one_seed_gives_the_same_queries_and_another_gives_others():
    assert span_queries(source(), 5).queries == span_queries(source(), 5).queries
    assert span_queries(source(), 5).queries != span_queries(source(), 5, seed=1).queries
