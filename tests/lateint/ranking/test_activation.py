"""The activation of `predict` and `rank_texts` is the checkpoint's own; distinct logits stay distinct."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import DamagedCheckpoint, InputError
from lateint.loading.delta import save_delta
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.activation import trained_activation
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERY

TEXTS = [document.text for document in DOCUMENTS[:8]]
PAIRS = [(QUERY, text) for text in TEXTS]


def steep(model):
    """The model with large positive logits, which a sigmoid rounds to 1."""
    with torch.no_grad():
        for weight in model.backbone.model.classifier.parameters():
            weight.mul_(-200)
    return model


def test_a_checkpoint_without_an_activation_keeps_distinct_logits_distinct(tmp_path):
    model = steep(engine.fresh_model())
    model.activation = "identity"
    model.save_pretrained(tmp_path)
    assert "activation" not in json.loads((tmp_path / "lateint.json").read_text())
    ranker = Ranker(load_model(tmp_path))
    logits = ranker.logits(PAIRS)
    assert np.array_equal(ranker.predict(PAIRS), logits) and len(set(logits.tolist())) == len(TEXTS)
    scores = [hit["score"] for hit in ranker.rank_texts(QUERY, TEXTS)]
    assert np.allclose(scores, sorted(logits.tolist(), reverse=True), rtol=1e-5) and len(set(scores)) == len(TEXTS)
    assert len(set(ranker.predict(PAIRS, torch.sigmoid).tolist())) < len(TEXTS)


def test_a_recorded_activation_is_kept_by_every_kind_of_checkpoint(tmp_path):
    model = engine.fresh_model()
    assert model.activation == "sigmoid", "a pretrained classifier is calibrated"
    model.save_pretrained(tmp_path / "full")
    save_delta(model, tmp_path / "delta", str(tiny.checkpoint("bert")))
    for name in ("full", "delta"):
        again = load_model(tmp_path / name)
        assert again.activation == "sigmoid"
        assert np.allclose(Ranker(again).predict(PAIRS), 1 / (1 + np.exp(-Ranker(model).logits(PAIRS))), atol=1e-5)
        assert load_model(tmp_path / name, offline_layers=1).activation == "sigmoid"
        assert load_model(tmp_path / name, "cosine", **engine.LENGTHS).activation == "identity"


@pytest.mark.parametrize(
    ("entries", "activation"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "identity"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        ({"sentence_transformers": {"version": "6"}}, "sigmoid"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}, "torch.nn.modules.activation.Tanh"),
        ({"sentence_transformers": {"activation_fn": "mine.Sigmoid"}}, "mine.Sigmoid"),
    ],
)
def test_the_configuration_of_a_cross_encoder_names_its_activation(tmp_path, entries, activation):
    folder = tmp_path / "bert"
    folder.mkdir()
    for file in tiny.checkpoint("bert").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    engine.edit(folder / "config.json", **entries)
    ranker = Ranker(load_model(folder, "cross_encoder", **engine.LENGTHS))
    assert ranker.model.activation == activation
    logits = ranker.logits(PAIRS)
    if activation == "identity":
        assert np.array_equal(ranker.predict(PAIRS), logits)
    elif activation != "sigmoid":
        for call in (lambda: ranker.predict(PAIRS), lambda: ranker.rank_texts(QUERY, TEXTS)):
            with pytest.raises(InputError, match=f"activation '{activation}'.*activation_fn="):
                call()
        assert np.allclose(ranker.predict(PAIRS, activation_fn=torch.nn.Tanh()), np.tanh(logits), atol=1e-6)


def test_an_untrained_classifier_and_other_heads_have_none(tmp_path):
    assert engine.model("cosine").activation == engine.model("colbert").activation == "identity"
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny.checkpoint("bert")).save_pretrained(tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    assert load_model(tmp_path, "prettr", **engine.LENGTHS).activation == "identity"


def test_training_calibrates_if_its_last_stage_fits_labels():
    ranking, labels = (part(name) for name in ("listwise", "bce"))
    method = preset("prettr")
    stage = method.stages[0] if method.stages else preset("mice").stages[0]
    stages = [replace(stage, losses=((loss, 1.0),)) for loss in (ranking, labels)]
    assert trained_activation(replace(method, stages=tuple(stages))) == "sigmoid"
    assert trained_activation(replace(method, stages=tuple(stages[::-1]))) == "identity"
    assert trained_activation(replace(method, stages=())) == "identity"


def test_a_recorded_activation_that_is_no_name_is_damage(tmp_path):
    engine.fresh_model().save_pretrained(tmp_path)
    engine.edit(tmp_path / "lateint.json", activation=["sigmoid"])
    with pytest.raises(DamagedCheckpoint, match="activation"):
        load_model(tmp_path)


def test_keyword_arguments_of_the_cross_encoder_are_honoured_or_refused(capsys):
    ranker = Ranker(engine.model("cross_encoder"))
    wanted = ranker.predict(PAIRS)
    for options in ({"num_workers": 2}, {"show_progress_bar": False}, {"apply_softmax": False}, {"prompt": None}):
        assert np.array_equal(ranker.predict(PAIRS, **options), wanted)
    assert np.array_equal(ranker.predict(PAIRS, 16), wanted)
    as_tensor = ranker.predict(PAIRS, convert_to_tensor=True)
    assert isinstance(as_tensor, torch.Tensor) and np.array_equal(as_tensor.numpy(), wanted)
    as_list = ranker.predict(PAIRS, convert_to_numpy=False)
    assert isinstance(as_list, list) and [score.item() for score in as_list] == wanted.tolist()
    assert ranker.predict(PAIRS[0], convert_to_tensor=True).shape == ()
    assert capsys.readouterr().err == ""
    ranker.predict(PAIRS, show_progress_bar=True)
    assert "8/8" in capsys.readouterr().err
    for options in ({"apply_softmax": True}, {"prompt": "query: "}, {"device": "cuda:1"}, {"pool": {}, "prompt_name": "q"}):
        with pytest.raises(InputError, match="is not supported"):
            ranker.predict(PAIRS, **options)
        with pytest.raises(InputError, match="is not supported"):
            ranker.rank_texts(QUERY, TEXTS, **options)
    with pytest.raises(TypeError, match="colour"):
        ranker.predict(PAIRS, colour="red")
    ranked = ranker.rank_texts(QUERY, TEXTS, 3, True, batch_size=8, show_progress_bar=False)
    assert len(ranked) == 3 and ranked == ranker.rank_texts(QUERY, TEXTS, top_k=3, return_documents=True)
    identity = ranker.rank_texts(QUERY, TEXTS, activation_fn=torch.nn.Identity())
    assert [hit["score"] for hit in identity] == sorted(ranker.logits(PAIRS).tolist(), reverse=True)


@pytest.mark.parametrize("activation", ["sigmoid", lambda logits: logits.sum(), lambda logits: logits[:, None]])
def test_what_is_no_activation_is_refused(activation):
    with pytest.raises(InputError, match=r"^activation_fn"):
        Ranker(engine.model("cross_encoder")).predict(PAIRS, activation_fn=activation)


def test_a_batch_size_in_second_place_is_checked():
    for value in (0, True, 2.5):
        with pytest.raises(InputError, match=r"batch_size|activation_fn"):
            Ranker(engine.model("cross_encoder")).predict(PAIRS, value)
