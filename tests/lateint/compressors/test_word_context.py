"""Codes relative to a document's vector: bytes of a plain loop, fewer errors than without it, stored and scored as read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lateint.compressors.word_context import WordContext
from lateint.compressors.word_residual import WordResidual
from lateint.errors import InputError
from lateint.heads._matches import max_similarities
from lateint.heads.inputs import RotatedRows, SummedRows
from lateint.indexing.build import build_store
from lateint.kernels import lookup
from lateint.loading.load import load_model
from lateint.methods.registry import part
from lateint.model.model import beside_tokens
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint.train.initialise import initialise
from lateint_store import ArraySpec, Ragged
from lateint_store.codecs.rotated import Rotated
from tests.lateint.compressors.test_words import TEXTS, VOCABULARY, tokens, unchanged
from tests.lateint.compressors.test_words import method as with_words
from tests.support import engine, students
from tests.support.storing import check_mismatch, check_scores

CODEC = Rotated(bits=8, scale="none")
EACH = 12  # tokens of a document here


def in_documents(share=0.8):
    """States of tokens whose documents add a part to each of them, ids, embeddings, and the vectors of the documents."""
    states, ids, embeddings = tokens()
    states, ids = states[: len(states) // EACH * EACH], ids[: len(states) // EACH * EACH]
    vectors = F.normalize(torch.randn(len(states) // EACH, 16, generator=torch.Generator().manual_seed(3)), dim=-1)
    stored = torch.from_numpy(CODEC.decode(CODEC.encode(vectors.numpy()), ArraySpec("float32", 16, rows="one")))
    shared = stored.repeat_interleave(EACH, dim=0)
    return states + share * states.norm(dim=1).mean() * shared, ids, embeddings, shared


def fitted(kind=WordContext, levels=2, **settings):
    torch.manual_seed(0)
    if kind is WordContext:
        settings = {"vector_width": 16} | settings
    compressor, (states, ids, embeddings, vectors) = (
        kind(16, width=16, levels=levels, vocabulary=VOCABULARY, **settings),
        in_documents(),
    )
    compressor.fit_directions(states)
    return compressor, compressor.fit_words(states, ids, embeddings, vectors)


def some(compressor, n):
    states, ids, _, vectors = in_documents()
    return compressor.compress(states[:n]).detach(), ids[:n], vectors[:n]


def model(**changes):
    chosen = part("word_context", width=16, levels=2, vector_width=16)
    made = load_model(tiny.checkpoint("bert"), replace(with_words(), compressor=chosen, **changes), **engine.LENGTHS)
    initialise(made, [students.source()])
    return made


def test_codes_are_those_of_a_plain_loop_and_decode_to_length_one():
    compressor, _ = fitted()
    directions, ids, vectors = some(compressor, 50)
    codes = compressor.quantize(directions, ids, vectors)
    assert codes.dtype == torch.uint8 and codes.shape == (50, 5) == (50, compressor.code_bytes)
    words, books, shares, mapped = (
        part.detach().double().numpy()
        for part in (compressor.words, compressor.codebooks, compressor.shares, compressor.context_map)
    )
    decoded = compressor.decode(codes, vectors).detach()
    for z, token, v, own, back in zip(directions.numpy(), ids.tolist(), vectors.numpy(), codes.tolist(), decoded, strict=True):
        assert own[:2] == [token % 256, token // 256]
        total = words[token] + shares[token] * (mapped @ v)
        for book, byte in zip(books, own[2:-1], strict=True):
            distances = ((book - (z - total)) ** 2).sum(axis=1)
            assert distances[byte] <= distances.min() + 1e-5
            total = total + book[byte]
        factor = 0.7 * 8 ** (own[-1] / 255)
        np.testing.assert_allclose(total * factor, back.numpy(), atol=1e-5)
        assert abs(np.linalg.norm(total) * factor - 1) < 0.0042


def test_the_vector_of_a_document_says_more_than_bytes_of_every_token():
    ours, theirs = fitted(levels=1)[1], [fitted(WordResidual, levels=levels)[1] for levels in (1, 4)]
    assert ours > theirs[1] > theirs[0]


def test_without_a_context_it_is_word_residual():
    torch.manual_seed(0)
    fresh = WordContext(16, width=16, levels=2, vocabulary=VOCABULARY, vector_width=16)
    torch.manual_seed(0)
    plain = WordResidual(16, width=16, levels=2, vocabulary=VOCABULARY)
    directions, ids, vectors = some(plain, 40)
    assert torch.equal(fresh.quantize(directions, ids, vectors), plain.quantize(directions, ids))


@pytest.mark.parametrize("compiles", [True, False])
def test_sums_by_look_ups_are_inner_products_with_what_comes_back(compiles, monkeypatch):
    monkeypatch.setattr(lookup, "compiles", lambda: compiles)
    compressor, _ = fitted()
    directions, ids, vectors = some(compressor, 3 * EACH)
    codes = compressor.quantize(directions, ids, vectors)
    ours, each = F.normalize(torch.randn(4, 16), dim=-1), vectors[::EACH]

    def found(vectors):
        rows = Ragged(codes.numpy(), np.arange(0, 3 * EACH + 1, EACH), ArraySpec("uint8", 5))
        coded = Ragged(CODEC.encode(vectors.numpy()), np.arange(len(vectors) + 1), ArraySpec("uint8", 16, rows="one"))
        return SummedRows(rows, compressor, RotatedRows(coded, CODEC)).max_similarity(ours).numpy()

    decoded = compressor.decode(codes, vectors).detach().view(3, EACH, 16)
    oracle = max_similarities(ours, decoded, None, inner_product=True).numpy()
    np.testing.assert_allclose(found(each), oracle, atol=1e-4)
    assert np.abs(found(each.roll(1, dims=0)) - oracle).max() > 0.05
    np.testing.assert_allclose(found(each[:1])[0], oracle[0], atol=1e-4)  # one vector for the rows of one document


def test_a_store_scores_as_texts_do_and_as_what_it_decodes_to(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        assert store.get(["30"])[0]["states"].shape[1] == 5
        check_scores(made, store, TEXTS, made.compressor.shares)
        check_mismatch(made, store, made.compressor.context_map)


def test_shares_of_an_explanation_add_up_to_the_score(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        ranker = Ranker(made, store)
        (hit,) = ranker.rank("bread and water", ["30"])
        found = ranker.explain("bread and water", "30")
    assert abs(sum(match.share for match in found.matches) + sum(found.parts.values()) - hit.score) < 1e-4


def test_it_learns_through_its_codes_and_from_its_context(tmp_path):
    assert unchanged(model(), tmp_path) == {"up"}


def test_codes_and_vectors_that_do_not_fit_are_refused():
    compressor, _ = fitted()
    directions, ids, vectors = some(compressor, 5)
    with pytest.raises(InputError, match="needs the vector of each document"):
        compressor.quantize(directions, ids)
    assert beside_tokens(None) is None and beside_tokens(vectors).shape == (5, 1, 16)
    for changes, message in (
        ({"compressor": part("word_context", width=16, vector_width=8)}, "16 numbers; set `vector_width`"),
        ({"head": part("maxsim"), "codecs": ()}, "relative to their document's vector"),
    ):
        with pytest.raises(InputError, match=message):
            load_model(tiny.checkpoint("bert"), replace(model().method, **changes), **engine.LENGTHS)
