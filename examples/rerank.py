"""Rank texts with the checkpoint that ships: first as they are, then by id from a store on disk.

    python examples/rerank.py

Writes the folder `rerank-store`. Run it again: the texts are not encoded a second time.
"""

import lateint

QUESTION = "which structure gives me the smallest element quickly"
DOCUMENTS = [
    lateint.Document("json", "Dump and load JSON text.", title="json"),
    lateint.Document("sorted", "Sort a list by a key of every item."),
    lateint.Document("heapq", "A heap keeps the smallest item of a list in front.", title="heapq"),
    lateint.Document("deque", "A deque adds and removes items quickly at both ends."),
]


def main() -> None:
    """Rank the documents twice and print both rankings."""
    model = lateint.load_model()

    # Without a store every text is encoded when it is ranked, as sentence-transformers' CrossEncoder does.
    results = lateint.Ranker(model).rank_texts(QUESTION, [document.text for document in DOCUMENTS], top_k=2)
    print("by text:", [DOCUMENTS[result["corpus_id"]].id for result in results])

    # With a store the documents are encoded once; then only the question runs through the model.
    with lateint.build_store(model, DOCUMENTS, "rerank-store") as store:
        ranker = lateint.Ranker(model, store)
        ranking = ranker.rank(QUESTION, [document.id for document in DOCUMENTS])
        for hit in ranking:
            print(f"{hit.doc_id:8} {hit.score:6.2f}")
        print(f"read {ranking.timing.bytes_read} bytes for {ranking.timing.candidates} candidates")


if __name__ == "__main__":
    main()
