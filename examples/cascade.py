"""Rank with the fast default, then its two best again with a full cross-encoder.

    python examples/cascade.py

Writes the folders `first-store` and `reranker-store`, one for each model.
"""

import lateint

QUESTION = "how do I order a list"
TEXTS = {
    "json": "Dump and load JSON text.",
    "sorted": "Sort a list by a key of every item.",
    "heapq": "A heap keeps the smallest item of a list in front.",
    "deque": "A deque adds and removes items quickly at both ends.",
    "csv": "Read and write rows of comma-separated values.",
}


def main() -> None:
    """Print the ranking of the cascade and who scored how many candidates."""
    documents = [lateint.Document(name, text) for name, text in TEXTS.items()]
    default, reranker = lateint.load_model(), lateint.load_model("reranker")
    with (
        lateint.build_store(default, documents, "first-store") as first,
        lateint.build_store(reranker, documents, "reranker-store") as second,
    ):
        cascade = lateint.Cascade(lateint.Ranker(default, first), (lateint.Ranker(reranker, second), 2))
        ranking = cascade.rank(QUESTION, list(TEXTS), top_k=3)

    print("best:", [hit.doc_id for hit in ranking])
    for rung in ranking.timing.rungs:
        print(f"{rung.head} scored {rung.candidates} candidates")


if __name__ == "__main__":
    main()
