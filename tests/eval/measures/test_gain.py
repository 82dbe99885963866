import math
import random

import pytest

from lateint_eval.measures.gain import gain, gain_interval
from lateint_store.errors import InputError

COSINE = {"dl19": 0.65, "squad": 0.70, "medquad": 0.61}
TEACHER = {"dl19": 0.66, "squad": 0.80, "medquad": 0.71}


def test_hand_worked_case_with_a_set_that_does_not_count():
    result = gain({"dl19": 0.10, "squad": 0.78, "medquad": 0.63}, COSINE, TEACHER)
    assert result.system_sum == pytest.approx(0.08 + 0.02) and result.teacher_sum == pytest.approx(0.2)
    assert result.value == pytest.approx(0.5)
    assert result.counted == ("squad", "medquad") and result.not_counted == ("dl19",)
    assert str(result) == ("gain 0.500 = +0.1000 / +0.2000 over squad, medquad; not counted (teacher - cosine < 0.02): dl19")


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


def per_query(seed, **means):
    """Return 200 values per set, spread around these means."""
    rng = random.Random(seed)
    return {name: {str(query): mean + rng.uniform(-0.2, 0.2) for query in range(200)} for name, mean in means.items()}


def test_the_interval_lies_about_the_gain_and_narrows_where_systems_err_alike():
    cosine = per_query(1, squad=0.7, dl19=0.65)
    teacher = {name: {query: value + 0.1 * (name == "squad") for query, value in own.items()} for name, own in cosine.items()}
    half = {name: {query: value + 0.05 for query, value in own.items()} for name, own in cosine.items()}
    assert gain_interval(half, cosine, teacher) == pytest.approx((0.5, 0.5))
    low, high = gain_interval(per_query(2, squad=0.75, dl19=0.1), cosine, teacher)
    assert low < 0.5 < high and 0.3 < high - low < 0.9
    assert gain_interval(teacher, cosine, teacher) == pytest.approx((1.0, 1.0))


def test_an_interval_over_other_queries_or_nothing():
    cosine, teacher = per_query(1, a=0.5), per_query(1, a=0.6)
    with pytest.raises(InputError, match="expected the same 200 queries"):
        gain_interval({"a": dict(list(cosine["a"].items())[:-1]) | {"other": 0.5}}, cosine, teacher)
    assert all(map(math.isnan, gain_interval(cosine, cosine, cosine)))
