import torch

from lateint.compressors.linear import Linear


def states(n=400, h=16):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, h, generator=generator) * torch.linspace(3, 0.1, h) + 1.0


def error(compressor, x):
    return float((compressor.expand(compressor.compress(x)) - x).detach().pow(2).mean())


def test_fit_keeps_more_than_a_random_map_and_everything_at_full_width():
    x = states()
    x = torch.nn.functional.normalize(x, dim=-1)
    torch.manual_seed(0)
    narrow, full = Linear(16, width=4), Linear(16, width=16)
    random = error(narrow, x)
    kept = narrow.fit_directions(x)
    assert error(narrow, x) < random / 2
    assert 0 < kept < 1 and abs(full.fit_directions(x) - 1) < 1e-6
    assert error(full, x) < 1e-10


def test_error_falls_with_width_and_equals_the_share_that_was_dropped():
    x = torch.nn.functional.normalize(states(), dim=-1)
    errors = []
    for width in (2, 4, 8, 12):
        compressor = Linear(16, width=width)
        kept = compressor.fit_directions(x)
        errors.append(error(compressor, x))
        assert abs(errors[-1] * 16 - (1 - kept)) < 1e-5  # unit rows: squared length lost = 1 - share kept
    assert errors == sorted(errors, reverse=True)


def test_more_numbers_than_the_states_have_keep_everything_and_the_rest_are_zero():
    x = states()
    wide = Linear(16, width=20)
    assert abs(wide.fit_directions(x) - 1) < 1e-6 and error(wide, x) < 1e-8
    assert (wide.compress(x)[:, 16:] == 0).all() and wide.compress(x)[:, :16].abs().min() > 0
