import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.heads.cosine import cosine
from lateint.heads.inputs import Candidates, Query
from lateint.loading.load import load_model
from lateint.model.document import Document
from lateint.testing import tiny

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_is_the_cosine_of_mean_pooled_last_states(family):
    from transformers import AutoModel, AutoTokenizer

    folder = tiny.checkpoint(family)
    model = load_model(folder, method="cosine", **LENGTHS)
    texts = ["how is bread in the oven", "a river of stone", "wheel"]
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state
        mask = batch["attention_mask"][:, :, None]
        vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    entries = model.encode(model.document_tokens([Document(str(i), text) for i, text in enumerate(texts)]))
    assert np.allclose(np.stack([entry["vector"] for entry in entries]), vectors, atol=1e-5)
    docs = Candidates(vector=torch.from_numpy(np.stack([entry["vector"] for entry in entries])))
    assert np.allclose(model.score(model.query(texts[1]), docs), vectors @ vectors[1], atol=1e-5)


def test_the_packaged_encoder_gives_the_cosines_of_sentence_transformers():
    import sentence_transformers

    from lateint.loading.packaged import locate

    folder = locate("all-MiniLM-L6-v2")
    texts = ["How do I bake bread?", "Preheat the oven and let the dough rise.", "The comet has two tails."]
    wanted = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(texts)
    model = load_model("all-MiniLM-L6-v2")
    got = model.encode(model.document_tokens([Document(str(i), text) for i, text in enumerate(texts)]))
    assert np.allclose(np.stack([entry["vector"] for entry in got]), wanted, atol=1e-5)


def test_needs_vectors_of_both_sides():
    query = Query(rows=None, text_mask=None)
    with pytest.raises(InputError, match="vector"):
        cosine(query, Candidates(vector=torch.ones(2, 3)))
