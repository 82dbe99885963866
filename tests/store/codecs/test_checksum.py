import numpy as np
import pytest

from lateint_store import ArraySpec, Pipeline, part
from lateint_store.errors import CodecError


def test_every_flipped_bit_is_noticed():
    pipeline = Pipeline(ArraySpec("uint8", 4), (part("checksum"),))
    encoded = pipeline.encode(np.arange(8, dtype=np.uint8).reshape(2, 4))
    assert len(encoded) == 12
    for place in range(len(encoded)):
        for bit in range(8):
            altered = bytearray(encoded)
            altered[place] ^= 1 << bit
            with pytest.raises(CodecError, match="where"):
                pipeline.decode(bytes(altered), 2)
