"""What keys and bytes of cached states depend on: a model's fingerprint, its codecs, and the text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lateint.errors import InputError
from lateint.indexing.codecs import pipelines
from lateint.indexing.fingerprint import fingerprint
from lateint.indexing.model_match import watch_stored
from lateint.model.changes import Watched
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint.serving.cache_records import CachedRecords
from lateint_store import Pipeline
from lateint_store.arguments import shown
from lateint_store.errors import CodecError
from lateint_store.format.block import BlockFormat, EncodedDocument
from lateint_store.ragged import Ragged
from lateint_store.spec import Array

KEY_BYTES = 24  # of a text's key: nobody finds two texts with one key

States = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class CacheBinding:
    """What the keys and bytes of one model's states depend on: a digest of everything, and the pipeline of each array."""

    secret: bytes
    through: Mapping[str, Pipeline]
    format: BlockFormat
    parts: Watched

    @classmethod
    def of(cls, model: Model, through: Mapping[str, Pipeline] | None) -> CacheBinding:
        """Compute the state fingerprint, as stores record it. Cost: hashes the weights, about 1 GB/s."""
        parts = watch_stored(model)  # before the digest: what changes during it is noticed by the next call
        chosen = pipelines(model) if through is None else through
        if lacking := sorted(set(model.arrays) - set(chosen)):
            raise InputError(
                f"through has no pipeline for array {lacking[0]!r} of {model.name}; expected all of {model.arrays}"
            )
        own = {name: chosen[name] for name in sorted(model.arrays)}
        codecs = {name: pipeline.to_json() for name, pipeline in own.items()}
        secret = bytes.fromhex(digest_json({"fingerprint": fingerprint(model), "codecs": codecs}))
        return cls(secret, own, BlockFormat(secret, len(own)), parts)

    def keys(self, texts: Sequence[str]) -> list[bytes]:
        """The key of each text. Raises: InputError for a text that UTF-8 cannot encode."""
        blake2b, secret, size = hashlib.blake2b, self.secret, KEY_BYTES
        try:
            return [blake2b(text.encode(), key=secret, digest_size=size).digest() for text in texts]
        except UnicodeEncodeError as error:
            raise InputError(f"text {error.object[:60]!r} holds a lone surrogate, which no tokenizer reads") from error

    def encoded(self, keys: Sequence[bytes], states: Sequence[States]) -> list[EncodedDocument]:
        """Encode states as a store would. Raises: InputError for arrays that the codecs do not take."""
        for index, entry in enumerate(states):
            if not isinstance(entry, Mapping) or set(entry) != set(self.through):
                raise InputError(f"states[{index}] is {shown(entry)}; expected arrays {', '.join(self.through)}, by name")
        by_token = [name for name, pipeline in self.through.items() if pipeline.spec.rows == "tokens"]
        rows = [len(entry[by_token[0]]) if by_token else 0 for entry in states]
        columns = [
            [pipeline.pack(data) for data in pipeline.array_bytes([entry[name] for entry in states])]
            for name, pipeline in self.through.items()
        ]
        payloads = zip(*columns, strict=True)
        return [EncodedDocument(*document, b"") for document in zip(keys, rows, payloads, strict=True)]

    def decoded(self, raw: CachedRecords) -> tuple[list[tuple[int, dict[str, Array]]], list[int]]:
        """Decode records: positions with their arrays, and the positions of those that no codec of this model wrote."""
        positions: list[int] = raw.positions.tolist()
        try:
            arrays = self._decoded(raw, range(len(positions)))
            entries = zip(*arrays.values(), strict=True)
            return [(at, dict(zip(arrays, entry, strict=True))) for at, entry in zip(positions, entries, strict=True)], []
        except CodecError:
            return self._decoded_singly(raw, positions)

    def _decoded_singly(
        self, raw: CachedRecords, positions: Sequence[int]
    ) -> tuple[list[tuple[int, dict[str, Array]]], list[int]]:
        sound, damaged = [], []
        for index, position in enumerate(positions):
            try:
                sound.append((position, {name: array[0] for name, array in self._decoded(raw, (index,)).items()}))
            except CodecError:
                damaged.append(position)
        return sound, damaged

    def _decoded(self, raw: CachedRecords, indices: Sequence[int]) -> dict[str, Ragged]:
        """Decode the records at these indices: for each array, one contiguous block. Raises: CodecError."""
        if len(indices) == len(raw.positions):
            return {name: pipeline.decode_many(raw.payloads[name], raw.rows) for name, pipeline in self.through.items()}
        rows = raw.rows[list(indices)]
        return {
            name: pipeline.decode_many([raw.payloads[name][index] for index in indices], rows)
            for name, pipeline in self.through.items()
        }
