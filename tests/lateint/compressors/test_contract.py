"""What every compressor promises, whatever its form; found by the folder: names("compressors")."""

import inspect

import pytest
import torch

from lateint.errors import InputError
from lateint.methods.registry import build, find, names, part

STATES, SIDE = torch.randn(2, 2, 7, 16, generator=torch.Generator().manual_seed(3))


def make(name, width=4):
    torch.manual_seed(5)
    return build("compressors", part(name, width=width), 16)


@pytest.mark.parametrize("name", names("compressors"))
def test_codes_have_the_stated_width_and_a_row_depends_on_itself_alone(name):
    compressor = make(name)
    with torch.inference_mode():
        codes = compressor.compress(STATES, SIDE)
        assert codes.shape == (2, 7, 4) and compressor.width == 4
        alone = compressor.compress(STATES[1:, 3:4], SIDE[1:, 3:4])
        assert torch.allclose(codes[1:, 3:4], alone, atol=1e-6)


@pytest.mark.parametrize("name", names("compressors"))
def test_width_is_a_setting_with_a_default(name):
    parameter = inspect.signature(find("compressors", name)).parameters["width"]
    assert parameter.kind is parameter.KEYWORD_ONLY and parameter.default == {"aesi": 16, "aesi_linear": 16}.get(name, 128)


@pytest.mark.parametrize("width", [0, -1, True, 2.0, "wide", None])
@pytest.mark.parametrize("name", names("compressors"))
def test_a_width_that_is_no_positive_whole_number_is_refused(name, width):
    with pytest.raises(InputError, match=f"'{name}': width={width!r}; expected a whole number from 1 on"):
        make(name, width)


@pytest.mark.parametrize("name", names("compressors"))
def test_side_information_moves_codes_exactly_where_the_compressor_says_so(name):
    compressor = make(name)
    with torch.inference_mode():
        moved = not torch.equal(compressor.compress(STATES, SIDE), compressor.compress(STATES, torch.zeros_like(SIDE)))
    assert moved is compressor.needs_side


@pytest.mark.parametrize("name", [n for n in names("compressors") if find("compressors", n).expands])
def test_what_expands_gives_back_the_width_of_the_states(name):
    compressor = make(name)
    with torch.inference_mode():
        assert compressor.expand(compressor.compress(STATES, SIDE), SIDE).shape == STATES.shape


def test_a_projection_gives_unit_vectors_and_a_bottleneck_ends_in_a_norm():
    with torch.inference_mode():
        assert torch.allclose(make("projection").compress(STATES).norm(dim=-1), torch.ones(2, 7), atol=1e-6)
        bottleneck = make("bottleneck")
        back = bottleneck.expand(bottleneck.compress(STATES))
    assert torch.allclose(back.mean(dim=-1), torch.zeros(2, 7), atol=1e-5)
    assert torch.allclose(back.std(dim=-1, unbiased=False), torch.ones(2, 7), atol=1e-3)
    wanted = torch.nn.functional.gelu(STATES @ bottleneck.down.weight.T + bottleneck.down.bias)
    assert torch.allclose(bottleneck.compress(STATES), wanted, atol=1e-6)
