"""Define a method of your own: a document is at most eight vectors, however long it is.

    python examples/add_a_method.py

Runs over a tiny random encoder, so its scores mean nothing before training; put a name such as "all-MiniLM-L6-v2" in its
place. Writes the folder `few-vectors-store`. The guide docs/guide/add-a-method.md explains every field.
"""

from lateint import Document, Layout, Method, Ranker, Stage, build_store, load_model, part
from lateint.testing import tiny

FEW_VECTORS = Method(
    name="few_vectors",
    source="lateint, after arXiv:2005.00181",
    summary="stores eight unit vectors of 64 numbers a document, 4 bits each; the score is a sum of maxima",
    offline_layers="T",
    query_layers="T",
    query=Layout(template="alone", max_length=32),
    document=Layout(template="alone", max_length=64),
    pool=part("first", tokens=8),
    compressor=part("projection", width=64),
    codecs=(("states", (part("drive", bits=4),)),),
    head=part("maxsim"),
    stages=(Stage(losses=((part("listwise"), 1.0),), train=("layers", "compressor"), rate=5e-5, in_batch=True),),
)


def main() -> None:
    """Store two documents under the method, and rank them."""
    model = load_model(tiny.checkpoint("bert"), method=FEW_VECTORS)
    bread = "bread needs flour , water , salt and yeast ; the oven is to be hot"
    documents = [Document("bread", bread), Document("engine", "oil , brake and wheel")]
    with build_store(model, documents, "few-vectors-store") as store:
        for document, arrays in zip(documents, store.get(["bread", "engine"]), strict=True):
            print(document.id, arrays["states"].shape)
        ranking = Ranker(model, store).rank("flour and yeast", ["bread", "engine"])
        print(f"ranked {len(ranking)} documents with {ranking.timing.head}")


if __name__ == "__main__":
    main()
