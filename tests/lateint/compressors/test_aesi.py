"""SDR's autoencoder: its size, what side information does, and that the head recomputes it from stored token ids."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.compressors.aesi import Aesi
from lateint.errors import InputError, StoreMismatch
from lateint.heads.inputs import Candidates
from lateint.indexing.build import build_store
from lateint.indexing.codecs import pipelines
from lateint.indexing.fingerprint import fingerprint, head_digest
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, reference
from tests.support.engine import DOCUMENTS, QUERY

SDR = replace(preset("sdr"), compressor=part("aesi", width=8))
SIDE = replace(preset("prettr"), compressor=part("aesi", width=8), offline_layers=2)  # offset positions, segment 1


def candidates(model, documents=DOCUMENTS[:6]):
    arrays = model.encode_batch(model.document_tokens(documents))
    return Candidates(mask=arrays["states"][1], **{name: values for name, (values, _) in arrays.items()})


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_published_size_at_384_and_16():
    halves = [sum(p.numel() for p in half.parameters()) for half in (Aesi(384).encoder, Aesi(384).decoder)]
    assert halves == [1_205_776, 1_206_144] and sum(halves) == 2_411_920
    assert sum(p.numel() for p in Aesi(384, width=8).parameters()) != 2_411_920


def test_both_halves_equal_the_formula_in_numpy():
    from scipy.special import erf

    aesi, v, u = Aesi(6, width=3), normal(0, 5, 6), normal(1, 5, 6)

    def half(sequence, x):
        w, b, w2, b2 = (p.detach().double().numpy() for p in sequence.parameters())
        inner = x @ w.T + b
        return (inner * (1 + erf(inner / np.sqrt(2))) / 2) @ w2.T + b2

    z = half(aesi.encoder, np.concatenate([v, u], axis=1))
    wanted = half(aesi.decoder, np.concatenate([z, u], axis=1))
    with torch.inference_mode():
        codes = aesi.compress(v, u)
        assert np.abs(codes.numpy() - z).max() < 1e-6 and np.abs(aesi.expand(codes, u).numpy() - wanted).max() < 1e-6


def test_without_codes_the_decoder_is_a_function_of_the_token_alone():
    aesi, u = Aesi(16, width=4), normal(2, 1, 7, 16)
    with torch.inference_mode():
        floors = [aesi.expand(torch.zeros_like(aesi.compress(v, u)), u) for v in normal(3, 2, 1, 7, 16)]
        free = [aesi.expand(aesi.compress(v, u), u) for v in normal(3, 2, 1, 7, 16)]
        assert torch.equal(*floors) and not torch.equal(*free)
        assert not torch.equal(floors[0], aesi.expand(torch.zeros(1, 7, 4), torch.zeros_like(u)))


def trained_error(width, *, told=True):
    """Reconstruction error after a short training on states of which half is the token's own embedding."""
    u, noise = normal(4, 128, 12), normal(5, 128, 12)
    v = u @ normal(6, 12, 12) / 12**0.5 + noise
    side = u if told else torch.zeros_like(u)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        aesi = Aesi(12, width=width)
    optimizer = torch.optim.Adam(aesi.parameters(), lr=1e-2)
    for _ in range(100):
        loss = (aesi.expand(aesi.compress(v, side), side) - v).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_the_error_falls_with_the_width_and_rises_without_side_information():
    errors = [trained_error(width) for width in (1, 4, 12)]
    assert errors[0] > 1.2 * errors[1] > 1.2 * errors[2]
    assert trained_error(4, told=False) > 1.2 * errors[1]


def test_it_cannot_work_without_side_information():
    aesi = Aesi(16, width=4)
    for work in (aesi.compress, aesi.expand):
        with pytest.raises(InputError, match="needs side information"):
            work(normal(8, 2, 16))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("method", [SDR, SIDE], ids=["restarted, alone", "offset"])
def test_the_head_recomputes_the_side_information_of_encoding_exactly(method, family):
    if family == "modernbert":
        method = replace(method, document=replace(method.document, positions="follow"))
    model = engine.fresh_model(method, family)
    rows = model.document_tokens(DOCUMENTS[:6])
    with torch.inference_mode():
        kept, side, _ = model.document_rows(rows)
        docs = candidates(model)
        seen = model.head.trace(model.query(QUERY), docs)[0]
        wanted = model.compressor.expand(docs.states, side)
        found = seen.states[:, -wanted.shape[1] :]
        real = torch.ones(found.shape[:2], dtype=torch.bool) if kept.mask is None else kept.mask
        assert torch.equal(found[real], wanted[real])
        wrong = model.head.trace(model.query(QUERY), replace(docs, token_ids=docs.token_ids.flip(1)))[0]
        assert not torch.allclose(wrong.states[:, -wanted.shape[1] :][real], wanted[real])


