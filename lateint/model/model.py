"""A `Model`: a backbone, a method, and the parts that the method names."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import TokenStates
from lateint.backbone.reduced import Precision
from lateint.backbone.seeding import seeded
from lateint.backbone.split import document_start, states_after
from lateint.backbone.tokenizer import TextEncoder, TokenBatch, TokenisedTexts
from lateint.compressors._vector import build_vector_map, vector_width
from lateint.compressors.base import Compressor, Quantizer
from lateint.errors import InputError, ModelError
from lateint.heads.base import Head, TokenShares
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method
from lateint.methods.registry import build
from lateint.model.activation import IDENTITY, Sigmoid
from lateint.model.document import Document
from lateint.model.resolve import check_context, check_side, check_vector, resolve
from lateint.model.saving import save
from lateint.model.threads import one_thread
from lateint.model.towers import Towers, document_precision, query_precision
from lateint.pools.base import Pool
from lateint_store.arguments import check_kind, check_text

PRIVATE_SEED = 20_040_714  # fresh parameters are drawn from this seed, so they are equal in every process
QUERIES_AT_ONCE = 128
_SHORT = 64  # tokens of a query that runs on one torch thread


_WITHOUT_MODES = {  # these compute the same in both modes, and a fresh one, put into a model, is in training mode
    nn.ModuleList, nn.ModuleDict, nn.Sequential, nn.Identity, nn.Linear, nn.Embedding, nn.LayerNorm, nn.GELU, nn.ReLU, nn.Tanh,
}  # fmt: skip


class CompressorInput(NamedTuple):
    """What a compressor reads of n documents: rows of states [n, m, h] after L layers and the pool; side [n, m, h], its side
    information, None if it takes none; vectors [n, w], None if it reads none.
    """

    rows: TokenStates
    side: Tensor | None
    vectors: Tensor | None


class Model(nn.Module):
    """Turns texts into stored arrays, and a query with stored arrays into scores.

    `method` is resolved: depths are numbers and segments are set. `name` is the model's name in messages.
    `checkpoint` is True if the name alone determines method and weights (a lateint checkpoint).
    `activation` is what `Ranker.predict` applies to logits: "identity", "sigmoid", or a `Sigmoid` with scale and shift;
    checkpoints keep it.
    `carried` names the parts and weights that were taken, trained, from a checkpoint of another method, see
    `loading/transfer.py`.
    `precision` is what the layers of the towers compute in; "auto" is the fastest for queries, and float32 for documents.
    `threads` are torch's where a caller asked for a number; None lets short work run on one, see `model/threads.py`.
    """

    checkpoint = False
    activation: str | Sigmoid = IDENTITY
    carried: frozenset[str] = frozenset()
    precision: Precision | Literal["auto"] = "auto"
    threads: int | None = None

    def __init__(self, backbone: Backbone, texts: TextEncoder, method: Method, name: str) -> None:
        super().__init__()
        self.name, self.texts, self._towers = name, texts, Towers()
        self.method = resolve(method, backbone, texts)
        self.backbone = backbone
        with seeded(PRIVATE_SEED):
            self.query_backbone = None if method.towers == "shared" else copy.deepcopy(backbone)
            self.compressor: Compressor | None = None
            if method.compressor is not None:
                self.compressor = build("compressors", method.compressor, backbone.width)
            self.vector_map = build_vector_map(self.method, backbone.width)
        self.pool: Pool = build("pools", method.pool, texts)
        self.pool.check(self.method.document, 1)
        self.vector_pool: Pool | None = None if method.vector is None else build("pools", method.vector, texts)
        if self.vector_pool is not None:
            self.vector_pool.check(self.method.document, self.method.vector_depth)
        self.head: Head
        self.rebuild_head()
        check_side(self.method, self.compressor, self.head)
        check_vector(self.method, self.head)
        check_context(self.method, self.compressor, self.head, self.width("vector") if self.vector_pool is not None else None)
        self.eval()

    def rebuild_head(self) -> None:
        """Build the head again from the current layers of the backbone and the current maps of the compressor."""
        with seeded(PRIVATE_SEED):
            self.head = build("heads", self.method.head, self.backbone, self.method, self.compressor)
        self.head.to(self.device).train(self.training)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def query_precision(self) -> Precision:
        """What the layers of a query compute in. Float32 stands for the dtype of the weights."""
        return query_precision(self.precision, self.backbone)

    @property
    def document_precision(self) -> Precision:
        """What the layers of a document compute in; bfloat16 only if it was asked for, and never int8: what is stored lasts."""
        return document_precision(self.precision, self.backbone)

    def _tower(self, backbone: Backbone, precision: Precision, depth: int) -> Backbone:
        """Return an encoder in a precision; as it is where gradients are wanted."""
        return backbone if torch.is_grad_enabled() else self._towers.get(backbone, precision, depth)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the arrays in a document's entry."""
        reads = self.head.reads
        return reads if self.vector_pool is None or "vector" in reads else (*reads, "vector")

    def width(self, array: str) -> int | None:
        """Return the numbers per row of a stored array; None if a row is a single number."""
        if array == "token_ids":
            return None
        if array == "vector":
            return vector_width(self.method, self.backbone.width)
        if self.quantizer is not None:
            return self.quantizer.code_bytes
        return self.head.stored_width or (self.compressor or self.backbone).width

    @property
    def quantizer(self) -> Quantizer | None:
        """The compressor if it is a quantiser whose bytes are stored; None otherwise."""
        stores_codes = self.head.stored_width is None
        return self.compressor if isinstance(self.compressor, Quantizer) and stores_codes else None

    @property
    def vector_depths(self) -> range:
        """The depths whose states the vector pool reads."""
        last = self.method.vector_depth
        return range(0) if self.vector_pool is None else range(last - self.vector_pool.layers + 1, last + 1)

    def _check_mode(self) -> None:
        """Raises: ModelError if any part is in training mode: dropout would change each result at random."""
        parts: list[nn.Module | None] = [self]  # a walk of its own: `modules` takes four times as long
        while parts and not any(part is not None and part.training and type(part) not in _WITHOUT_MODES for part in parts):
            parts = [below for part in parts if part is not None for below in part._modules.values()]
        if parts:
            raise ModelError(f"{self.name} is in training mode, where dropout changes each result at random; call model.eval()")

    @torch.inference_mode()
    def query(self, text: str) -> Query:
        """Run the query's own layers, once per query.

        Raises: InputError for a query without a single token; ModelError in training mode.
        Cost: D·(12·q·h² + 2·q²·h) multiply-adds, with D the query layers, or the depth of the vector if that is larger.
        """
        self._check_mode()
        tokens, cut = self._tokenise_query(text)
        with one_thread(self.threads is None and len(tokens) <= _SHORT):
            return replace(self.query_from_tokens(tokens), cut=cut)

    def query_tokens(self, text: str) -> list[int]:
        """Tokenise a query in its layout. Raises: InputError if it has no token of its own."""
        return self._tokenise_query(text)[0]

    def _tokenise_query(self, text: str) -> tuple[list[int], bool]:
        """Return the tokens of a query, and whether its end was cut off. Raises: InputError if it has no token of its own."""
        check_text(text, "query")
        (tokens,), (cut,) = self.texts.tokenise([text], self.method.query)
        bare = self.texts.tokens([""], self.method.query)[0]
        if tokens == bare:
            raise InputError(f"query {text[:60]!r} holds no token; expected at least one word")
        return tokens, cut

    def query_from_tokens(self, tokens: Sequence[int]) -> Query:
        """Run the query's own layers on token ids; differentiable if the caller enables gradients."""
        return self._queries_of_one_length([tokens])[0]

    @torch.no_grad()  # not inference mode: training a head alone uses these queries again at every step
    def queries(self, texts: Sequence[str]) -> list[Query]:
        """Run the query's own layers for many queries, batched by equal length: without padding, each equals `query`'s result.

        Raises: InputError for a query without a single token; ModelError in training mode.
        """
        self._check_mode()
        tokenised = [self._tokenise_query(text) for text in texts]
        rows = [tokens for tokens, _ in tokenised]
        found: dict[int, Query] = {}
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        for _, equal in groupby(order, key=lambda place: len(rows[place])):
            places = list(equal)
            for start in range(0, len(places), QUERIES_AT_ONCE):
                some = places[start : start + QUERIES_AT_ONCE]
                found |= zip(some, self._queries_of_one_length([rows[place] for place in some]), strict=True)
        return [replace(found[place], cut=cut) for place, (_, cut) in enumerate(tokenised)]

    def _queries_of_one_length(self, rows: Sequence[Sequence[int]]) -> list[Query]:
        """Run `query_from_tokens` on token rows [n, q] of equal length."""
        method = self.method
        block = self.texts.batch(rows, method.query)
        block = replace(block, mask=self.texts.attended(rows, method.query)).to(self.device)
        original = self.backbone if self.query_backbone is None else self.query_backbone
        deepest = max(method.query_depth, *self.vector_depths) if self.vector_depths else method.query_depth
        if method.towers == "copied":
            tower = self._tower(original, self.query_precision, method.query_depth)
            own_tower = states_after(tower, block, {method.query_depth})
            tower = self._tower(self.backbone, self.query_precision, deepest)
            after = states_after(tower, block, self.vector_depths) if self.vector_depths else {}
        else:
            tower = self._tower(original, self.query_precision, deepest)
            own_tower = after = states_after(tower, block, {method.query_depth, *self.vector_depths})
        every = own_tower[method.query_depth]
        vectors = None if self.vector_pool is None else self._vectors(after, block.ids)
        texts = self.texts.text_masks(rows, method.query).to(self.device)
        masks: Sequence[Tensor | None] = [None] * len(rows) if every.mask is None else torch.split(every.mask, 1)
        own = (TokenStates(every.states[i : i + 1], every.positions[i : i + 1], mask) for i, mask in enumerate(masks))
        return [
            Query(each, texts[i], None if vectors is None else vectors[i], token_ids=block.ids[i]) for i, each in enumerate(own)
        ]

    def document_tokens(self, documents: Sequence[Document]) -> list[list[int]]:
        """Tokenise documents in their layout. Raises: as `tokenise`."""
        return self.tokenise(documents).rows

    def tokenise(self, documents: Sequence[Document]) -> TokenisedTexts:
        """Tokenise documents in their layout, and say which of them lost their end.

        Raises: InputError for a document without a token, as its states have no row.
        """
        found = self.texts.tokenise([document.full_text for document in documents], self.method.document)
        if [] in found.rows:
            raise InputError(
                f"text {found.rows.index([])} holds no token, and this tokenizer adds no special tokens: there is nothing to "
                "store or score; leave the document out"
            )
        return found

    def encode(self, rows: Sequence[Sequence[int]], *, exact: bool = False) -> list[dict[str, NDArray[Any]]]:
        """Encode n documents from token rows in one padded batch: states [m, c], vector [h] float32, token_ids [m] int64.

        States are uint8 bytes if the model has a `quantizer`; `exact` returns the directions before quantisation. Padding
        is removed.
        Raises: ModelError in training mode.
        Cost: L·(12·t·h² + 2·t²·h) multiply-adds per document; if its vector is deeper than L, that depth replaces L.
        """
        self._check_mode()
        with torch.inference_mode():
            tensors = self.encode_batch(rows)
            if self.quantizer is not None and "states" in tensors and not exact:
                directions, mask = tensors["states"]
                vectors = None if self.quantizer.vector_width is None else beside_tokens(tensors["vector"][0])
                tensors["states"] = self.quantizer.quantize(directions, self.document_ids(rows), vectors), mask
        entries: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
        for name, (values, mask) in tensors.items():
            host = (values.float() if values.is_floating_point() else values).cpu().numpy()  # numpy has no bfloat16
            kept = None if mask is None else mask.cpu().numpy()
            for i, entry in enumerate(entries):
                one = host[i] if kept is None or name == "vector" else host[i][kept[i]]
                entry[name] = np.ascontiguousarray(one)
        return entries

    def encode_batch(self, rows: Sequence[Sequence[int]]) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Encode one padded batch: the arrays as tensors [n, m, ...] with their masks; differentiable."""
        method, arrays, block = self.method, self.arrays, self._document_block(rows)
        out: dict[str, tuple[Tensor, Tensor | None]] = {}
        if set(arrays) == {"token_ids"}:
            return {"token_ids": (block.ids, block.mask)}
        depths = {method.depth, *self.vector_depths}
        after = states_after(self._tower(self.backbone, self.document_precision, max(depths)), block, depths)
        if "states" in arrays:
            kept, side = self._kept(after[method.depth], block)
            codes = kept.states if self.compressor is None else self.compressor.compress(kept.states, side)
            out["states"] = self.head.store(codes), kept.mask
        if "token_ids" in arrays:
            out["token_ids"] = (block.ids, block.mask)
        if "vector" in arrays:
            out["vector"] = (self._vectors(after, block.ids), None)
        return out

    @contextmanager
    def uncompressed(self) -> Iterator[None]:
        """Bypass the compressor in encoding and in the head inside this context, to train a ranker before its autoencoder.

        Raises: InputError for a compressor below a head other than `joint_layers`, whose weights depend on codes.
        """
        if self.compressor is None:
            yield
            return
        if self.method.head.name != "joint_layers":
            raise InputError(
                f"head {self.method.head.name!r} is built on codes; only 'joint_layers' can run without its compressor"
            )
        held = self.compressor
        self.compressor = None
        self.head.use_compressor(None)
        try:
            yield
        finally:
            self.compressor = held
            self.head.use_compressor(held)

    def with_head(self, head: Head) -> Model:
        """Return this model under another head over the same stored arrays; all other weights are shared."""
        other = copy.copy(self)
        other._modules = {**self._modules, "head": head.to(self.device).train(self.training)}
        return other

    def without_codecs(self) -> Model:
        """Return this model with lossless default codecs; all weights are shared."""
        plain = copy.copy(self)
        plain.method = replace(self.method, codecs=())
        return plain

    def document_rows(self, rows: Sequence[Sequence[int]]) -> CompressorInput:
        """Return what the compressor reads of documents. Differentiable."""
        block = self._document_block(rows)
        relative = isinstance(self.compressor, Quantizer) and self.compressor.vector_width is not None
        depths = self.vector_depths if relative else ()
        after = states_after(self.backbone, block, {self.method.depth, *depths})
        kept, side = self._kept(after[self.method.depth], block)
        return CompressorInput(kept, side, self._vectors(after, block.ids) if depths else None)

    def document_ids(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Pad token rows to one batch of ids [n, t] int64."""
        return self._document_block(rows).ids

    def _document_block(self, rows: Sequence[Sequence[int]]) -> TokenBatch:
        method = self.method
        start = document_start(method.document, method.query, 0)
        return self.texts.batch(rows, method.document, start).to(self.device)

    def _kept(self, below: TokenStates, block: TokenBatch) -> tuple[TokenStates, Tensor | None]:
        """Return the states that the pool keeps, and the static embeddings of their tokens if the compressor takes them."""
        side = None
        if self.compressor is not None and self.compressor.needs_side:
            side = self.backbone.embed(block.ids, block.segments, block.positions)
        return self.pool(below, block.ids), side

    def _vectors(self, after: Mapping[int, TokenStates], ids: Tensor) -> Tensor:
        """Compute one vector per text [n, w]: concatenate the layers that the pool reads, pool them, and map the result."""
        assert self.vector_pool is not None
        rows = after[self.method.vector_depth]
        states = torch.cat([after[depth].states for depth in self.vector_depths], dim=-1)
        vectors: Tensor = self.vector_pool(rows.with_states(states), ids).states[:, 0]
        return vectors if self.vector_map is None else self.vector_map.compress(vectors)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Score n candidates against one query: float32 [n]. Stored bytes of a quantiser are decoded first."""
        return self.head.score(query, self._decoded(docs))

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate (n = 1) into shares. Raises: InputError for a head that cannot explain."""
        return self.head.explain(query, self._decoded(docs))

    def _decoded(self, docs: Candidates) -> Candidates:
        """Decode the stored bytes of a quantiser, and read the token ids that they hold."""
        if docs.states is None or docs.states.dtype != torch.uint8:
            return docs
        assert self.quantizer is not None
        ids = docs.token_ids if docs.token_ids is not None else self.quantizer.token_ids(docs.states)
        return replace(docs, states=self.quantizer.decode(docs.states, beside_tokens(docs.vector)), token_ids=ids)

    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: str | torch.dtype | None = None) -> None:
        """Write a checkpoint: the encoder as transformers writes it, `lateint.json`, and our own tensors beside it.

        `dtype` of the saved tensors (default: as they are). int8 takes one byte a weight, encoder included, and needs no
        other file to be loaded; see `lateint.model.saving.save`, also for what is raised.
        """
        save(self, folder, dtype=dtype)


def beside_tokens(vectors: Tensor | None) -> Tensor | None:
    """Return vectors [n, w] of documents as [n, 1, w], which broadcast with their tokens; None stays None."""
    return None if vectors is None else vectors[:, None]


def check_is_model(model: object) -> None:
    """Refuse what is no model, such as the name of one. Raises: InputError."""
    check_kind(model, "model", Model, "a model: lateint.load_model(...)")
