"""Every part of every folder implements its contract, and the engine can rely on that without asking for attributes."""

import inspect

import pytest
import torch

from lateint.compressors.base import Compressor, Quantizer
from lateint.errors import InputError
from lateint.heads.base import Head, JointHead, QuantizedHead
from lateint.methods.presets import PRESETS
from lateint.methods.registry import find, names
from lateint.pools.base import Pool
from lateint.train.losses.base import Loss
from tests.support import engine

CONTRACTS = {"heads": Head, "compressors": Compressor, "pools": Pool, "train/losses": Loss}
PARTS = [(kind, name) for kind in CONTRACTS for name in names(kind)]
COMPRESSORS = names("compressors")


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_a_part_is_a_complete_subclass_of_its_contract(kind, name):
    part = find(kind, name)
    assert issubclass(part, CONTRACTS[kind]) and not inspect.isabstract(part)
    assert part.__module__ == f"lateint.{kind.replace('/', '.')}.{name}"


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_settings_are_keyword_only_with_defaults(kind, name):
    parameters = inspect.signature(find(kind, name)).parameters.values()
    context = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    expected = {
        "heads": ["backbone", "method", "compressor"],
        "compressors": ["states_width"],
        "pools": ["texts"],
        "train/losses": [],
    }
    assert context == expected[kind]
    settings = [p for p in parameters if p.name not in context]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in settings)


@pytest.mark.parametrize(("kind", "contract"), CONTRACTS.items())
def test_an_incomplete_part_cannot_be_made(kind, contract):
    incomplete = type("Incomplete", (contract,), {})
    assert inspect.isabstract(contract)
    with pytest.raises(TypeError, match="abstract"):
        incomplete()


@pytest.mark.parametrize("name", COMPRESSORS)
def test_optional_methods_of_a_compressor_are_there_where_it_says_so(name):
    part = find("compressors", name)
    made = part(8, width=4)
    assert (part.expand is not Compressor.expand) is part.expands
    if not part.expands:
        with pytest.raises(TypeError, match="check `expands` first"):
            made.expand(torch.zeros(1, 4))
    for matrix, shape in ((made.linear_down(), (4, 8)), (made.linear_up(), (8, 4))):
        assert matrix is None or tuple(matrix.shape) == shape
    assert not isinstance(made, Quantizer) or (made.code_bytes > 0 and part.linear_down(made) is not None)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_head_of_a_preset_answers_what_the_engine_asks(name):
    model = engine.model(name)
    head = model.head
    assert isinstance(head, Head) and head.backbone is model.backbone and head.compressor is model.compressor
    assert head.reads and set(head.reads) <= {"states", "vector", "token_ids"}
    assert head.vectors_only is (head.reads == ("vector",))
    assert head.stored_width is None or head.stored_width > 0
    assert set(head.stored_tensors()) <= set(head.state_dict())
    assert not any(key.startswith(("backbone", "compressor", "_")) for key in head.state_dict()), "they belong to the model"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_model_without_codecs_shares_its_weights(name):
    model = engine.model(name)
    plain = model.without_codecs()
    assert plain.method.codecs == () and model.method.codecs
    assert all(ours is theirs for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True))


def test_a_model_under_another_head_shares_its_weights_and_leaves_the_first_alone():
    model = engine.model("cosine")
    head = find("heads", "pair_features")(model.backbone, model.method)
    other = model.with_head(head)
    assert other.head is head and model.head is not head
    assert other.backbone is model.backbone and list(other.arrays) == list(model.arrays)


def test_capabilities_are_classes_and_not_attributes():
    kinds = {name: find("heads", name) for name in names("heads")}
    assert {name for name, part in kinds.items() if issubclass(part, JointHead)} == {"joint_layers"}
    assert {name for name, part in kinds.items() if issubclass(part, QuantizedHead)} == {"cosine", "evidence"}


def test_a_compressor_that_cannot_expand_is_refused_by_name():
    from dataclasses import replace

    from lateint.methods.presets import preset
    from lateint.methods.registry import part

    with pytest.raises(InputError, match="'dense' cannot map codes back to states"):
        engine.fresh_model(replace(preset("mice"), compressor=part("dense", width=8)))
