"""Word codes: bytes of a plain loop, a table of words from embeddings and means, gradients, stored and scored as read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lateint.compressors._word_table import SHRINK
from lateint.compressors.words import Words
from lateint.errors import InputError, ModelError
from lateint.heads._matches import max_similarities
from lateint.heads.inputs import SummedRows
from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.testing import tiny
from lateint.train.features import Live
from lateint.train.initialise import initialise
from lateint_store import ArraySpec, Ragged
from tests.support import engine, students
from tests.support.storing import check_mismatch, check_scores

TEXTS = [*tiny.texts(30, seed=6), "bread , and ! bread", "!"]
VECTOR = ("vector", (part("rotated", bits=4, scale="none"),))
VOCABULARY = 600  # ids of two bytes


def tokens(n=4_000, h=16):
    """Ids, and states that are a word's own, what its neighbours add, and a direction that all share."""
    random = torch.Generator().manual_seed(2)
    ids = torch.randint(VOCABULARY // 2, (n,), generator=random) * 2  # odd ones are never seen
    embeddings = torch.randn(VOCABULARY, h, generator=random)
    about = torch.randn(n, 4, generator=random) @ torch.randn(4, h, generator=random)
    return embeddings[ids] @ torch.randn(h, h, generator=random) / 4 + about / 4 + 0.5, ids, embeddings


def fitted(bits=8, width=16):
    torch.manual_seed(0)
    compressor, (states, ids, embeddings) = Words(16, width=width, bits=bits, vocabulary=VOCABULARY), tokens()
    compressor.fit_directions(states)
    return compressor, compressor.fit_words(states, ids, embeddings)


def some(compressor, count):
    states, ids, _ = tokens()
    return compressor.compress(states[:count]).detach(), ids[:count]


def method(**changes):
    """Evidence over the id and eight signs of every token, and a vector of 16 numbers of four bits."""
    return replace(
        preset("mores"),
        head=part("evidence", document_map=False),
        towers="shared",
        pool=part("no_punctuation"),
        compressor=part("words", width=16, bits=8),
        vector=part("mean"),
        vector_map=part("linear", width=16),
        codecs=(VECTOR,),
        **changes,
    )


def model(**changes):
    made = load_model(tiny.checkpoint("bert"), method(**changes), **engine.LENGTHS)
    initialise(made, [students.source()])
    return made


def test_codes_are_the_id_and_the_signs_of_a_plain_loop_and_decoding_adds_what_they_say():
    compressor, _ = fitted(bits=16)
    directions, ids = some(compressor, 50)
    codes = compressor.quantize(directions, ids)
    assert codes.dtype == torch.uint8 and codes.shape == (50, 4) == (50, compressor.code_bytes)
    words, planes, steps = (part.detach().double().numpy() for part in (compressor.words, compressor.planes, compressor.steps))
    for z, token, own, back in zip(directions.numpy(), ids.tolist(), codes.tolist(), compressor.decode(codes), strict=True):
        left = planes @ (z - words[token])
        signs = [1 if number >= 0 else -1 for number in left]
        packed = [sum((sign > 0) << i for i, sign in enumerate(signs[start : start + 8])) for start in (0, 8)]
        assert np.abs(left).min() > 1e-6 and own == [token % 256, token // 256, *packed]
        np.testing.assert_allclose(words[token] + signs @ steps, back.detach().numpy(), atol=1e-5)


def test_signs_give_back_what_words_leave_over_and_more_of_them_more():
    cosines = [fitted(bits)[1] for bits in (8, 16, 32)]
    compressor, _ = fitted(16)
    directions, ids = some(compressor, 4_000)
    alone = F.cosine_similarity(compressor.words[ids], directions, dim=-1).mean().item()
    assert alone + 0.02 < cosines[0] < cosines[1] < cosines[2] and cosines[2] > 0.95
    other = compressor.decode(compressor.quantize(directions, ids.flip(0)))
    assert F.cosine_similarity(other, directions, dim=-1).mean() < alone  # another word is another start


def test_words_that_were_seen_are_near_their_means_and_those_never_seen_where_embeddings_put_them():
    compressor, _ = fitted()
    states, ids, embeddings = tokens()
    z = compressor.compress(states).detach().double().numpy()
    known = np.hstack([embeddings.double().numpy(), np.ones((VOCABULARY, 1))])
    seen = known[ids]
    wanted = known @ np.linalg.solve(seen.T @ seen + np.eye(17), seen.T @ z)
    np.testing.assert_allclose(compressor.words[1::2].detach(), wanted[1::2], atol=1e-5)
    token = int(ids[0])
    own = z[ids.numpy() == token]
    expected = wanted[token] + (own - wanted[token]).sum(axis=0) / (len(own) + SHRINK)
    np.testing.assert_allclose(compressor.words[token].detach(), expected, atol=1e-5)


def test_fitting_is_the_same_every_time_and_a_fresh_one_knows_no_word():
    assert all(torch.equal(a, b) for a, b in zip(fitted()[0].parameters(), fitted()[0].parameters(), strict=True))
    assert not Words(16, width=16, bits=8, vocabulary=9).words.any()


def test_gradients_pass_straight_through_to_directions_and_to_the_words_that_were_met():
    compressor, _ = fitted()
    directions, ids = some(compressor, 1)
    directions.requires_grad_()
    found = compressor.straight_through(directions, ids)
    assert torch.allclose(found, compressor.decode(compressor.quantize(directions, ids)))
    found.sum().backward()
    assert torch.equal(directions.grad, torch.ones_like(directions)) and compressor.steps.grad.abs().min() > 0
    assert compressor.words.grad.abs().sum(dim=1).nonzero().tolist() == [ids.tolist()]


@pytest.mark.parametrize(
    "settings", [{"bits": 12}, {"bits": 0}, {"bits": 8.0}, {"bits": True}, {"vocabulary": 0}, {"vocabulary": 65_537}]
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        Words(16, **({"width": 16, "bits": 8} | settings))


def test_an_id_beyond_the_vocabulary_is_refused_when_it_is_stored_and_when_it_is_read():
    compressor = Words(16, width=16, bits=8, vocabulary=300)
    with pytest.raises(InputError, match="has a vocabulary of 300 tokens, and these texts hold id 300"):
        compressor.quantize(torch.randn(1, 16), torch.tensor([300]))
    rows = Ragged(np.array([[44, 1, 0]], np.uint8), np.array([0, 1]), ArraySpec("uint8", 3))  # 300
    with pytest.raises(ModelError, match="word piece 300, and the model's compressor has 300"):
        SummedRows(rows, compressor).max_similarity(torch.randn(2, 16))


def test_sums_by_look_ups_are_inner_products_with_what_comes_back_on_ragged_and_empty_documents():
    compressor, _ = fitted()
    lengths = [3, 1, 0, 20]
    codes = compressor.quantize(*some(compressor, sum(lengths)))
    rows = Ragged(codes.numpy(), np.cumsum([0, *lengths]), ArraySpec("uint8", 3))
    ours = F.normalize(torch.randn(4, 16), dim=-1)
    found = SummedRows(rows, compressor).max_similarity(ours).numpy()
    parts = compressor.decode(codes).detach().split(lengths)
    oracle = [
        max_similarities(ours, own[None], None, inner_product=True)[0] if len(own) else torch.full((4,), -1.0) for own in parts
    ]
    np.testing.assert_allclose(found, torch.stack(oracle).numpy(), atol=1e-5)
    with torch.no_grad():
        compressor.words.copy_(compressor.words.roll(1, dims=0))
    assert np.abs(SummedRows(rows, compressor).max_similarity(ours).numpy() - found).max() > 0.1


def test_a_store_holds_words_and_scores_are_the_same_with_it_without_it_and_decoded(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        held = store.get(["30"])[0]["states"]
        ids = made.document_tokens([engine.Document("", "bread and bread")])[0]
        assert (held[:, 0] + 256 * held[:, 1].astype(int)).tolist() == ids  # punctuation is left out
        check_scores(made, store, TEXTS, made.compressor.words)


def test_another_table_of_words_makes_other_states(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        check_mismatch(made, store, made.compressor.words)


@pytest.mark.parametrize("pool", [part("clusters", factor=2), part("mean")])
def test_pools_that_mix_words_are_refused(pool):
    with pytest.raises(InputError, match=r"stores token ids, but pool .* mixes tokens; use all_tokens or no_punctuation"):
        load_model(tiny.checkpoint("bert"), replace(method(), pool=pool), **engine.LENGTHS)


def test_training_sees_what_a_store_gives_back():
    made = model()
    documents = made.document_tokens(engine.DOCUMENTS[:1])
    with torch.no_grad():
        live = Live(made, quantised=True).arrays(documents)
    kept = live.states[0] if live.mask is None else live.states[0][live.mask[0]]
    codes = torch.from_numpy(made.encode(documents)[0]["states"])
    assert torch.allclose(kept, made.compressor.decode(codes), atol=1e-5)


def unchanged(made, folder):
    """The tensors of the compressor that two steps through its codes leave as they are."""
    before = {name: tensor.clone() for name, tensor in made.compressor.state_dict().items()}
    stage = replace(students.STAGE, train=("layers", "head", "compressor"), quantised=True)
    students.run(made, folder, [stage], steps=2)
    return {name for name, tensor in made.compressor.state_dict().items() if torch.equal(before[name], tensor)}


def test_it_learns_through_its_codes_and_its_planes_stay(tmp_path):
    assert unchanged(model(), tmp_path) == {"planes", "up"}
