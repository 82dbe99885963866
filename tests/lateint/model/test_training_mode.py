"""In training mode dropout changes results at random: nothing is ranked or stored until `model.eval()`."""

import pytest
from torch import nn
from torch.nn import Dropout

from lateint.errors import ModelError
from lateint.heads.cosine import Cosine
from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from tests.support import engine

TEXTS = [document.text for document in engine.DOCUMENTS[:3]]
PAIRS = [(engine.QUERY, text) for text in TEXTS]
CALLS = {
    "rank": lambda model, store, ranker, folder: ranker.rank(engine.QUERY, engine.IDS),
    "rank texts": lambda model, store, ranker, folder: Ranker(model).rank(engine.QUERY, documents=TEXTS),
    "logits": lambda model, store, ranker, folder: ranker.logits(PAIRS),
    "explain": lambda model, store, ranker, folder: ranker.explain(engine.QUERY, engine.IDS[0]),
    "ranker": lambda model, store, ranker, folder: Ranker(model, store),
    "build": lambda model, store, ranker, folder: build_store(model, TEXTS, folder / "other"),
    "add": lambda model, store, ranker, folder: store.add([Document("new", TEXTS[0])], model),
}
PARTS = {
    "model": lambda model: model,
    "encoder": lambda model: model.backbone.model,
    "head": lambda model: model.head,
    "a dropout": lambda model: next(part for part in model.modules() if isinstance(part, Dropout)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of its own, its store, and a ranker over both."""
    folder, model = tmp_path_factory.mktemp("training"), engine.fresh_model("colbert")
    with build_store(model, engine.DOCUMENTS, folder / "store") as store:
        yield model, store, Ranker(model, store), folder


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_model_in_training_mode_is_refused(made, call):
    model, store, _, folder = made
    model.train()
    try:
        with pytest.raises(ModelError, match=r"is in training mode.*call model\.eval\(\)"):
            call(*made)
    finally:
        model.eval()
    assert len(store) == len(engine.IDS)
    assert not (folder / "other" / "manifest.json").exists()


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_a_part_in_training_mode_is_refused_until_the_model_is_in_evaluation_mode(made, part):
    model, _, ranker, _ = made
    expected = ranker.rank(engine.QUERY, engine.IDS).hits
    part(model).train()
    with pytest.raises(ModelError, match="training mode"):
        ranker.rank(engine.QUERY, engine.IDS)
    model.eval()
    assert ranker.rank(engine.QUERY, engine.IDS).hits == expected


def test_a_fresh_part_that_has_no_modes_is_not_refused(made):
    model, _, ranker, _ = made
    expected = ranker.rank(engine.QUERY, engine.IDS).hits
    model.head.spare = nn.Sequential(nn.Linear(2, 2), nn.Identity())
    try:
        assert model.head.spare.training and ranker.rank(engine.QUERY, engine.IDS).hits == expected
    finally:
        del model.head.spare


def test_retrieval_is_refused_too(tmp_path):
    model = engine.fresh_model("cosine")
    with build_store(model, TEXTS, tmp_path / "store") as store:
        retriever = Retriever(model, store)
        model.train()
        with pytest.raises(ModelError, match="training mode"):
            retriever.retrieve(engine.QUERY, 2)


def test_parts_that_replace_others_are_in_the_mode_of_their_model(tmp_path):
    engine.fresh_model("mice").save_pretrained(tmp_path / "checkpoint")
    model = load_model(tmp_path / "checkpoint", "dipair", query_max_length=24, doc_max_length=48)
    other = engine.fresh_model("cosine")
    for found in (model, other.with_head(Cosine(other.backbone, other.method))):
        assert not [name for name, part in found.named_modules() if part.training]
