"""Encoded bytes of some documents, copied out of the store: what lies between fetching and decoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Payloads(Sequence[bytes]):
    """Encoded bytes of one array of k documents, one after the other in one piece of memory.

    `data`: uint8 [total], writable; `offsets`: int64 [k + 1]; document i is `data[offsets[i]:offsets[i + 1]]`, and
    `self[i]` is a copy of that as bytes.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def join(cls, pieces: Sequence[bytes | memoryview]) -> Payloads:
        """Copy pieces of bytes into one. Cost: one copy, and a fraction of a microsecond a piece."""
        offsets = np.fromiter(accumulate(map(len, pieces), initial=0), np.int64, len(pieces) + 1)
        return cls(np.frombuffer(bytearray().join(pieces), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]  # no slices: nobody cuts a list of payloads
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def views(self) -> Iterable[memoryview]:
        """The same bytes without a copy, document by document."""
        view = self.data.data
        return (view[start:end] for start, end in pairwise(self.offsets.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """The k documents that were found, in the order in which they were asked for.

    `positions`: places in the ids asked for, int64 [k]; `ordinals`: places in the store, int64 [k];
    `rows`: tokens, int64 [k]; `payloads`: for each array the encoded bytes of k documents; `missing`: ids that are not
    there; `bytes_read`: payloads and the heads of their records.
    """

    ids: tuple[str, ...]
    positions: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    payloads: Mapping[str, Payloads]
    missing: tuple[str, ...]
    bytes_read: int

    def __len__(self) -> int:
        return len(self.ids)
