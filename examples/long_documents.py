"""Rank documents that are longer than the model reads: cut them into overlapping chunks.

    python examples/long_documents.py

Writes the folder `manuals-store`. Ids in and out are those of documents; the store holds one entry for each chunk.
"""

import lateint

QUESTION = "which structure gives me the smallest element"
FILLER = "Dump and load JSON text. Read and write rows of comma-separated values."
ANSWER = "A heap keeps the smallest item of a list in front."
MANUALS = [
    lateint.Document("formats", " ".join([FILLER] * 30), title="Manual of formats"),
    lateint.Document("structures", " ".join([FILLER] * 30 + [ANSWER]), title="Manual of structures"),
]


def main() -> None:
    """Print how the documents were cut and how they are ranked by two rules."""
    model = lateint.load_model()
    cut = lateint.Chunks(length=128, overlap=32)
    with lateint.build_store(model, MANUALS, "manuals-store", chunks=cut) as store:
        print(f"{len(MANUALS)} documents, {len(store)} chunks, such as {next(store.ids())}")
        for rule in ("max", "first"):
            ranker = lateint.Ranker(model, store, aggregate=rule)
            ranking = ranker.rank(QUESTION, ["formats", "structures"])
            print(f"{rule}:", [(hit.doc_id, round(hit.score)) for hit in ranking])


if __name__ == "__main__":
    main()
