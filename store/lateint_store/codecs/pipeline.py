"""`Pipeline`: the codecs of one named array, in order, checked once when it is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lateint_store.arguments import as_list, check_kind
from lateint_store.codecs.codec import ArrayCodec, Bound, Buffer, BytesCodec, Codec, LayoutCodec, codec_part, make_codec
from lateint_store.errors import CodecError, InputError, SpecError
from lateint_store.part import Part, part
from lateint_store.ragged import Payloads, Ragged
from lateint_store.spec import Array, ArraySpec

RowCounts = Sequence[int] | npt.NDArray[np.int64]

_ORDER = ("array", "layout", "bytes")


@dataclass(frozen=True)
class Pipeline:
    """Encodes one array of an entry to bytes and back: array codecs, one layout (default `raw`), byte codecs.

    `parts` names the codecs in encode order. After construction it holds every setting, defaults included.
    Raises: SpecError if a codec is unknown, out of order, or cannot take the output of the codec before it.
    """

    spec: ArraySpec
    parts: tuple[Part, ...] = ()
    _array: tuple[ArrayCodec, ...] = field(init=False, repr=False, compare=False)
    _layout: LayoutCodec = field(init=False, repr=False, compare=False)
    _bytes: tuple[BytesCodec, ...] = field(init=False, repr=False, compare=False)
    _specs: tuple[ArraySpec, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_kind(self.spec, "spec", ArraySpec, "an ArraySpec")
        codecs = _with_layout([make_codec(chosen) for chosen in as_list(self.parts, "parts", "parts")])
        kinds = [_ORDER.index(codec.kind) for codec in codecs]
        if kinds != sorted(kinds) or kinds.count(1) != 1:
            raise SpecError(
                f"codecs {' + '.join(codec.name for codec in codecs)} are out of order: first array codecs, "
                "then at most one layout, then byte codecs"
            )
        arrays = cast(tuple[ArrayCodec, ...], tuple(codec for codec in codecs if codec.kind == "array"))
        specs = tuple(accumulate(arrays, lambda spec, codec: codec.resolve(spec), initial=self.spec))
        layout = cast(LayoutCodec, codecs[kinds.index(1)])
        layout.resolve(specs[-1])
        object.__setattr__(self, "parts", tuple(codec_part(codec) for codec in codecs))
        object.__setattr__(self, "_array", arrays)
        object.__setattr__(self, "_layout", layout)
        object.__setattr__(self, "_bytes", tuple(codec for codec in codecs if codec.kind == "bytes"))
        object.__setattr__(self, "_specs", specs)

    @property
    def lossless(self) -> bool:
        """True if every array decodes to equal numbers."""
        steps: tuple[ArrayCodec | LayoutCodec, ...] = (*self._array, self._layout)
        return all(codec.lossless(spec) for codec, spec in zip(steps, self._specs, strict=True))

    @property
    def coding(self) -> tuple[Part, ...]:
        """The codecs that determine the decoded numbers: all but the byte codecs, with all settings."""
        return self.parts[: len(self._array) + 1]

    @property
    def coded_spec(self) -> ArraySpec:
        """Spec of the array codecs' output, which the layout takes. For `int8` and `int4`: uint8, codes and scale of a row."""
        return self._specs[-1]

    @property
    def spec_out(self) -> ArraySpec:
        """Spec of decoded arrays: `spec`, except that floats stay in the dtype of a `cast`."""
        spec = self._specs[-1]
        for codec, before in zip(reversed(self._array), reversed(self._specs[:-1]), strict=True):
            spec = codec.decoded(before)
        return spec

    @property
    def dtype_out(self) -> str:
        """Dtype of decoded arrays."""
        return self.spec_out.dtype

    def bound(self, array: Array) -> Bound:
        """Largest possible error of each row of `array`: the sum of the codecs' bounds, float64 [r, 1]."""
        matrix = self.spec.as_matrix(array)
        total: Bound = np.zeros((len(matrix), 1))
        for codec in self._array:
            total = total + codec.bound(matrix)
            matrix = codec.encode(matrix)
        return total + self._layout.bound(matrix)

    def encode(self, array: Array) -> bytes:
        """Encode one array. Raises: InputError for a wrong dtype or shape, or a value that does not fit."""
        return self.pack(self.array_bytes([array])[0])

    def array_bytes(self, arrays: Sequence[Array]) -> list[bytes]:
        """Apply array codecs and layout to many documents. Content digests are computed over these bytes.

        Raises: InputError as `encode`; the message names the codec.
        """
        matrices = [self.spec.as_matrix(array) for array in arrays]
        if not matrices:
            return []
        coded = np.concatenate(matrices)
        for chosen, codec in zip(self.parts, self._array, strict=False):
            try:
                coded = codec.encode(coded)
            except InputError as error:
                raise InputError(f"codec {chosen}: {error}; choose a codec with a wider range") from error
        ends = list(accumulate(len(matrix) for matrix in matrices))
        return [self._layout.encode(coded[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def pack(self, data: bytes) -> bytes:
        """Apply the byte codecs to one document."""
        for codec in self._bytes:
            data = codec.encode(data)
        return data

    def unpack(self, data: Buffer, rows: int) -> Buffer:
        """Undo `pack`: exactly the bytes of `rows` rows, and never more memory than that. Raises: CodecError."""
        size = self._layout.nbytes(self._specs[-1], 1 if self.spec.rows == "one" else rows)
        if self._bytes:
            limits = list(accumulate(self._bytes, lambda limit, codec: codec.encoded_limit(limit), initial=size))
            if len(data) > limits[-1]:
                raise CodecError(f"{len(data)} encoded bytes, at most {limits[-1]} expected for {rows} rows")
            for codec, limit in zip(reversed(self._bytes), reversed(limits[:-1]), strict=True):
                data = codec.decode(data, limit)
        if len(data) != size:
            raise CodecError(f"{len(data)} bytes where {rows} rows take {size}")
        return data

    def decode(self, data: Buffer, rows: int) -> Array:
        """Decode one array of a document of `rows` rows, in the shape of `ArraySpec.shape`. Raises: CodecError."""
        return self.decode_many([data], [rows])[0]

    def decode_many(self, payloads: Sequence[Buffer], rows: RowCounts) -> Ragged:
        """Decode many documents, `rows` of each, into one contiguous array. For `raw` it may share memory with `Payloads`.

        Cost: nothing per document for `raw` without byte codecs; array codecs run once over all rows. Raises: CodecError.
        """
        return self._decoded(self.coded_rows(payloads, rows))

    def coded_rows(self, payloads: Sequence[Buffer], rows: RowCounts) -> Ragged:
        """Undo byte codecs and layout only: the rows of many documents in `coded_spec`, for kernels that read codes.

        For `int8` and `int4`: uint8 [sum(rows), bytes per row], the codes, then the scale, which is not validated yet.
        Memory, cost and errors as `decode_many`, without the array codecs.
        """
        return self._coded(self._unpacked(payloads, rows) if self._bytes else payloads, rows)

    def restore(self, unpacked: Sequence[Buffer], rows: RowCounts) -> Ragged:
        """Undo `array_bytes`: decode documents without byte codecs. Raises: CodecError."""
        return self._decoded(self._coded(unpacked, rows))

    def _unpacked(self, payloads: Sequence[Buffer], rows: RowCounts) -> list[Buffer]:
        pieces = payloads.views() if isinstance(payloads, Payloads) else payloads
        return [self.unpack(data, int(count)) for data, count in zip(pieces, rows, strict=True)]

    def _coded(self, unpacked: Sequence[Buffer], rows: RowCounts) -> Ragged:
        """Compare every size, then undo the layout. Raises: CodecError."""
        joined = unpacked if isinstance(unpacked, Payloads) else Payloads.join(unpacked)
        counts = np.ones(len(joined), np.int64) if self.spec.rows == "one" else np.asarray(rows, np.int64)
        if len(joined) != len(counts):
            raise CodecError(f"{len(joined)} documents, but row counts of {len(counts)}")
        found, sizes = np.diff(joined.offsets), self._layout.nbytes(self.coded_spec, counts)
        if (found != sizes).any():
            first = int(np.argmax(found != sizes))
            raise CodecError(f"{found[first]} bytes where {counts[first]} rows take {sizes[first]}")
        matrix = self._layout.decode(joined.data, self.coded_spec, counts)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return Ragged(matrix[:, 0] if self.coded_spec.width is None else matrix, offsets, self.coded_spec)

    def _decoded(self, coded: Ragged) -> Ragged:
        """Undo the array codecs. Raises: CodecError for impossible codes."""
        matrix = coded.values.reshape(-1, self.coded_spec.columns)
        for codec, spec in zip(reversed(self._array), reversed(self._specs[:-1]), strict=True):
            matrix = codec.decode(matrix, spec)
        return Ragged(matrix[:, 0] if self.spec.width is None else matrix, coded.offsets, self.spec_out)

    def to_json(self) -> dict[str, Any]:
        """The form stored in a manifest."""
        return {"spec": self.spec.to_json(), "codecs": [chosen.to_json() for chosen in self.parts]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Pipeline:
        """The inverse of `to_json`."""
        if not isinstance(data, dict) or set(data) != {"spec", "codecs"} or not isinstance(data["codecs"], list):
            raise SpecError(f"not a pipeline: {data!r}; expected spec and codecs")
        return cls(ArraySpec.from_json(data["spec"]), tuple(Part.from_json(chosen) for chosen in data["codecs"]))


def _with_layout(codecs: list[Codec]) -> list[Codec]:
    """Insert `raw` before the first byte codec if there is no layout."""
    if any(codec.kind == "layout" for codec in codecs):
        return codecs
    first = next((index for index, codec in enumerate(codecs) if codec.kind == "bytes"), len(codecs))
    return [*codecs[:first], make_codec(part("raw")), *codecs[first:]]
