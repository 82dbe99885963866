"""The evidence term against a double loop, and keys and values folded with the compressor against expanded states."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
DOCUMENTS = [Document(str(i), text) for i, text in enumerate(tiny.texts(5, seed=9))]
QUERY = "how is bread in the oven"


def load(head, width=None, family="bert"):
    compressor = None if width is None else part("linear", width=width)
    method = replace(preset("mice"), head=head, vector=part("mean"), compressor=compressor, offline_layers=2, query_layers=2)
    return load_model(tiny.checkpoint(family), method=method, **LENGTHS)


def candidates(model):
    arrays = model.encode_batch(model.document_tokens(DOCUMENTS))
    return Candidates(states=arrays["states"][0], mask=arrays["states"][1], vector=arrays["vector"][0])


def shake(module, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(("width", "rows"), [(None, "text"), (8, "text"), (8, "all")])
def test_equals_a_double_loop_over_words_and_codes(width, rows):
    model = load(part("evidence", rows=rows), width)
    shake(model.head)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        got = model.score(query, docs)
        head = model.head
        states = query.rows.states[0]
        ours = head.query_map(states).numpy()
        weights = torch.nn.functional.softplus(head.weight(states)[:, 0]).numpy()
    inside = range(len(states)) if rows == "all" else range(1, len(states) - 1)  # without [CLS] and [SEP]
    for i in range(len(DOCUMENTS)):
        length = int(docs.mask[i].sum()) if docs.mask is not None else docs.states.shape[1]
        theirs = docs.states[i, :length].detach().numpy() @ head.document_map.weight.detach().numpy().T
        sims = [max(a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in theirs) for a in ours]
        evidence = sum(weights[j] * sims[j] for j in inside) / sum(weights[j] for j in inside)
        cosine = float(docs.vector[i] @ query.vector)
        wanted = head.log_cosine.exp().item() * cosine + head.log_evidence.exp().item() * evidence
        assert abs(wanted - float(got[i])) < 1e-3


def test_fresh_weights_are_equal_and_fitted_ones_follow_word_rank():
    model = load(part("evidence"))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(7, 100, (400,), generator=generator)
    states = torch.randn(400, 32, generator=generator) * 0.1
    states[:, 0] += torch.log1p((ids - 6).float())
    before = torch.nn.functional.softplus(model.head.weight(states)[:, 0])
    assert torch.allclose(before, before[:1].expand_as(before))
    model.head.fit_weights(states, ids, first_word=7)
    after = torch.nn.functional.softplus(model.head.weight(states)[:, 0]).detach()
    assert np.corrcoef(after.numpy(), np.log1p(ids.numpy() - 6))[0, 1] > 0.9


def test_a_fresh_block_head_over_evidence_scores_as_evidence_alone():
    alone = load(part("evidence"), 8)
    blocks = load(part("cross_blocks", blocks=2, first=2, readout="mean", residual="evidence"), 8)
    with torch.inference_mode():
        assert torch.allclose(
            alone.score(alone.query(QUERY), candidates(alone)), blocks.score(blocks.query(QUERY), candidates(blocks)), atol=1e-5
        )
        shake(blocks.head.readout)
        moved = blocks.score(blocks.query(QUERY), candidates(blocks)) - alone.score(alone.query(QUERY), candidates(alone))
    assert moved.abs().min() > 1e-3


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_folding_the_compressor_into_keys_and_values_changes_nothing(family):
    model = load(part("cross_blocks", blocks=2, first=2), 8, family)
    with torch.inference_mode():
        shake(model.head.readout)  # so that scores spread
        query, docs = model.query(QUERY), candidates(model)
        folded = model.score(query, docs)
        expanded = replace(docs, states=model.compressor.expand(docs.states))
        plain = load(part("cross_blocks", blocks=2, first=2), None, family)
        plain.head.readout.load_state_dict(model.head.readout.state_dict())
        wanted = plain.score(query, expanded)
    assert model.head.on_codes and not plain.head.on_codes
    assert (folded - wanted).abs().max() <= 1e-5 * max(1.0, float(wanted.max() - wanted.min()))
    assert (wanted - wanted.roll(1)).abs().min() > 1e-4


def test_a_pre_norm_family_expands_codes_first():
    model = load(part("cross_blocks", blocks=2, first=2), 8, "modernbert")
    assert not model.head.on_codes
    with torch.inference_mode():
        assert torch.isfinite(model.score(model.query(QUERY), candidates(model))).all()


def test_without_a_document_map_it_is_the_fresh_head_with_one():
    plain, mapped = load(part("evidence", document_map=False), 8), load(part("evidence"), 8)
    assert plain.head.document_map is None
    with torch.inference_mode():
        scores = [model.score(model.query(QUERY), candidates(model)) for model in (plain, mapped)]
        assert torch.allclose(*scores, atol=1e-4)
        mapped.head.document_map.weight.mul_(torch.linspace(0.2, 2, 8))
        assert (mapped.score(mapped.query(QUERY), candidates(mapped)) - scores[0]).abs().max() > 1e-2


def test_vectors_of_a_map_are_normalised_and_count_as_cosines():
    method = replace(preset("mice"), head=part("evidence"), vector=part("mean"), vector_map=part("linear", width=8))
    model = load_model(tiny.checkpoint("bert"), method=replace(method, offline_layers=2, query_layers=2), **LENGTHS)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        longer = replace(docs, vector=7 * docs.vector)
        assert torch.allclose(model.score(query, docs), model.score(query, longer), atol=1e-4)
        assert (docs.vector.norm(dim=-1) - 1).abs().max() > 0.01


def test_mixed_precision_compares_in_float32_what_only_one_side_maps():
    model = load(part("evidence", document_map=False), 8)
    with torch.inference_mode():
        query, docs = model.query(QUERY), candidates(model)
        wanted = model.score(query, docs)
        with torch.autocast("cpu", torch.bfloat16):
            found = model.score(query, docs)
    assert found.dtype == torch.float32 and (found - wanted).abs().max() < 0.5 and not torch.equal(found, wanted)


def test_rows_that_are_none_of_the_two_are_refused():
    with pytest.raises(InputError, match="rows='most'; expected one of text, all"):
        load(part("evidence", rows="most"))
