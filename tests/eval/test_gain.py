import math

import pytest

from lateint_eval.gain import gain
from lateint_store.errors import InputError

COSINE = {"dl19": 0.65, "squad": 0.70, "medquad": 0.61}
TEACHER = {"dl19": 0.66, "squad": 0.80, "medquad": 0.71}


def test_hand_worked_case_with_a_set_that_does_not_count():
    result = gain({"dl19": 0.10, "squad": 0.78, "medquad": 0.63}, COSINE, TEACHER)
    assert result.system_sum == pytest.approx(0.08 + 0.02) and result.teacher_sum == pytest.approx(0.2)
    assert result.value == pytest.approx(0.5)
    assert result.counted == ("squad", "medquad") and result.not_counted == ("dl19",)
    assert str(result) == (
        "gain 0.500 = +0.1000 / +0.2000 over squad, medquad; not counted (teacher - cosine < 0.02): dl19"
    )


def test_teacher_has_gain_one_and_cosine_zero_and_worse_is_negative():
    assert gain(TEACHER, COSINE, TEACHER).value == pytest.approx(1.0)
    assert gain(COSINE, COSINE, TEACHER).value == 0.0
    assert gain(dict.fromkeys(COSINE, 0.5), COSINE, TEACHER).value < 0


def test_a_margin_of_two_hundredths_counts():
    assert gain({"a": 0.41}, {"a": 0.40}, {"a": 0.42}).counted == ("a",)
    assert gain({"a": 0.41}, {"a": 0.40}, {"a": 0.4199}).counted == ()


def test_without_a_counted_set_there_is_no_value():
    result = gain({"a": 0.7}, {"a": 0.7}, {"a": 0.6})
    assert math.isnan(result.value)
    assert str(result) == "gain not defined: no set counts; not counted (teacher - cosine < 0.02): a"


def test_different_sets_and_nan_are_refused():
    with pytest.raises(InputError, match="different sets"):
        gain({"a": 0.1}, {"b": 0.1}, {"a": 0.1})
    with pytest.raises(InputError, match="'a': a value is not finite"):
        gain({"a": math.nan}, {"a": 0.1}, {"a": 0.1})
