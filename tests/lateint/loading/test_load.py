"""Models that other tests get from copied weights are the models that are loaded from the checkpoint."""

import pytest
import torch

from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.model.digests import digest_tensors
from lateint.testing import tiny
from tests.support import engine


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("method", ["prettr", "mice", "cross_encoder"])
def test_a_copy_is_what_is_loaded_and_belongs_to_one_model(method, family):
    loaded = load_model(tiny.checkpoint(family), method=engine.lossless(preset(method)), **engine.LENGTHS)
    state, weights = loaded.state_dict(), digest_tensors(loaded.state_dict())
    changed = engine.fresh_model(method, family)
    assert digest_tensors(changed.state_dict()) == weights
    with torch.no_grad():
        for tensor in changed.parameters():
            tensor.add_(1)
    again = engine.fresh_model(method, family)
    assert digest_tensors(again.state_dict()) == weights != digest_tensors(changed.state_dict())
    assert [(name, t.requires_grad) for name, t in again.named_parameters()] == [
        (name, t.requires_grad) for name, t in loaded.named_parameters()
    ]
    assert list(again.state_dict()) == list(state) and again.training == loaded.training


def test_loading_leaves_all_random_numbers_as_they_are(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    torch.manual_seed(3)
    assert seeds == [3]
    before = torch.get_rng_state()
    engine.fresh_model("mice")
    load_model(tiny.checkpoint("bert"), method="prettr", **engine.LENGTHS).rebuild_head()
    assert torch.equal(torch.get_rng_state(), before) and seeds == [3]
