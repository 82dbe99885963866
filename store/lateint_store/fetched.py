"""Encoded bytes of some documents, copied out of the store: what lies between fetching and decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """The k documents that were found, in the order in which they were asked for.

    `positions`: places in the ids asked for, int64 [k]; `ordinals`: places in the store, int64 [k];
    `rows`: tokens, int64 [k]; `payloads`: for each array k encoded pieces of bytes; `missing`: ids that are not there;
    `bytes_read`: payloads and the heads of their records.
    """

    ids: tuple[str, ...]
    positions: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    payloads: Mapping[str, list[bytes]]
    missing: tuple[str, ...]
    bytes_read: int

    def __len__(self) -> int:
        return len(self.ids)
