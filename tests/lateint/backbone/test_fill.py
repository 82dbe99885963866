"""`Layout.attend_to_fill`: rows of `[MASK]` that the encoder computes and that no token attends to, as in later ColBERTs."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.heads.inputs import Candidates
from lateint.loading.load import load_model
from lateint.loading.packaged import intended_method
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine

COLBERT = replace(preset("colbert"), compressor=part("projection", width=32))  # as wide as the states of tiny models
SMALL = replace(COLBERT, query=replace(COLBERT.query, attend_to_fill=False))
QUERY, PASSAGES = "how is bread in the oven", ["bread , flour and yeast", "a wheel ; the brake !", "the oven is bread"]
MARKS = set(",;:!?.()")


@functools.cache
def plain(folder):
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def late_interaction(folder, query, passage, *, attended):
    """MaxSim of transformers' states: `[CLS] [unused0] q [SEP]` with `[MASK]` to 24, `[CLS] [unused1] d [SEP]`."""
    tokenizer, encoder = plain(folder)

    def states(marker, text, length=0):
        words = tokenizer.tokenize(text)
        tokens = ["[CLS]", marker, *words, "[SEP]"]
        mask = [1] * len(tokens) + [int(attended)] * (length - len(tokens))
        ids = tokenizer.convert_tokens_to_ids(tokens + ["[MASK]"] * (length - len(tokens)))
        with torch.inference_mode():
            out = encoder(input_ids=torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state[0].numpy()
        kept = [i for i in range(len(ids)) if i >= len(tokens) or tokens[i] not in MARKS or length]
        return out[kept] / np.linalg.norm(out[kept], axis=1, keepdims=True)

    ours, theirs = states("[unused0]", query, 24), states("[unused1]", passage)
    return sum(max(float(row @ other) for other in theirs) for row in ours)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_scores_are_sums_of_maxima_over_24_rows_whose_masks_nobody_attends_to(family):
    folder, documents = tiny.checkpoint(family), [Document(str(i), text) for i, text in enumerate(PASSAGES)]
    found = engine.scores(Ranker(engine.model(SMALL, family)).rank(QUERY, documents=documents))
    wanted = [late_interaction(folder, QUERY, text, attended=False) for text in PASSAGES]
    assert np.allclose([found[str(i)] for i in range(3)], wanted, atol=1e-4)
    attending = engine.scores(Ranker(engine.model(COLBERT, family)).rank(QUERY, documents=documents))
    published = [late_interaction(folder, QUERY, text, attended=True) for text in PASSAGES]
    assert np.allclose([attending[str(i)] for i in range(3)], published, atol=1e-4)
    assert np.abs(np.subtract(wanted, published)).max() > 1e-2, "masks that are attended to give other scores"


def test_queries_of_other_lengths_side_by_side_are_each_as_alone():
    model = engine.model(SMALL)
    texts = ["bread", "how is [MASK] bread in the oven", " ".join(["river"] * 40)]
    for text, query in zip(texts, model.queries(texts), strict=True):
        alone = model.query(text)
        assert query.rows.states.shape == (1, 24, 32) and torch.equal(query.rows.mask, alone.rows.mask)
        assert torch.allclose(query.rows.states, alone.rows.states, atol=1e-5)
    assert [int(query.rows.mask.sum()) for query in model.queries(texts)] == [4, 10, 24], "a mask inside a text is text"


def test_a_query_without_room_for_fill_is_the_same_with_and_without_attention_to_it():
    text = " ".join(["river", "stone"] * 20)
    ours, plain = engine.model(SMALL).query(text), engine.model(COLBERT).query(text)
    assert torch.allclose(ours.rows.states, plain.rows.states, atol=1e-5)


def test_documents_cannot_have_rows_that_nobody_attends_to():
    method = replace(COLBERT, document=replace(COLBERT.document, fill="[MASK]", attend_to_fill=False))
    with pytest.raises(InputError, match="attend_to_fill=False in the layout of documents"):
        load_model(tiny.checkpoint("bert"), method, **engine.LENGTHS)


def test_a_square_projection_keeps_the_cosines_of_all_numbers():
    method = intended_method("answerai-colbert-small-v1")
    assert method.compressor == part("projection", width=384) and not method.query.attend_to_fill
    down = engine.model(SMALL).compressor.down
    assert torch.allclose(down @ down.T, torch.eye(32), atol=1e-5)


def test_fill_and_special_tokens_are_no_words_of_the_query_whatever_its_length():
    model = engine.fresh_model(SMALL)
    short, long = model.queries(["bread", "bread and flour"])
    assert short.text_mask.nonzero()[:, 0].tolist() == [2] and long.text_mask.nonzero()[:, 0].tolist() == [2, 3, 4]
    assert torch.equal(model.query("bread").text_mask, short.text_mask)


def test_evidence_over_the_text_alone_counts_no_fill():
    method = replace(SMALL, vector=part("mean"), head=part("evidence", rows="text"), compressor=None, codecs=())
    model = engine.fresh_model(method)
    with torch.no_grad():
        query = model.query("bread")
        filled = replace(query, rows=replace(query.rows, states=query.rows.states.clone()))
        filled.rows.states[0][~query.text_mask] += 1.0  # what the head must not read
        docs = model.encode(model.document_tokens([Document("d", "bread and flour")]))
        states = torch.from_numpy(docs[0]["states"])[None]
        candidates = Candidates(states=states, vector=torch.from_numpy(docs[0]["vector"])[None])
        assert torch.equal(model.head.score(filled, candidates), model.head.score(query, candidates))
