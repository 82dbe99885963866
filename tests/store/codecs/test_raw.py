import numpy as np

from lateint_store import ArraySpec, Pipeline, part


def test_raw_is_the_default_and_adds_no_byte():
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    for parts in ((), (part("raw"),)):
        pipeline = Pipeline(ArraySpec("float32", 2), parts)
        assert pipeline.encode(array) == array.astype("<f4").tobytes() and pipeline.lossless
        assert [chosen.name for chosen in pipeline.parts] == ["raw"]


def test_decoded_arrays_may_be_written_to():
    pipeline = Pipeline(ArraySpec("float32", 2))
    found = pipeline.decode(bytes(8), 1)
    found[0, 0] = 5
    assert found.tolist() == [[5.0, 0.0]]
