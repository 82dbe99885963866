from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.heads.maxsim import maxsim
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
TEXTS = ["bread , flour and yeast", "a wheel ; the brake !"]


def brute_force(query, docs, lengths):
    return [sum(max(float(q @ d) for d in doc[:length]) for q in query) for doc, length in zip(docs, lengths, strict=True)]


def test_equals_a_double_loop_and_ignores_pads_however_similar():
    generator = torch.Generator().manual_seed(0)
    query, docs = torch.randn(3, 8, generator=generator), torch.randn(4, 5, 8, generator=generator)
    lengths = [5, 1, 3, 2]
    mask = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    docs[~mask] = 100 * query[0]
    got = maxsim(query, docs, mask)
    assert np.allclose(got, brute_force(query, docs, lengths), atol=1e-4)
    assert (maxsim(query, docs, None) - got).abs().max() > 100


def test_a_pad_does_not_win_when_every_similarity_is_negative():
    got = maxsim(torch.tensor([[1.0, 0.0]]), torch.tensor([[[-0.5, 0.0], [9.0, 9.0]]]), torch.tensor([[True, False]]))
    assert torch.equal(got, torch.tensor([-0.5]))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_colbert_compares_unit_vectors_of_marked_texts_without_punctuation(family):
    model = load_model(tiny.checkpoint(family), method="colbert", **LENGTHS)
    rows = model.document_tokens([Document(str(i), text) for i, text in enumerate(TEXTS)])
    assert all(row[1] == model.texts.token_id("[unused1]") for row in rows)
    query = model.query("flour for bread")
    assert query.rows.states.shape[1] == 24  # filled with [MASK] to the query's full length
    entries = model.encode(rows)
    assert [len(entry["states"]) for entry in entries] == [len(rows[0]) - 1, len(rows[1]) - 2]
    assert np.allclose(np.linalg.norm(entries[0]["states"], axis=1), 1, atol=1e-5)
    states, mask = model.encode_batch(rows)["states"]
    with torch.inference_mode():
        scores = model.score(query, Candidates(states=states, mask=mask))
        ours = model.compressor.compress(query.rows.states[0]).numpy()
    wanted = [brute_force(ours, [entry["states"]], [len(entry["states"])])[0] for entry in entries]
    assert np.allclose(scores, wanted, atol=1e-4)


def test_a_scale_multiplies_scores_and_learns():
    def load(**settings):
        method = replace(preset("colbert"), head=part("maxsim", **settings))
        return load_model(tiny.checkpoint("bert"), method=method, **LENGTHS)

    plain, scaled = load(), load(scale=4.0)
    states, mask = plain.encode_batch(plain.document_tokens([Document(text, text) for text in TEXTS]))["states"]
    docs, query = Candidates(states=states, mask=mask), plain.query_from_tokens(plain.query_tokens("flour for bread"))
    published, ours = plain.score(query, docs), scaled.score(query, docs)
    assert torch.allclose(ours, 4 * published, rtol=1e-5) and not torch.allclose(ours, published, rtol=0.1)
    ours.sum().backward()
    assert torch.allclose(scaled.head.log_scale.grad, ours.detach().sum()) and not list(plain.head.parameters())
    with pytest.raises(InputError, match="expected a number above 0"):
        load(scale=0.0)
