"""A model whose weights change under an open ranker no longer matches the stored arrays, unless they are the head's."""

from dataclasses import replace

import pytest
import torch
from torch.nn.utils import prune

from lateint.errors import ModelError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.methods.presets import preset
from lateint.methods.registry import part
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


def step_of_a_fused_optimizer(model):
    for parameter in model.backbone.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW(model.backbone.parameters(), lr=0.1, fused=True).step()


def assigned(model):
    model.load_state_dict({name: tensor + tensor for name, tensor in model.state_dict().items()}, assign=True)


def pruned(model):
    linear = next(part for part in model.backbone.layers[0].modules() if isinstance(part, torch.nn.Linear))
    prune.l1_unstructured(linear, "weight", amount=0.5)


def other_encoder(model):
    model.backbone = engine.shaken("colbert").backbone


def shorter(model):
    model.method = replace(model.method, document=replace(model.method.document, max_length=5))


WAYS = [step_of_a_fused_optimizer, assigned, pruned, other_encoder, shorter, torch.nn.Module.half]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("changed"), "colbert", documents=engine.DOCUMENTS[:3]) as store:
        yield store


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_changing_what_arrays_depend_on_is_noticed(made, way):
    model = engine.fresh_model("colbert")
    ranker = Ranker(model, made)
    ranker.rank(engine.QUERY, engine.IDS[:3])
    way(model)
    with pytest.raises(StoreMismatch, match="differ"):
        ranker.rank(engine.QUERY, engine.IDS[:3])


def test_weights_that_only_move_are_still_those_of_the_store(made):
    model = engine.fresh_model("colbert")
    ranker = Ranker(model, made)
    expected = ranker.rank(engine.QUERY, engine.IDS[:3]).hits
    model.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True)
    model.share_memory().to("cpu").requires_grad_(False)
    assert ranker.rank(engine.QUERY, engine.IDS[:3]).hits == expected


def test_weights_of_a_head_that_stored_arrays_pass_through_are_noticed(tmp_path):
    mores = preset("mores")
    head = part("cross_blocks", **(dict(mores.head.settings) | {"cache": "keys_values"}))
    model = engine.fresh_model(replace(mores, head=head))
    with build_store(model, engine.DOCUMENTS[:3], tmp_path / "store") as store:
        ranker = Ranker(model, store)
        change(model.head)
        with pytest.raises(StoreMismatch, match=r"states\.weights differ"):
            ranker.rank(engine.QUERY, engine.IDS[:3])


@pytest.mark.filterwarnings("ignore:torch.ao:DeprecationWarning", "ignore:torch.quantize:UserWarning")
def test_weights_that_torch_has_packed_are_refused(made, tmp_path):
    model = engine.fresh_model("colbert")
    ranker = Ranker(model, made)
    torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, inplace=True).eval()
    for call in (lambda: ranker.rank(engine.QUERY, engine.IDS[:3]), lambda: model.save_pretrained(tmp_path / "saved")):
        with pytest.raises(ModelError, match="is no tensor"):
            call()
