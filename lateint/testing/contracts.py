"""Contracts of parts: checks that a pool, compressor, head or loss keeps the promises of its abstract class.

Each check builds a part by name with its default or the given settings, runs it on small inputs, and raises AssertionError
with the broken promise. Call the checks from the tests of your own parts:

    from lateint.testing.contracts import check_head

    def test_my_head():
        check_head("my_head")

The checks are necessary, not sufficient: what a part computes needs a test of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.backbone.seeding import seeded
from lateint.backbone.tokenizer import TextEncoder
from lateint.compressors.base import Compressor, FitSample, Quantizer
from lateint.errors import InputError
from lateint.heads.base import Head, JointHead
from lateint.heads.inputs import Candidates
from lateint.indexing.codecs import pipelines, round_trip
from lateint.loading.load import load_model
from lateint.methods.method import Layout, Method
from lateint.methods.presets import PRESETS
from lateint.methods.registry import Part, Setting, build, part
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.pools.base import Pool
from lateint.ranking.scoring import readable_codecs, score_all, score_quantized
from lateint.testing import tiny
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput

_WIDTH = 16  # of the states that compressors and pools are checked on
_TOKENS = 400  # of the sample that compressors are fitted on
_QUERY = "how is bread and yeast in the oven"
_ARRAYS = ("states", "vector", "token_ids")
_SEED = 5  # of fresh parameters


def check_pool(name: str, **settings: Setting) -> None:
    """Check a pool: its shapes and mask, that padding and other texts do not matter, and that `check` refuses misfits."""
    texts = TextEncoder(tiny.tokenizer("bert"))
    pool = build("pools", part(name, **settings), texts)
    _expect(isinstance(pool, Pool), f"pool {name!r} is a subclass of Pool")
    ids = torch.tensor([[2, 9, texts.token_id(","), 11, 3], [2, 12, 3, 0, 0]])
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    positions = torch.arange(5).expand(2, 5)
    states = _random(2, 5, _WIDTH * pool.layers)
    kept = pool(TokenStates(states, positions, mask), ids)
    n, k, width = kept.states.shape
    _expect(n == 2 and width == pool.width(_WIDTH, **settings), f"pool {name!r} returns states of its `width`")
    _expect(kept.positions.shape == (n, k), f"pool {name!r} returns one position per state")
    real = torch.ones(n, k, dtype=torch.bool) if kept.mask is None else kept.mask
    _expect(real.shape == (n, k) and real.dtype == torch.bool, f"pool {name!r} returns a bool mask with one value per state")
    _expect(pool.tokens is None or k <= pool.tokens, f"pool {name!r} keeps at most `tokens` states")
    if pool.keeps_tokens:
        same = real.shape == mask.shape and not bool((real & ~mask).any()) and torch.equal(kept.states[real], states[real])
        _expect(same, f"pool {name!r} with `keeps_tokens` returns each kept state at its index and masks the others")
    noisy = pool(TokenStates(states.masked_fill(~mask[..., None], 1e6), positions, mask), ids)
    _expect(torch.equal(noisy.states[real], kept.states[real]), f"pool {name!r} ignores states under padding")
    alone = pool(TokenStates(states[1:, :3], positions[1:, :3]), ids[1:, :3])
    own = alone.states[0] if alone.mask is None else alone.states[0][alone.mask[0]]
    equal = own.shape == kept.states[1][real[1]].shape and torch.allclose(own, kept.states[1][real[1]], atol=1e-5)
    _expect(equal, f"pool {name!r} treats a text alone, without a mask, as in a padded batch")
    _check_limits(pool, name)


def _check_limits(pool: Pool, name: str) -> None:
    """Check that `Pool.check` accepts what fits and refuses more layers or tokens than there are."""
    depth, layout = pool.layers + 3, Layout(max_length=16 if pool.tokens is None else max(16, pool.tokens))
    pool.check(layout, depth)
    deep, long = copy.copy(pool), copy.copy(pool)
    deep.layers, long.tokens = depth + 1, layout.max_length + 1
    _expect_refusal(lambda: deep.check(layout, depth), f"pool {name!r} refuses to read more layers than there are")
    _expect_refusal(lambda: long.check(layout, depth), f"pool {name!r} refuses to keep more tokens than a text may have")


@dataclass(frozen=True, slots=True)
class _FitData:
    """A sample of documents for `Compressor.fit`."""

    documents: FitSample


def check_compressor(name: str, *, width: int = 4, **settings: Setting) -> None:
    """Check a compressor: its shapes and flags, independent rows, fresh parameters from torch's generator, and `fit`.

    A quantiser is also checked to decode what its look-up tables sum, and to pass gradients straight through.
    """
    chosen = part(name, width=width, **settings)
    compressor = _fresh(chosen)
    _expect(isinstance(compressor, Compressor), f"compressor {name!r} is a subclass of Compressor")
    states, side = _random(2, 7, _WIDTH, seed=3), _random(2, 7, _WIDTH, seed=4)
    _check_fresh(chosen, compressor)
    with torch.no_grad():
        codes = compressor.compress(states, side)
        _expect(codes.shape == (2, 7, width) == (2, 7, compressor.width), f"compressor {name!r} gives codes of its `width`")
        alone = compressor.compress(states[1:, 3:4], side[1:, 3:4])
        _expect(torch.allclose(codes[1:, 3:4], alone, atol=1e-6), f"compressor {name!r} compresses each state by itself")
        moved = not torch.equal(codes, compressor.compress(states, torch.zeros_like(side)))
        _expect(moved == compressor.needs_side, f"compressor {name!r} reads side information exactly if `needs_side`")
        if compressor.needs_side:
            _expect_refusal(lambda: compressor.compress(states), f"compressor {name!r} refuses states without side information")
    _check_way_back(name, compressor, states, side)
    _check_fit(name, compressor)
    if isinstance(compressor, Quantizer):
        _check_quantizer(name, compressor, states)


def _check_fresh(chosen: Part, compressor: Compressor) -> None:
    """Check that invalid widths are refused, and that the same seed of torch gives the same parameters."""
    for wrong in (0, -1, True, 2.0, "wide", None):
        changed = part(chosen.name, **(dict(chosen.settings) | {"width": wrong}))
        _expect_refusal(partial(_fresh, changed), f"compressor {chosen.name!r} refuses width={wrong!r}")
    same = _equal_tensors(compressor.state_dict(), _fresh(chosen).state_dict())
    _expect(same, f"compressor {chosen.name!r} draws fresh parameters from torch's generator")


def _fresh(chosen: Part) -> Compressor:
    """Build a compressor from a fixed seed."""
    with seeded(_SEED):
        return build("compressors", chosen, _WIDTH)


def _check_way_back(name: str, compressor: Compressor, states: Tensor, side: Tensor) -> None:
    """Check `expand`, and the matrices of both maps where they are linear."""
    zero = torch.zeros_like(side)  # with side information at zero the maps of states are linear, not only affine
    with torch.no_grad():
        codes = compressor.compress(states, zero)
        if compressor.expands:
            shape = compressor.expand(codes, side).shape
            _expect(shape == states.shape, f"compressor {name!r} with `expands` maps codes back to the width of the states")
        down, up = compressor.linear_down(), compressor.linear_up()
        if down is not None:
            cosines = torch.cosine_similarity(codes, states @ down.T, dim=-1)
            _expect(torch.allclose(cosines, torch.ones(()), atol=1e-5), f"compressor {name!r} compresses by `linear_down`")
        if up is not None:
            _expect(compressor.expands, f"compressor {name!r} with `linear_up` sets `expands`")
            same = torch.allclose(compressor.expand(codes, zero), codes @ up.T, atol=1e-5)
            _expect(same, f"compressor {name!r} expands by `linear_up`")


def _check_fit(name: str, compressor: Compressor) -> None:
    """Check that `fit` leaves trained tensors alone and fits the others to finite values; the part is fitted afterwards."""
    embeddings = _random(60, _WIDTH, seed=5)
    ids = torch.randint(0, 60, (_TOKENS,), generator=torch.Generator().manual_seed(6))
    noise = 0.5 * _random(_TOKENS, _WIDTH, seed=7)
    width = compressor.vector_width if isinstance(compressor, Quantizer) else None
    vectors = None if width is None else _random(_TOKENS, width, seed=13)
    data = _FitData(FitSample(embeddings[ids] + noise, ids, embeddings[ids], embeddings, vectors))
    before = {key: tensor.clone() for key, tensor in compressor.state_dict().items()}
    compressor.fit(data, frozenset(before))
    _expect(_equal_tensors(before, compressor.state_dict()), f"compressor {name!r} fits no tensor that was trained")
    compressor.fit(data)
    finite = all(bool(tensor.isfinite().all()) for tensor in compressor.state_dict().values())
    _expect(finite, f"compressor {name!r} fits finite weights")


def _check_quantizer(name: str, quantizer: Quantizer, states: Tensor) -> None:
    """Check bytes, look-up tables and straight-through gradients of a fitted quantiser."""
    ids = torch.arange(states.shape[0] * states.shape[1]).view(states.shape[:2])
    directions = quantizer.compress(states).detach()
    width = quantizer.vector_width
    vectors = None if width is None else _random(len(states), 1, width, seed=12)
    codes = quantizer.quantize(directions, ids, vectors)
    shape = (*ids.shape, quantizer.code_bytes)
    _expect(codes.dtype == torch.uint8 and codes.shape == shape, f"quantiser {name!r} gives `code_bytes` bytes per state")
    alone = quantizer.quantize(directions[1:, 3:4], ids[1:, 3:4], None if vectors is None else vectors[1:])
    _expect(torch.equal(codes[1:, 3:4], alone), f"quantiser {name!r} quantises each direction by itself")
    decoded = quantizer.decode(codes, vectors)
    _expect(decoded.shape == directions.shape, f"quantiser {name!r} decodes to directions of its width")
    held = quantizer.token_ids(codes)
    _expect(held is None or torch.equal(held, ids), f"quantiser {name!r} returns the token ids that were quantised, or None")
    queries = _random(3, quantizer.width, seed=8)
    with torch.no_grad():
        by_byte, by_token, factors, shares, context = quantizer.lookup_tables(queries)
        wide, sums = codes.long(), torch.zeros(*ids.shape, len(queries))
        if by_token is not None:
            sums, wide = by_token[wide[..., 0] | wide[..., 1] << 8], wide[..., 2:]
        if shares is not None and context is not None and vectors is not None:
            sums = sums + shares[ids][..., None] * (vectors @ context.T)
        sums = sums + sum(table[wide[..., position]] for position, table in enumerate(by_byte))
        if factors is not None:
            sums, wide = sums * factors[wide[..., -1]][..., None], wide[..., :-1]
        same = wide.shape[-1] == len(by_byte) and torch.allclose(sums, decoded @ queries.T, atol=1e-4)
    _expect(same, f"quantiser {name!r} has look-up tables that sum to inner products with decoded directions")
    leaf = directions.clone().requires_grad_()
    through = quantizer.straight_through(leaf, ids, vectors)
    (gradient,) = torch.autograd.grad(through.sum(), leaf)
    same = torch.allclose(through, decoded, atol=1e-6) and torch.equal(gradient, torch.ones_like(leaf))
    _expect(same, f"quantiser {name!r} passes gradients straight through to directions")


def check_head(name: str, method: Method | None = None, **settings: Setting) -> None:
    """Check a head below a method: finite scores that depend on query and document, and not on padding or other candidates.

    Args: `method`, whose head is replaced by this one; None: the first preset with this head, or else a method that stores
    states after half of the layers and the mean vector.
    A joint head is also checked for its trace, a quantised head for equal scores from stored bytes, and a head that explains
    its scores for shares that sum to them.
    """
    model = _tiny_model(_method_for(name, method, settings))
    head = model.head
    _expect(isinstance(head, Head), f"head {name!r} is a subclass of Head")
    _expect(bool(head.reads) and set(head.reads) <= set(_ARRAYS), f"head {name!r} reads some of the arrays {_ARRAYS}")
    shared = set(map(id, head.parameters())) & set(map(id, model.backbone.parameters()))
    _expect(not shared, f"head {name!r} does not register parameters of the backbone")
    unknown = set(head.stored_tensors()) - set(head.state_dict())
    _expect(not unknown, f"head {name!r} has no tensors {sorted(unknown)}, which `stored_tensors` names")
    with torch.inference_mode():
        _check_scores(name, model)
        _check_explains(name, model)
        if isinstance(head, JointHead):
            _check_trace(name, model, head)
        _check_stored_bytes(name, model)


def _method_for(name: str, method: Method | None, settings: dict[str, Setting]) -> Method:
    """Return a method with this head: the given one, a preset with the head, or a generic one."""
    if method is not None:
        return replace(method, head=part(name, **settings))
    for preset in PRESETS.values():
        if preset.head.name == name:
            return replace(preset, head=part(name, **(dict(preset.head.settings) | settings)))
    float32 = (part("cast", dtype="float32"),)
    return Method(
        name="contract",
        source="lateint",
        summary="stores states after half of the layers and the mean vector",
        offline_layers="T/2",
        query_layers="T/2",
        query=Layout(template="first", max_length=24),
        document=Layout(template="second", positions="offset", max_length=48),
        vector=part("mean"),
        codecs=(("states", float32), ("vector", float32)),
        head=part(name, **settings),
    )


def _check_scores(name: str, model: Model) -> None:
    """Check scores of a padded batch of candidates against those of each candidate alone, and for two queries."""
    query, docs = model.query(_QUERY), _candidates(model, 0, 6)
    scores = model.head.score(query, docs)
    _expect(scores.shape == (6,) and scores.dtype == torch.float32, f"head {name!r} gives one float32 score per candidate")
    _expect(bool(scores.isfinite().all()), f"head {name!r} gives finite scores")
    spread = float(scores.max() - scores.min())
    _expect(spread > 0, f"head {name!r} gives different documents different scores")
    alone = torch.cat([model.head.score(query, _candidates(model, i, i + 1)) for i in range(6)])
    limit = 1e-4 * max(spread, float(scores.abs().max()))
    _expect(float((alone - scores).abs().max()) <= limit, f"head {name!r} scores a candidate alone as in a padded batch")
    other = model.head.score(model.query("a violin and its string"), docs)
    _expect(not torch.equal(other, scores), f"head {name!r} gives different queries different scores")
    for array in model.head.reads:
        lacking = replace(docs, **{array: None})
        refusal = f"head {name!r} refuses candidates without the array {array!r} that it reads"
        _expect_refusal(partial(model.head.score, query, lacking), refusal)


def _check_explains(name: str, model: Model) -> None:
    """Check that a head refuses to explain, or that the shares of rows that both sides have sum to the score."""
    query, docs = model.query(_QUERY), _candidates(model, 2, 3)
    try:
        shares = model.head.explain(query, docs)
    except InputError:
        return
    rows = docs.states if docs.states is not None else docs.token_ids
    q, m = query.rows.states.shape[1], 0 if rows is None else rows.shape[1]
    _expect(all(0 <= i < q and 0 <= j < m for i, j, _ in shares.pairs), f"head {name!r} explains by rows of both sides")
    score, total = float(model.head.score(query, docs)), sum(share for *_, share in shares.pairs) + sum(shares.parts.values())
    same = abs(total - score) <= 1e-4 * max(1.0, abs(score))
    _expect(same, f"head {name!r} explains a score by shares that sum to it")


def _check_trace(name: str, model: Model, head: JointHead) -> None:
    """Check that the trace of a joint head, and its `watch`, see every depth from L to T once."""
    query, docs = model.query(_QUERY), _candidates(model, 0, 6)
    depths = list(range(model.method.depth, len(model.backbone.layers) + 1))
    _expect(len(head.trace(query, docs)) == len(depths), f"head {name!r} traces the states of depths L to T")
    seen: list[int] = []
    watched = head.score(query, docs, watch=lambda depth, _: seen.append(depth))
    _expect(seen == depths, f"head {name!r} shows `watch` the depths L to T")
    _expect(torch.allclose(watched, head.score(query, docs), atol=1e-5), f"head {name!r} gives the same scores when watched")


def _check_stored_bytes(name: str, model: Model) -> None:
    """Check that a quantised head scores stored bytes as their decoded arrays, where it can score these codecs at all."""
    rotated: dict[str, tuple[Part, ...]] = {
        array: (part("rotated", bits=8, scale="none"),) for array in model.arrays if array != "token_ids"
    }
    through = pipelines(model, rotated)
    codecs = readable_codecs(model, through)
    if not codecs:
        return
    entries = model.encode(model.document_tokens(_documents()[:6]))
    query = model.query(_QUERY)
    stored, decoded = {}, round_trip(entries, {array: through[array] for array in model.head.reads})
    for array, values in decoded.items():
        payloads = [through[array].encode(entry[array]) for entry in entries]
        stored[array] = through[array].coded_rows(payloads, np.diff(values.offsets))
    scores, wanted = score_quantized(model, query, stored, codecs), score_all(model, query, decoded)
    limit = 1e-4 * max(1.0, float(np.abs(wanted).max()))
    _expect(float(np.abs(scores - wanted).max()) <= limit, f"head {name!r} scores stored bytes as their decoded arrays")


def check_loss(name: str, **settings: Setting) -> None:
    """Check a loss: a finite scalar with a gradient, which needs and reads a teacher's scores if and only if it says so.

    Only losses of scores are run. A loss that reads layers or vectors needs models that suit it, and tests of its own.
    """
    loss = build("train/losses", part(name, **settings))
    _expect(isinstance(loss, Loss), f"loss {name!r} is a subclass of Loss")
    if loss.reads_trace or loss.needs_teacher_model or not loss.needs_scores:
        return
    scores = _random(3, 4, seed=1).requires_grad_()
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(3, 4)
    step = StepOutput(scores, labels, _random(3, 4, seed=2), (), _any_model())
    value = loss(step)
    other = replace(step, teacher_scores=_random(3, 4, seed=9))
    _expect(value.shape == () and bool(value.isfinite()), f"loss {name!r} gives a finite scalar")
    (gradient,) = torch.autograd.grad(value, scores)
    moves = bool(gradient.isfinite().all()) and float(gradient.abs().max()) > 0
    _expect(moves, f"loss {name!r} has a finite gradient in the scores")
    lacking = replace(step, teacher_scores=None)
    if loss.needs_teacher_scores:
        _expect_refusal(lambda: loss(lacking), f"loss {name!r} refuses a step without a teacher's scores")
        _expect(not torch.equal(loss(other), value), f"loss {name!r} reads the teacher's scores")
    else:
        _expect(torch.equal(loss(other), value), f"loss {name!r} does not read a teacher's scores")
        loss(lacking)  # raises if it needs them after all


def _tiny_model(method: str | Method) -> Model:
    """Return a tiny random BERT under a method."""
    return load_model(tiny.checkpoint("bert"), method, query_max_length=24, doc_max_length=48)


@cache
def _any_model() -> Model:
    """Return a model for steps of losses that read scores only."""
    return _tiny_model("cosine")


def _documents() -> list[Document]:
    """Return documents of different lengths."""
    return [Document(str(i), text) for i, text in enumerate(tiny.texts(8, seed=3))]


def _candidates(model: Model, start: int, stop: int) -> Candidates:
    """Encode documents start..stop-1 as one padded batch of candidates."""
    arrays = model.encode_batch(model.document_tokens(_documents()[start:stop]))
    mask = next((mask for name, (_, mask) in arrays.items() if name != "vector"), None)
    tensors = {name: values for name, (values, _) in arrays.items()}
    return Candidates(mask, tensors.get("states"), tensors.get("vector"), tensors.get("token_ids"))


def _random(*shape: int, seed: int = 1) -> Tensor:
    """Return standard normal numbers, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _equal_tensors(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """True if both hold equal tensors under the same names."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def _expect(kept: bool, promise: str) -> None:
    """Raise AssertionError with the promise unless it is kept."""
    if not kept:
        raise AssertionError(f"broken promise: {promise}")


def _expect_refusal(call: Callable[[], object], promise: str) -> None:
    """Raise AssertionError with the promise unless the call raises InputError."""
    try:
        call()
    except InputError:
        return
    raise AssertionError(f"broken promise: {promise}, with InputError")
