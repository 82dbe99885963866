"""A model whose weights change under an open ranker no longer matches the stored arrays, unless they are the head's."""

import pytest
import torch

from lateint.errors import StoreMismatch
from lateint.indexing.build import build_store
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from tests.support import engine

CALLS = {
    "rank": lambda ranker: ranker.rank(engine.QUERY, engine.IDS),
    "budget": lambda ranker: ranker.warm_up(engine.QUERY, engine.IDS),
    "explain": lambda ranker: ranker.explain(engine.QUERY, engine.IDS[0]),
}


def change(part):
    """Change weights in place, as a step of training does. Returns: what they were."""
    former = {name: tensor.clone() for name, tensor in part.state_dict().items()}
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    return former


def test_weights_below_the_stored_arrays_are_noticed_until_they_are_restored(tmp_path):
    model = engine.fresh_model("colbert")
    with build_store(model, engine.DOCUMENTS, tmp_path / "store") as store:
        ranker = Ranker(model, store)
        expected = ranker.rank(engine.QUERY, engine.IDS).hits
        former = change(model.backbone.layers[0])
        for call in CALLS.values():
            with pytest.raises(StoreMismatch, match=r"states\.weights differ"):
                call(ranker)
        assert len(ranker.rank(engine.QUERY, documents=engine.DOCUMENTS)) == len(engine.IDS)  # reads no stored array
        model.backbone.layers[0].load_state_dict(former)
        assert ranker.rank(engine.QUERY, engine.IDS).hits == expected


def test_a_trained_head_ranks_as_a_new_ranker_does(tmp_path):
    model = engine.fresh_model("mice")
    with build_store(model, engine.DOCUMENTS, tmp_path / "store") as store:
        ranker = Ranker(model, store)
        former = ranker.rank(engine.QUERY, engine.IDS).hits
        change(model.head)
        found = ranker.rank(engine.QUERY, engine.IDS).hits
        assert found == Ranker(model, store).rank(engine.QUERY, engine.IDS).hits
        assert found != former


def test_retrieval_notices_changed_weights(tmp_path):
    model = engine.fresh_model("cosine")
    with build_store(model, engine.DOCUMENTS, tmp_path / "store") as store:
        retriever = Retriever(model, store)
        change(model.backbone.layers[0])
        with pytest.raises(StoreMismatch, match=r"vector\.weights differ"):
            retriever.retrieve(engine.QUERY, 2)
