"""Word codes by codebooks: bytes of a plain loop, lengths given back, fewer errors than signs, stored and scored as read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lateint.compressors.word_residual import WordResidual
from lateint.compressors.words import Words
from lateint.errors import InputError, ModelError
from lateint.heads._matches import max_similarities
from lateint.heads.inputs import SummedRows
from lateint.indexing.build import build_store
from lateint.kernels import lookup
from lateint.loading.load import load_model
from lateint.methods.registry import part
from lateint.testing import tiny
from lateint.train.initialise import initialise
from lateint_store import ArraySpec, Ragged
from tests.lateint.compressors.test_words import TEXTS, VOCABULARY, some, tokens, unchanged
from tests.lateint.compressors.test_words import method as with_words
from tests.support import engine, students
from tests.support.storing import check_mismatch, check_scores


def fitted(levels=2, kind=WordResidual, **settings):
    torch.manual_seed(0)
    settings = settings or {"levels": levels}
    compressor, (states, ids, embeddings) = kind(16, width=16, vocabulary=VOCABULARY, **settings), tokens()
    compressor.fit_directions(states)
    return compressor, compressor.fit_words(states, ids, embeddings)


def model(**changes):
    made = load_model(
        tiny.checkpoint("bert"),
        replace(with_words(), compressor=part("word_residual", width=16, levels=2), **changes),
        **engine.LENGTHS,
    )
    initialise(made, [students.source()])
    return made


def test_codes_are_those_of_a_plain_loop_and_decode_to_length_one():
    compressor, _ = fitted()
    directions, ids = some(compressor, 50)
    codes = compressor.quantize(directions, ids)
    assert codes.dtype == torch.uint8 and codes.shape == (50, 5) == (50, compressor.code_bytes)
    words, books = (part.detach().double().numpy() for part in (compressor.words, compressor.codebooks))
    for z, token, own, back in zip(directions.numpy(), ids.tolist(), codes.tolist(), compressor.decode(codes), strict=True):
        assert own[:2] == [token % 256, token // 256]
        total = words[token].copy()
        for book, byte in zip(books, own[2:-1], strict=True):
            distances = ((book - (z - total)) ** 2).sum(axis=1)
            assert distances[byte] <= distances.min() + 1e-5
            total += book[byte]
        factor = 0.7 * 8 ** (own[-1] / 255)
        np.testing.assert_allclose(total * factor, back.detach().numpy(), atol=1e-5)
        assert abs(np.linalg.norm(total) * factor - 1) < 0.0042  # half a step between neighbouring factors


def test_every_byte_says_more_than_eight_signs():
    cosines = [fitted(levels)[1] for levels in (1, 2, 4)]
    signs = [fitted(kind=Words, bits=8 * levels)[1] for levels in (1, 2, 4)]
    assert cosines == sorted(cosines) and all(ours > theirs + 0.004 for ours, theirs in zip(cosines, signs, strict=True))


def test_lengths_that_no_factor_gives_back_get_the_nearest_one():
    fresh = WordResidual(16, width=16, levels=1, vocabulary=9)
    codes = fresh.quantize(torch.zeros(1, 16), torch.tensor([3]))
    assert codes[0].tolist() == [3, 0, 0, 255] and not fresh.decode(codes).any()
    with torch.no_grad():
        fresh.words[3] = 2.0  # length 8
    assert fresh.quantize(torch.zeros(1, 16), torch.tensor([3]))[0, -1] == 0


@pytest.mark.parametrize("levels", [0, 253, True, 1.5])
def test_bytes_that_cannot_be_are_refused(levels):
    with pytest.raises(InputError, match="levels="):
        WordResidual(16, width=16, levels=levels)


@pytest.mark.parametrize("compiles", [True, False])
def test_sums_by_look_ups_are_inner_products_with_what_comes_back(compiles, monkeypatch):
    monkeypatch.setattr(lookup, "compiles", lambda: compiles)
    compressor, _ = fitted()
    lengths = [3, 1, 0, 20]
    codes = compressor.quantize(*some(compressor, sum(lengths)))
    ours = F.normalize(torch.randn(4, 16), dim=-1)

    def found(codes):
        rows = Ragged(codes.numpy(), np.cumsum([0, *lengths]), ArraySpec("uint8", codes.shape[1]))
        return SummedRows(rows, compressor).max_similarity(ours).numpy()

    parts = compressor.decode(codes).detach().split(lengths)
    oracle = [
        max_similarities(ours, own[None], None, inner_product=True)[0] if len(own) else torch.full((4,), -1.0) for own in parts
    ]
    np.testing.assert_allclose(found(codes), torch.stack(oracle).numpy(), atol=1e-5)
    codes[:, -1] = 0
    assert np.abs(found(codes) - torch.stack(oracle).numpy()).max() > 0.1
    with pytest.raises(ModelError, match=r"codes are uint8 \[5\]"):
        found(codes[:, :-1].contiguous())


def test_a_store_holds_words_and_scores_are_the_same_with_it_without_it_and_decoded(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        held = store.get(["30"])[0]["states"]
        ids = made.document_tokens([engine.Document("", "bread and bread")])[0]
        assert held.shape[1] == 5 and (held[:, 0] + 256 * held[:, 1].astype(int)).tolist() == ids
        check_scores(made, store, TEXTS, made.compressor.words)
        check_mismatch(made, store, made.compressor.codebooks)


def test_it_learns_through_its_codes(tmp_path):
    assert unchanged(model(), tmp_path) == {"up"}
