"""A `Model`: a backbone, a method, and the parts that the method names."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lateint.backbone.base import Backbone, check_positions
from lateint.backbone.layer import Rows
from lateint.errors import InputError
from lateint.method import Method
from lateint.parts import build, find
from lateint.split import Candidates, Query, document_start, lower
from lateint.tokens import TextEncoder

PRIVATE_SEED = 20_040_714  # fresh parameters start from here, in every process alike


@dataclass(frozen=True, slots=True)
class Document:
    """A text to rank, with its id; a title is put before the text with one space."""

    id: str
    text: str
    title: str = ""

    @property
    def full_text(self) -> str:
        """What the encoder reads."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


class Model(nn.Module):
    """Everything that turns texts into stored arrays, and a query with stored arrays into scores.

    `method` is resolved: depths are numbers and segments are set. `name` is what messages call this model.
    `checkpoint`: the name alone stands for method and weights (a lateint checkpoint), nothing else has to be said.
    """

    checkpoint = False

    def __init__(self, backbone: Backbone, texts: TextEncoder, method: Method, name: str) -> None:
        super().__init__()
        self.name, self.texts = name, texts
        self.method = _settle(method, backbone, texts)
        self.backbone = backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(PRIVATE_SEED)
            self.query_backbone = copy.deepcopy(backbone) if method.towers == "copied" else None
            self.compressor: Any = None
            if method.compressor is not None:
                self.compressor = build("compressors", method.compressor, backbone.width)
        self.head: Any = None
        self.rebuild_head()
        self.pool = build("pools", method.pool, texts)
        self.vector_pool = None if method.vector is None else build("pools", method.vector, texts)
        self.eval()

    def rebuild_head(self) -> None:
        """Make the head anew from the backbone's layers and the compressor's maps, as they are now."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(PRIVATE_SEED)
            self.head = build("heads", self.method.head, self.backbone, self.method, self.compressor)
        self.head.to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays that a document's entry holds."""
        reads = tuple(self.head.reads)
        return reads if self.vector_pool is None or "vector" in reads else (*reads, "vector")

    def width(self, array: str) -> int | None:
        """Numbers a row of a stored array; None where a row is one number."""
        if array == "token_ids":
            return None
        return self.compressor.width if array == "states" and self.compressor is not None else self.backbone.width

    @torch.inference_mode()
    def query(self, text: str) -> Query:
        """Run the query's own part, once a query.

        Raises: InputError for a query without a single token.
        Cost: (query layers)·(12·q·h² + 2·q²·h), all T layers if the method has vectors.
        """
        return self.query_from_tokens(self.query_tokens(text))

    def query_tokens(self, text: str) -> list[int]:
        """Token ids of a query in its layout. Raises: InputError if there is nothing in it."""
        tokens = self.texts.tokens([text], self.method.query)[0]
        bare = self.texts.tokens([""], self.method.query)[0]
        if tokens == bare:
            raise InputError(f"query {text[:60]!r} holds no token; expected at least one word")
        return tokens

    def query_from_tokens(self, tokens: Sequence[int]) -> Query:
        """The query's part from token ids; differentiable where the caller allows it."""
        method = self.method
        block = _to(self.texts.block([tokens], method.query), self.device)
        tower = self.query_backbone or self.backbone
        rows = lower(tower, block, method.query_depth)
        vector = None
        if self.vector_pool is not None:
            below = rows if self.query_backbone is None else lower(self.backbone, block, method.query_depth)
            vector = self._vectors(below, method.query_depth, block.ids)[0]
        if method.query_depth == len(tower.layers):
            rows = rows.with_states(tower.final(rows.states))
        return Query(rows, self.texts.words(len(tokens), method.query).to(self.device), vector)

    def document_tokens(self, documents: Sequence[Document]) -> list[list[int]]:
        """Token ids of each document in its layout."""
        return self.texts.tokens([document.full_text for document in documents], self.method.document)

    def encode(self, rows: Sequence[Sequence[int]]) -> list[dict[str, NDArray[Any]]]:
        """Token rows of n documents -> their arrays: states [m, c], vector [h] float32, token_ids [m] int64.

        One padded batch; pads are not stored. Cost: L·(12·t·h² + 2·t²·h) a document, T layers if there are vectors.
        """
        with torch.inference_mode():
            tensors = self.encode_batch(rows)
        entries: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
        for name, (values, mask) in tensors.items():
            host = (values.float() if values.is_floating_point() else values).cpu().numpy()  # numpy has no bfloat16
            kept = None if mask is None else mask.cpu().numpy()
            for i, entry in enumerate(entries):
                one = host[i] if kept is None or name == "vector" else host[i][kept[i]]
                entry[name] = np.ascontiguousarray(one)
        return entries

    def encode_batch(self, rows: Sequence[Sequence[int]]) -> dict[str, tuple[Tensor, Tensor | None]]:
        """The arrays of one padded batch as tensors [n, m, ...] with their masks; differentiable."""
        method = self.method
        start = document_start(method.document, method.query, 0)
        block = _to(self.texts.block(rows, method.document, start), self.device)
        if "token_ids" in self.arrays:
            return {"token_ids": (block.ids, block.mask)}
        below = lower(self.backbone, block, method.depth)
        out: dict[str, tuple[Tensor, Tensor | None]] = {}
        if "states" in self.arrays:
            states = below
            if method.depth == len(self.backbone.layers):
                states = below.with_states(self.backbone.final(below.states))
            kept = self.pool(states, block.ids)
            codes = kept.states if self.compressor is None else self.compressor.compress(kept.states)
            out["states"] = (codes, kept.mask)
        if "vector" in self.arrays:
            out["vector"] = (self._vectors(below, method.depth, block.ids), None)
        return out

    def _vectors(self, below: Rows, depth: int, ids: Tensor) -> Tensor:
        """The base model's own vectors [n, h]: the remaining layers, then the pool."""
        top = self.backbone.run(below, depth, len(self.backbone.layers))
        top = top.with_states(self.backbone.final(top.states))
        assert self.vector_pool is not None
        vectors: Tensor = self.vector_pool(top, ids).states[:, 0]
        return vectors

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates against one query; a head takes stored codes as they are."""
        scores: Tensor = self.head.score(query, docs)
        return scores

    def save_pretrained(self, folder: str) -> None:
        """Write a checkpoint: the backbone as transformers writes it, `lateint.json`, and our own tensors beside it."""
        from lateint.checkpoint import save

        save(self, folder)


def _settle(method: Method, backbone: Backbone, texts: TextEncoder) -> Method:
    """Depths as numbers, segments as the tokenizer has them, and a check that the text fits the encoder's positions."""
    method = method.resolve(len(backbone.layers))
    for side in ("document", "query"):
        layout = getattr(method, side)
        segment = texts.segment(layout) if backbone.segments else 0
        method = replace(method, **{side: replace(layout, segment=segment)})
    if not backbone.rotary:
        start = document_start(method.document, method.query, method.query.max_length)
        check_positions(backbone, start + method.document.max_length)
    find("heads", method.head.name)
    return method


def _to(block: Any, device: torch.device) -> Any:
    if device.type == "cpu":
        return block
    mask = None if block.mask is None else block.mask.to(device)
    moved = {name: getattr(block, name).to(device) for name in ("ids", "segments", "positions")}
    return replace(block, **moved, mask=mask)
