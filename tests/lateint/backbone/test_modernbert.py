"""Features that only ModernBERT has: a mean-pooled classifier, and rows that may be permuted with their positions."""

import json
import shutil

import torch

from lateint.backbone.layer import TokenStates
from lateint.heads.inputs import Candidates
from lateint.loading.load import load_model
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support import reference

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
QUERY = "how is bread and yeast in the oven"
DOCUMENTS = [Document(str(i), text) for i, text in enumerate(tiny.texts(8, seed=3))]


def score(model):
    values, mask = model.encode_batch(model.document_tokens(DOCUMENTS))["token_ids"]
    with torch.inference_mode():
        return model.score(model.query(QUERY), Candidates(mask=mask, token_ids=values))


def test_a_mean_pooled_classifier_needs_all_rows_of_the_last_layer(tmp_path, monkeypatch):
    from transformers import AutoTokenizer

    folder = tmp_path / "mean"
    shutil.copytree(tiny.checkpoint("modernbert"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"classifier_pooling": "mean"}))
    model = load_model(folder, method="cross_encoder", **LENGTHS)
    texts = [document.text for document in DOCUMENTS]
    batch = AutoTokenizer.from_pretrained(folder)([QUERY] * len(texts), texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        wanted = reference.load(folder)(**batch).logits[:, 0]
    limit = 1e-5 * max(1.0, float(wanted.max() - wanted.min()))
    assert (score(model) - wanted).abs().max() <= limit
    # The failing twin: the shortcut for classifiers that read only CLS gives wrong scores here.
    assert not model.backbone.reads_cls_only
    monkeypatch.setattr(type(model.backbone), "reads_cls_only", True)
    assert (score(model) - wanted).abs().max() > 10 * limit


def test_rows_may_be_permuted_as_long_as_their_positions_travel_with_them():
    backbone = load_model(tiny.checkpoint("modernbert"), method="cosine", **LENGTHS).backbone
    states = torch.randn(1, 40, 32, generator=torch.Generator().manual_seed(2))
    positions = torch.arange(40)[None]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        straight = backbone.run(TokenStates(states, positions), 0, 4).states[:, order]
        travelled = backbone.run(TokenStates(states[:, order], positions[:, order]), 0, 4).states
        left_behind = backbone.run(TokenStates(states[:, order], positions), 0, 4).states
    assert torch.allclose(travelled, straight, atol=1e-4)
    assert (left_behind - straight).abs().max() > 1e-2
