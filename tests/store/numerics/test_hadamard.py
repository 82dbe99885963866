import numpy as np
import pytest

from lateint_store.numerics.hadamard import hadamard, signs

SIZE = 128
ROOT = np.sqrt(SIZE)


def blocks(dtype=np.float64, count=20):
    return np.random.default_rng(0).standard_normal((SIZE, count)).astype(dtype)


def matrix(size):
    """The definition: entry (i, j) is -1 to the power of the number of bits that i and j share."""
    return np.array([[(-1) ** (row & column).bit_count() for column in range(size)] for row in range(size)])


@pytest.mark.parametrize("size", [1, 2, 8, 128])
def test_the_fast_transform_is_the_product_with_the_matrix(size):
    x = blocks()[:size]
    np.testing.assert_allclose(hadamard(x.copy()), matrix(size) @ x, atol=1e-12)


@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_twice_is_the_identity_and_lengths_stay(dtype, close):
    x = blocks(dtype)
    once = hadamard(x.copy()) / dtype(ROOT)
    np.testing.assert_allclose(hadamard(once.copy()) / dtype(ROOT), x, atol=close)
    np.testing.assert_allclose(np.linalg.norm(once, axis=0), np.linalg.norm(x, axis=0), rtol=1e-6)


def test_without_the_root_it_is_neither():
    x = blocks()
    once = hadamard(x.copy())
    assert not np.allclose(hadamard(once.copy()), x)
    assert not np.allclose(np.linalg.norm(once, axis=0), np.linalg.norm(x, axis=0), rtol=1e-2)


def test_columns_do_not_know_each_other():
    x = blocks(np.float32)
    together = hadamard(x.copy())
    for place in range(x.shape[1]):
        assert np.array_equal(hadamard(x[:, place : place + 1].copy())[:, 0], together[:, place])


def test_memory_of_any_order_and_no_columns():
    x = blocks()
    assert np.array_equal(hadamard(np.asfortranarray(x)), hadamard(x.copy()))
    assert hadamard(np.empty((SIZE, 0))).shape == (SIZE, 0)


def test_a_seed_gives_its_signs_again_and_another_seed_gives_others():
    first = signs(7, SIZE).copy()
    signs.cache_clear()
    assert np.array_equal(signs(7, SIZE), first) and set(first.tolist()) == {-1, 1}
    assert 30 < (signs(8, SIZE) != first).sum() < 98
    with pytest.raises(ValueError, match="read-only"):
        signs(7, SIZE)[0] = 0


def test_the_signs_of_seed_0_never_change():
    negative = np.packbits(signs(0, SIZE) < 0, bitorder="little").tobytes().hex()
    assert negative == "474787623854f079d6a17d57b6bbe40e"
