"""Residual codes: greedy bytes against a plain loop, codebooks that leave less and less over, gradients, stored and scored."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.compressors.residual import Residual
from lateint.errors import InputError
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

TEXTS = [*tiny.texts(30, seed=6), "bread"]
VECTOR = ("vector", (part("rotated", bits=4, scale="none"),))


def states(n=3_000, h=16):
    random = torch.Generator().manual_seed(2)
    return torch.randn(n, h, generator=random) @ torch.randn(h, h, generator=random) + 0.5


def fitted(levels=3, width=8):
    torch.manual_seed(0)
    compressor = Residual(16, width=width, levels=levels)
    compressor.fit_directions(states())
    return compressor, compressor.fit_codebooks(states())


def method(head=None, **changes):
    """Evidence over three bytes a token and a vector of 16 numbers of four bits."""
    return replace(
        preset("mores"),
        head=head or part("evidence", document_map=False),
        towers="shared",
        compressor=part("residual", width=16, levels=3),
        vector=part("mean"),
        vector_map=part("linear", width=16),
        codecs=(VECTOR,),
        **changes,
    )


def model(head=None, **changes):
    made = load_model(tiny.checkpoint("bert"), method(head, **changes), **engine.LENGTHS)
    initialise(made, [students.source()])
    return made


def test_codes_are_those_of_a_plain_loop_and_decoding_adds_what_they_name():
    compressor, _ = fitted()
    directions = compressor.compress(states()[:50]).detach()
    codes, books = compressor.quantize(directions), compressor.codebooks.detach().numpy()
    assert codes.dtype == torch.uint8 and codes.shape == (50, 3)
    for direction, own, back in zip(directions.numpy(), codes.numpy(), compressor.decode(codes).detach().numpy(), strict=True):
        left = direction.astype(np.float64)
        for book, byte in zip(books, own, strict=True):
            distances = ((book - left) ** 2).sum(axis=1)
            assert distances[byte] <= distances.min() + 1e-5
            left = left - book[byte]
        np.testing.assert_allclose(direction - left, back, atol=1e-5)


def test_every_further_byte_leaves_less_over_and_many_give_the_direction_back():
    cosines = [fitted(levels)[1] for levels in (1, 2, 4, 10)]
    assert cosines == sorted(cosines) and cosines[0] > 0.6 and cosines[-1] > 0.99
    fresh = Residual(16, width=8, levels=4)
    assert not fresh.decode(fresh.quantize(fresh.compress(states()[:5]))).any()


def test_codebooks_are_the_same_every_time():
    assert torch.equal(fitted()[0].codebooks, fitted()[0].codebooks)


def test_gradients_pass_straight_through_to_directions_and_to_the_entries_that_were_chosen():
    compressor, _ = fitted()
    directions = compressor.compress(states()[:1]).detach().requires_grad_()
    found = compressor.straight_through(directions, torch.tensor([0]))
    assert torch.allclose(found, compressor.decode(compressor.quantize(directions)))
    found.sum().backward()
    assert torch.equal(directions.grad, torch.ones_like(directions))
    touched = compressor.codebooks.grad.abs().sum(dim=-1).nonzero().tolist()
    assert touched == [[level, int(byte)] for level, byte in enumerate(compressor.quantize(directions)[0])]


@pytest.mark.parametrize("levels", [0, 256, True, 2.5])
def test_bytes_that_cannot_be_are_refused(levels):
    with pytest.raises(InputError, match="levels="):
        Residual(16, levels=levels)


def test_sums_by_look_ups_are_inner_products_with_what_comes_back_on_ragged_and_empty_documents():
    compressor, _ = fitted()
    lengths = [3, 1, 0, 20]
    codes = compressor.quantize(compressor.compress(states()[: sum(lengths)]))
    rows = Ragged(codes.numpy(), np.cumsum([0, *lengths]), ArraySpec("uint8", 3))
    queries = torch.randn(4, 8)
    found = SummedRows(rows, compressor).max_similarity(queries).numpy()
    parts = compressor.decode(codes).detach().split(lengths)
    oracle = [
        max_similarities(queries, own[None], None, inner_product=True)[0] if len(own) else torch.full((4,), -1.0)
        for own in parts
    ]
    np.testing.assert_allclose(found, torch.stack(oracle).numpy(), atol=1e-5)
    assert np.abs(SummedRows(rows, compressor).max_similarity(queries.roll(1, dims=0)).numpy() - found).max() > 0.1


def test_a_store_holds_bytes_and_scores_are_the_same_with_it_without_it_and_decoded(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        held = store.get(["3"])[0]
        assert held["states"].dtype == np.uint8 and held["states"].shape[1] == 3
        check_scores(made, store, TEXTS, made.compressor.codebooks)


def test_other_codebooks_are_other_states(tmp_path):
    made = model()
    with build_store(made, TEXTS, tmp_path / "s") as store:
        check_mismatch(made, store, made.compressor.codebooks)


def test_training_sees_what_a_store_gives_back():
    made = model()
    documents = made.document_tokens(engine.DOCUMENTS[:1])
    with torch.no_grad():
        live = Live(made, quantised=True).arrays(documents).states
        exact = Live(made).arrays(documents).states
    codes = torch.from_numpy(made.encode(documents)[0]["states"])
    assert torch.allclose(live[0], made.compressor.decode(codes), atol=1e-5)
    assert (live - exact).abs().max() > 1e-3


def test_a_linear_compressor_carries_over_and_gets_codebooks(tmp_path):
    linear = replace(method(), compressor=part("linear", width=16), codecs=())
    base = load_model(tiny.checkpoint("bert"), linear, **students.LENGTHS)
    initialise(base, [students.source()])
    base.save_pretrained(tmp_path)
    student = load_model(tmp_path, method(), **students.LENGTHS)
    assert torch.equal(student.compressor.down, base.compressor.down) and not student.compressor.codebooks.any()
    assert set(initialise(student, [students.source()])) == {"cosine of codes"} and student.compressor.codebooks.any()
    assert torch.equal(student.compressor.down, base.compressor.down)
    assert torch.equal(student.head.evidence_term().query_map.weight, base.head.query_map.weight)


def test_it_learns_through_its_codes(tmp_path):
    made = model()
    before = {name: tensor.clone() for name, tensor in made.compressor.state_dict().items()}
    stage = replace(students.STAGE, train=("layers", "head", "compressor"), quantised=True)
    students.run(made, tmp_path, [stage], steps=2)
    assert all(not torch.equal(before[name], tensor) for name, tensor in made.compressor.state_dict().items() if name != "up")
