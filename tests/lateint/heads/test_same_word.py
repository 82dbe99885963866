"""`evidence(same_word=True)`: a text token whose very word piece a document holds scores more, exactly that much."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, ModelError
from lateint.heads.inputs import Candidates, RotatedRows
from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint.train.features import Frozen, Live
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERY

TEXTS = DOCUMENTS[:5]
VECTOR = ("vector", (part("rotated", bits=4, scale="none"),))
COMPRESSORS = {
    "words": part("words", width=16, bits=8, vocabulary=128),
    "word_context": part("word_context", width=16, levels=1, vocabulary=128, vector_width=16),
}


def model(compressor="words", gamma=0.3, **settings):
    method = replace(
        preset("mice"),
        vector=part("mean"),
        vector_map=part("linear", width=16),
        pool=part("no_punctuation"),
        compressor=COMPRESSORS[compressor],
        codecs=(VECTOR,),
        head=part("evidence", document_map=False, same_word=True, **settings),
    )
    made = load_model(tiny.checkpoint("bert"), method, **engine.LENGTHS)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (*made.head.parameters(), *made.compressor.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        made.head.same_word.fill_(gamma)
    return made


def scores(ranker, **given):
    return {hit.doc_id: hit.score for hit in ranker.rank(QUERY, **given)}


@pytest.mark.parametrize("rows", ["text", "all"])
@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_a_score_grows_by_the_share_of_words_that_the_text_holds(tmp_path, compressor, rows):
    made, plain = model(compressor, rows=rows), model(compressor, gamma=0.0, rows=rows)
    tokens, query = made.query_tokens(QUERY), made.query(QUERY)
    with torch.inference_mode():
        weights = torch.nn.functional.softplus(made.head.weight(query.rows.states[0])[:, 0]).numpy()
    counted = query.text_mask.numpy() if rows == "text" else np.ones(len(tokens), bool)
    with build_store(made, TEXTS, tmp_path / "s") as store:
        stored, without = scores(Ranker(made, store), doc_ids=[text.id for text in TEXTS]), Ranker(plain, store)
        before = scores(without, doc_ids=[text.id for text in TEXTS])
    decoded, grown = scores(Ranker(made), documents=TEXTS), set()
    for text in TEXTS:
        held = set(made.document_tokens([text])[0])
        bonus = sum(w for token, w, own in zip(tokens, weights, query.text_mask, strict=True) if own and token in held)
        wanted = float(made.head.log_evidence.detach().exp()) * 0.3 * bonus / weights[counted].sum()
        assert stored[text.id] - before[text.id] == pytest.approx(wanted, abs=1e-4)
        assert decoded[text.id] == pytest.approx(stored[text.id], abs=1e-3)
        grown.add(round(wanted, 3))
    assert len(grown) > 1, "texts hold different words of the query"


def test_training_moves_it_with_frozen_arrays_and_with_live_ones():
    made = model()
    for features in (Frozen(made), Live(made, quantised=True)):
        features.prepare([QUERY], TEXTS)
        query = features.query(QUERY)
        found = torch.cat([made.score(query, docs) for _, docs in features.batches(TEXTS)])
        made.zero_grad()
        found.var().backward()
        assert made.head.same_word.grad is not None and float(made.head.same_word.grad) != 0


def test_codes_without_words_and_candidates_without_ids_are_refused():
    with pytest.raises(InputError, match=r"same_word=True reads words from codes, and compressor 'linear' stores none"):
        engine.fresh_model(
            replace(
                preset("mice"),
                vector=part("mean"),
                compressor=part("linear", width=8),
                head=part("evidence", document_map=False, same_word=True),
            )
        )
    made = model()
    query = made.query(QUERY)
    docs = Candidates(states=torch.zeros(1, 2, 16), vector=torch.zeros(1, 16))
    with torch.inference_mode(), pytest.raises(InputError, match="reads the words of candidates, which these do not hold"):
        made.score(query, docs)
    with (
        torch.inference_mode(),
        pytest.raises(InputError, match="reads the token ids of a query, which this one does not hold"),
    ):
        made.score(replace(query, token_ids=None), replace(docs, token_ids=torch.zeros(1, 2, dtype=torch.long)))
    with pytest.raises(ModelError, match="'rotated' hold no token ids"):
        RotatedRows(None, None).words_held(torch.zeros(1))
