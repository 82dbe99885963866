import numpy as np
import pytest

from lateint_store import ArraySpec, Pipeline, part
from lateint_store.errors import InputError, SpecError


def test_floats_stay_narrow_and_integers_come_back_wide():
    assert Pipeline(ArraySpec("float32", 4), (part("cast", dtype="float16"),)).dtype_out == "float16"
    assert Pipeline(ArraySpec("int64", None), (part("cast", dtype="uint16"),)).dtype_out == "int64"


def test_overflow_to_infinity_is_refused_with_the_value():
    pipeline = Pipeline(ArraySpec("float32", 2), (part("cast", dtype="float16"),))
    with pytest.raises(InputError, match=r"value 65520.0 at row 1, column 0 does not fit in float16"):
        pipeline.encode(np.array([[1, 2], [65520, 0]], np.float32))
    assert pipeline.decode(pipeline.encode(np.array([[65519, -65504]], np.float32)), 1).tolist() == [[65504, -65504]]


@pytest.mark.parametrize("value", [-1, 65_536, 1 << 40])
def test_integers_that_would_wrap_are_refused(value):
    with pytest.raises(InputError, match=f"value {value} at row 0"):
        Pipeline(ArraySpec("int64", None), (part("cast", dtype="uint16"),)).encode(np.array([value]))


def test_signs_do_not_wrap_either():
    with pytest.raises(InputError):
        Pipeline(ArraySpec("uint64", None), (part("cast", dtype="int64"),)).encode(np.array([1 << 63], np.uint64))


@pytest.mark.parametrize(("given", "wanted"), [("float32", "int8"), ("int64", "float16")])
def test_floats_and_integers_stay_apart(given, wanted):
    with pytest.raises(SpecError, match=f"does not turn {given} into {wanted}"):
        Pipeline(ArraySpec(given, 4), (part("cast", dtype=wanted),))
