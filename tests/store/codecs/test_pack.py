import numpy as np
import pytest

from lateint_store import ArraySpec, Pipeline, parse_codecs, part
from lateint_store.errors import InputError, SpecError

TOKENS = ArraySpec("int64", None)


def pipeline(bits, spec=TOKENS):
    return Pipeline(spec, (part("pack", bits=bits),))


def test_bytes_by_hand():
    # 5, 1, 7 with 3 bits each, the first lowest: 111 001 101 = 0x1CD
    assert pipeline(3).encode(np.array([5, 1, 7])) == bytes([0xCD, 0x01])


@pytest.mark.parametrize("bits", [1, 5, 8, 15, 33, 63])
@pytest.mark.parametrize("rows", [0, 1, 7, 8, 77])
def test_a_document_takes_its_bits_rounded_up_to_a_byte(bits, rows):
    numbers = np.random.default_rng(rows).integers(0, 1 << bits, (rows, 3), np.int64 if bits < 63 else np.uint64)
    packed = pipeline(bits, ArraySpec(numbers.dtype.name, 3))
    encoded = packed.encode(numbers)
    assert len(encoded) == -(-rows * 3 * bits // 8) and packed.lossless
    np.testing.assert_array_equal(packed.decode(encoded, rows), numbers)


def test_token_ids_of_a_small_vocabulary_take_15_bits():
    ids = np.random.default_rng(0).integers(0, 30_522, 80)
    assert len(pipeline(15).encode(ids)) == 150
    with pytest.raises(InputError, match="does not fit in 14 bits"):
        pipeline(14).encode(ids)


@pytest.mark.parametrize("value", [-1, 8, 1 << 40])
def test_numbers_that_do_not_fit_are_refused_with_their_place(value):
    with pytest.raises(InputError, match=f"value {value} at row 1, column 0 does not fit in 3 bits"):
        pipeline(3).encode(np.array([7, value, 9]))


def test_64_bits_hold_every_uint64():
    numbers = np.array([0, (1 << 64) - 1, 1 << 63], np.uint64)
    packed = pipeline(64, ArraySpec("uint64", None))
    assert packed.encode(numbers) == numbers.astype("<u8").tobytes()
    np.testing.assert_array_equal(packed.decode(packed.encode(numbers), 3), numbers)


def test_it_stands_where_raw_would_behind_a_cast_and_before_zstd():
    packed = Pipeline(TOKENS, parse_codecs("a=cast:uint16+pack:15+zstd")["a"])
    ids = np.arange(300)
    assert packed.lossless and packed.decode(packed.encode(ids), 300).tolist() == ids.tolist()
    with pytest.raises(SpecError, match="out of order"):
        Pipeline(TOKENS, parse_codecs("a=pack:15+raw")["a"])


@pytest.mark.parametrize(
    ("spec", "bits", "match"),
    [
        (ArraySpec("float32", 4), 8, "needs integers, got float32"),
        (ArraySpec("uint8", 4), 9, "bits=9, but uint8 numbers end at 255"),
        (ArraySpec("int64", 4), 64, "bits=64, but int64 numbers end at"),
        (TOKENS, 0, "bits=0 is not one of 1 to 64"),
        (TOKENS, 65, "bits=65"),
        (TOKENS, True, "bits=True"),
    ],
)
def test_what_cannot_be_packed_is_refused_when_built(spec, bits, match):
    with pytest.raises(SpecError, match=match):
        pipeline(bits, spec)
