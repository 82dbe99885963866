"""Deltas: which tensors are kept, their size, and the error after loading."""

import pytest
import torch

from lateint.errors import DamagedCheckpoint, InputError
from lateint.loading.delta import CODES, changes, restored, save_delta
from lateint.loading.load import load_model
from lateint.model.int8 import STEP
from lateint.model.saving import TENSORS
from lateint.testing import tiny
from tests.support import students

BASE = {"a": torch.zeros(64, 80), "b": torch.arange(80.0), "same": torch.ones(64, 80)}


def state(scale=0.01):
    torch.manual_seed(0)
    return {
        "backbone.model.a": BASE["a"] + scale * torch.randn(64, 80), "backbone.model.b": BASE["b"] + 1,
        "backbone.model.same": BASE["same"], "query_backbone.model.same": BASE["same"] * 2, "head.weight": torch.ones(3, 3),
    }  # fmt: skip


@pytest.mark.parametrize("coded", [False, True])
def test_what_equals_the_base_is_left_out_and_the_rest_comes_back(coded):
    kept = changes(state(), BASE, coded=coded)
    assert not any(name.startswith("backbone.model.same") for name in kept) and "head.weight" in kept
    back = restored(kept, BASE)
    assert back.keys() == state().keys() - {"backbone.model.same"}
    for name, tensor in back.items():
        difference = (state()[name] - BASE.get(name.rpartition(".")[2], torch.zeros(()))).abs()
        bound = difference.amax(dim=-1, keepdim=True) / 254 * 1.001 if coded and tensor.numel() > 4096 else 0
        assert ((tensor - state()[name]).abs() <= bound + 1e-7 * bool(coded)).all(), name
    assert (kept["backbone.model.a" + CODES].dtype == torch.int8) if coded else ("backbone.model.a" in kept)


def test_a_row_that_did_not_change_stays_exactly_the_base():
    changed = state()
    changed["backbone.model.a"][7] = BASE["a"][7]
    back = restored(changes(changed, BASE, coded=True), BASE)
    assert torch.equal(back["backbone.model.a"][7], BASE["a"][7])


def test_a_large_matrix_outside_the_towers_is_coded_by_itself_and_a_small_one_is_not():
    torch.manual_seed(2)
    blocks = {"head.large": torch.randn(256, 256), "head.small": torch.randn(255, 256), "head.bias": torch.randn(1 << 16)}
    kept = changes(blocks, BASE, coded=True)
    assert set(kept) == {"head.large" + CODES, "head.large" + STEP, "head.small", "head.bias"}
    back = restored(kept, BASE)
    bound = blocks["head.large"].abs().amax(dim=1, keepdim=True) / 254 * 1.001
    assert ((back["head.large"] - blocks["head.large"]).abs() <= bound).all()
    assert torch.equal(back["head.small"], blocks["head.small"])
    assert set(changes(blocks, BASE, coded=False)) == set(blocks)


def test_codes_without_their_step_or_base_are_refused():
    kept = changes(state(), BASE, coded=True)
    with pytest.raises(KeyError):
        restored({name: tensor for name, tensor in kept.items() if not name.endswith(STEP)}, BASE)
    with pytest.raises(KeyError):
        restored({name: tensor for name, tensor in kept.items() if not name.endswith(CODES)}, BASE)
    with pytest.raises(KeyError):
        restored(kept, {"b": BASE["b"]})
    with pytest.raises(InputError, match=r"backbone\.model\.a holds numbers that are not finite"):
        changes(state(torch.inf), BASE, coded=True)


def trained():
    model = students.student("mores", depth=None)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


def test_a_coded_delta_loads_with_scores_close_to_the_model_and_takes_fewer_bytes(tmp_path):
    model, base = trained(), str(tiny.checkpoint("bert"))
    for name, dtype in (("float32", None), ("int8", torch.int8)):
        save_delta(model, tmp_path / name, base, dtype=dtype)
    exact, coded = load_model(tmp_path / "float32"), load_model(tmp_path / "int8")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, exact.state_dict()[name]), name
        # At most half a step of a change of about 0.04, or the float16 rounding of tensors that are not matrices.
        assert (tensor - coded.state_dict()[name]).abs().max() < 1e-3, name
    sizes = [(tmp_path / name / TENSORS).stat().st_size for name in ("float32", "int8")]
    assert sizes[1] < 0.62 * sizes[0]


def test_a_tower_of_the_query_that_was_not_trained_is_not_kept(tmp_path):
    model = students.student("mores", depth=None)
    save_delta(model, tmp_path, tiny.checkpoint("bert"))
    again = load_model(tmp_path)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    model.save_pretrained(tmp_path / "full")
    assert (tmp_path / TENSORS).stat().st_size < (tmp_path / "full" / TENSORS).stat().st_size


@pytest.mark.parametrize("odd", [lambda step: step * torch.nan, lambda step: step[:1]], ids=["nan", "one"])
def test_steps_that_are_not_finite_or_not_one_a_row_are_damaged(tmp_path, monkeypatch, odd):
    monkeypatch.setattr("lateint.loading.delta.changes", lambda *a, **k: {
        name: odd(t) if name.endswith(STEP) else t for name, t in changes(*a, **k).items()})  # fmt: skip
    save_delta(trained(), tmp_path, str(tiny.checkpoint("bert")), dtype=torch.int8)
    with pytest.raises(DamagedCheckpoint, match=r"\.step has steps \[\d+\], \d+ not finite"):
        load_model(tmp_path)


def test_a_delta_that_lost_a_step_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("lateint.loading.delta.changes", lambda *a, **k: {
        name: t for name, t in changes(*a, **k).items() if not name.endswith(STEP)})  # fmt: skip
    save_delta(trained(), tmp_path, str(tiny.checkpoint("bert")), dtype=torch.int8)
    with pytest.raises(DamagedCheckpoint, match="do not fit its base"):
        load_model(tmp_path)
