"""Derive every other file of the toy collection from corpus.jsonl, queries.jsonl and qrels/test.tsv.

python tests/toy/build.py FOLDER writes them all; a test compares the result with the files beside this one.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lateint_eval.formats import (
    CandidateList,
    Doc,
    read_corpus,
    read_qrels,
    read_queries,
    write_candidates,
    write_corpus,
    write_qrels,
    write_queries,
    write_run,
)

TOY = Path(__file__).parent
DEPTH = 15
FIRST_QUERY = 1001
Scored = list[tuple[str, float]]


def tokens(text: str) -> list[str]:
    return [re.sub(r"(ing|ed|es|s)$", "", word) for word in re.findall(r"\w+", text.lower())]


def first_stage(docs: list[Doc], query: str) -> Scored:
    """BM25 (k1 0.9, b 0.4) with a crude stemmer; ties in corpus order; an id with a blank fits no run."""
    bags = [Counter(tokens(doc.full_text)) for doc in docs]
    mean_length = sum(bag.total() for bag in bags) / len(bags)

    def score(bag: Counter[str]) -> float:
        total = 0.0
        for term in tokens(query):
            holding = sum(term in other for other in bags)
            idf = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
            length = 0.9 * (1 - 0.4 + 0.4 * bag.total() / mean_length)
            total += idf * bag[term] / (bag[term] + length)
        return total

    scored = [(doc.id, score(bag)) for doc, bag in zip(docs, bags, strict=True) if " " not in doc.id]
    return sorted(scored, key=lambda pair: -pair[1])[:DEPTH]


def build(folder: Path) -> None:
    docs, queries, qrels = list(read_corpus(TOY)), read_queries(TOY), read_qrels(TOY)
    rankings = {query_id: first_stage(docs, text) for query_id, text in queries.items()}
    pids = {doc.id: str(at) for at, doc in enumerate(docs)}
    qids = {query_id: str(FIRST_QUERY + at) for at, query_id in enumerate(queries)}
    numbered = {qids[name]: [(pids[doc_id], score) for doc_id, score in ranking] for name, ranking in rankings.items()}
    texts = {pids[doc.id]: doc.full_text for doc in docs}

    def lists() -> Iterator[CandidateList]:
        for name, query in queries.items():
            doc_ids = [doc_id for doc_id, _ in numbered[qids[name]]]
            yield CandidateList(qids[name], query, doc_ids, [texts[doc_id] for doc_id in doc_ids])

    write_run(folder / "run.beir.trec", rankings, tag="bm25")
    write_candidates(folder / "candidates.jsonl", beir_lists(queries, rankings), "jsonl")
    write_corpus(folder / "collection.tsv", (replace(doc, id=pids[doc.id]) for doc in docs), "msmarco")
    write_queries(folder / "queries.tsv", {qids[name]: text for name, text in queries.items()}, "msmarco")
    labels = {qids[name]: {pids[doc_id]: label for doc_id, label in each.items()} for name, each in qrels.items()}
    write_qrels(folder / "qrels.tsv", labels, "msmarco")
    write_candidates(folder / "top1000.tsv", lists(), "top1000")
    write_run(folder / "run.trec", numbered, tag="bm25")
    write_run(folder / "run.msmarco.tsv", numbered, format="msmarco")


def beir_lists(queries: dict[str, str], rankings: dict[str, Scored]) -> Iterator[CandidateList]:
    for name, ranking in rankings.items():
        scores = [round(score, 6) for _, score in ranking]
        yield CandidateList(name, queries[name], [doc_id for doc_id, _ in ranking], None, scores)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