@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "distilbert"])
def test_equals_the_unsplit_model_with_the_autoencoder_between_its_layers(family):
    model, hf = engine.fresh_model(SDR, family), reference.load(tiny.checkpoint(family))
    query, visible = model.query_tokens(QUERY), torch.ones(200, 200, dtype=torch.bool)

    def apart(tokens, segment):
        places = torch.arange(len(tokens))
        static = reference.embed(hf, torch.tensor(tokens), torch.full_like(places, segment), places)
        return static, reference.run(hf, static, places, visible[: len(tokens), : len(tokens)], range(2))

    def oracle(tokens, segment):
        _, left = apart(query, 0)
        u, v = apart(tokens, segment)
        joint = torch.cat([left, model.compressor.expand(model.compressor.compress(v, u), u)], dim=1)
        size = joint.shape[1]
        return reference.classify(hf, reference.run(hf, joint, torch.arange(size), visible[:size, :size], range(2, 4)))[0]

    with torch.inference_mode():
        rows = model.document_tokens(DOCUMENTS[:6])
        got = model.score(model.query(QUERY), candidates(model))
        wanted, other = (torch.stack([oracle(row, segment) for row in rows]) for segment in (int(model.backbone.segments), 0))
    limit = 1e-5 * max(1.0, float(wanted.max() - wanted.min()))
    assert (got - wanted).abs().max() <= limit < (wanted - wanted.roll(1)).abs().min() / 2
    # A family without segments ignores the one that the method asks for; the others do not.
    assert ((wanted - other).abs().max() > 10 * limit) == (family in ("bert", "electra")) == bool(model.method.document.segment)


def test_the_order_of_stored_rows_matters_because_their_places_are_side_information():
    model = engine.fresh_model(SIDE)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model, DOCUMENTS[:1])
        moved = replace(docs, states=docs.states.flip(1), token_ids=docs.token_ids.flip(1))
        assert (model.score(query, docs) - model.score(query, moved)).abs() > 1e-4


def test_an_entry_holds_codes_and_ids_and_their_bytes_are_counted():
    model = engine.fresh_model(SDR)
    through = pipelines(model, {"states": (part("cast", dtype="float16"),), "token_ids": (part("cast", dtype="uint16"),)})
    (entry,) = model.encode(model.document_tokens(DOCUMENTS[3:4]))
    m = len(entry["token_ids"])
    assert model.arrays == ("states", "token_ids") and entry["states"].shape == (m, 8)
    assert {name: len(through[name].encode(entry[name])) for name in through} == {"states": 2 * 8 * m, "token_ids": 2 * m}


def test_the_preset_spends_six_bits_a_number_and_two_bytes_a_token():
    model = engine.load_model(tiny.checkpoint("bert"), method="sdr", doc_max_length=48)
    (entry,) = model.encode(model.document_tokens(DOCUMENTS[3:4]))
    m, through = len(entry["token_ids"]), pipelines(model)
    assert len(through["states"].encode(entry["states"])) == -(-m * 16 // 128) * (16 * 6 + 4)
    assert len(through["token_ids"].encode(entry["token_ids"])) == 2 * m
    back = through["states"].decode_many([through["states"].encode(entry["states"])], [m]).values
    assert 0 < np.abs(back - entry["states"]).max() < 0.2 * np.abs(entry["states"]).max()


def test_a_method_that_had_no_ids_stores_them_as_two_bytes_once_its_compressor_needs_them():
    model = engine.load_model(tiny.checkpoint("bert"), method="prettr", compressor="aesi:4", **engine.LENGTHS)
    assert pipelines(model)["token_ids"].parts[:1] == (part("cast", dtype="uint16"),) and model.compressor.width == 4
    plain = engine.load_model(tiny.checkpoint("bert"), method="prettr", **engine.LENGTHS)
    assert plain.arrays == ("states",)


@pytest.mark.parametrize("name", ["encoder.0.weight", "decoder.2.bias"])
def test_another_autoencoder_over_the_same_layers_is_refused(tmp_path, name):
    model, other = engine.fresh_model(SDR), engine.fresh_model(SDR)
    with build_store(model, DOCUMENTS[:3], tmp_path / "store") as store:
        Ranker(other, store)
        other.compressor.state_dict()[name].view(-1)[0] += 0.1
        with pytest.raises(StoreMismatch, match=r"states\.weights differ"):
            Ranker(other, store)
        assert {"states.weights", "token_ids.weights"} <= set(fingerprint(model)) and head_digest(other) == head_digest(model)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"head": part("cross_blocks", first=2)}, "head 'cross_blocks' does not read"),
        ({"head": part("maxsim")}, "comparable only after"),
        ({"pool": part("no_punctuation")}, "drops some; use 'all_tokens'"),
        ({"offline_layers": 0}, "no compressor takes"),
    ],
)
def test_what_could_not_restore_states_is_refused(changes, match):
    with pytest.raises(InputError, match=match):
        engine.fresh_model(replace(SIDE, **changes))
