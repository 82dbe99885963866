import pytest
import torch

from lateint.compressors.dense import Dense
from lateint.errors import InputError

STATES = torch.randn(3, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("activation", "lowest"), [("tanh", -1.0), ("relu", 0.0), ("none", -float("inf"))])
def test_is_an_affine_map_with_an_activation(activation, lowest):
    torch.manual_seed(5)
    dense = Dense(16, width=4, activation=activation)
    with torch.inference_mode():
        plain = STATES @ dense.down.weight.T + dense.down.bias
        found = dense.compress(STATES)
    wanted = {"tanh": plain.tanh(), "relu": plain.clamp_min(0), "none": plain}[activation]
    assert torch.allclose(found, wanted, atol=1e-6) and found.min() >= lowest


def test_an_unknown_activation_is_refused():
    with pytest.raises(InputError, match="activation='sine'; expected one of tanh, relu, none"):
        Dense(16, activation="sine")
