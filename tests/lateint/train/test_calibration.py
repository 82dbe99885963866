"""Calibration fits a sigmoid to labels, keeps the order of logits, and is recorded by checkpoints."""

import json

import numpy as np
import pytest
import torch

from lateint.errors import DamagedCheckpoint, InputError
from lateint.loading.load import load_model
from lateint.model.activation import Sigmoid
from lateint.model.saving import record_activation
from lateint.ranking.ranker import Ranker
from lateint.train.calibration import LIMIT, calibrate, fit_sigmoid
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERY

PAIRS = [(QUERY, document.text) for document in DOCUMENTS[:8]]
LABELS = [1, 0, 0, 1, 0, 0, 0, 0]


def drawn(scale=0.5, shift=-11.0, n=20_000):
    """Logits of the size that shipped checkpoints give, and labels drawn from a known sigmoid of them."""
    generator = np.random.default_rng(0)
    logits = generator.normal(20, 4, n).astype(np.float32)
    return logits, (generator.random(n) < 1 / (1 + np.exp(-(scale * logits + shift)))).astype(np.float64)


def reference(logits, labels):
    """The same fit by torch's quasi-Newton method, on centred logits in float64."""
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    y = y * (y.sum() + 1) / (y.sum() + 2) + (1 - y) / ((1 - y).sum() + 2)
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        z = weights[0] * (x - x.mean()) + weights[1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
        loss.backward()
        return loss

    optimiser.step(closure)
    slope, intercept = weights.tolist()
    return slope, intercept - slope * x.mean().item()


def test_a_fit_finds_the_sigmoid_that_labels_were_drawn_from():
    fitted = fit_sigmoid(*drawn())
    assert (fitted.scale, fitted.shift) == pytest.approx((0.5, -11.0), rel=0.05)
    assert (fitted.scale, fitted.shift) == pytest.approx(reference(*drawn()), rel=1e-4)
    other = fit_sigmoid(*drawn(scale=0.2, shift=-5.0))
    assert other.scale == pytest.approx(0.2, rel=0.1)


def test_a_prior_moves_the_shift_by_its_odds_and_leaves_the_scale():
    logits, labels = drawn()
    plain, even, rare = (fit_sigmoid(logits, labels, prior) for prior in (None, 0.5, 0.01))
    odds = np.log(labels.mean() / (1 - labels.mean()))
    assert plain.scale == even.scale == rare.scale
    assert (even.shift - plain.shift, rare.shift - plain.shift) == pytest.approx((-odds, np.log(1 / 99) - odds), rel=1e-6)
    for prior in (0, 1, 1.5, -0.1, float("nan"), True, "0.5"):
        with pytest.raises(InputError, match=r"^prior="):
            calibrate(engine.model(), PAIRS, LABELS, prior=prior)


def test_labels_that_logits_separate_give_values_that_float32_tells_apart():
    logits = np.linspace(17, 42, 2_000, dtype=np.float32)
    fitted = fit_sigmoid(logits, (logits > 40).astype(np.float64))
    z = fitted.scale * logits.astype(np.float64) + fitted.shift
    assert np.abs(z).max() <= LIMIT * (1 + 1e-9) and fitted.scale > 0
    values = fitted(torch.from_numpy(logits)).numpy()
    assert values.dtype == np.float32 and (np.diff(values) > 0).all() and values[0] > 0 and values[-1] < 1


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([1] * 8, "at least two different ones"),
        ([0, 1], "2 labels for 8 pairs"),
        ([0, 2, *[0] * 6], "of 0 to 1"),
        ([float("nan"), *[0] * 7], "of 0 to 1"),
        (["yes", *[0] * 7], "not numbers"),
        ("00010000", "labels is a str"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, problem):
    with pytest.raises(InputError, match=problem):
        calibrate(engine.fresh_model(), PAIRS, labels)


def test_labels_that_fall_as_logits_rise_are_refused():
    logits, labels = drawn(n=500)
    with pytest.raises(InputError, match="fall as the logits rise"):
        fit_sigmoid(logits, 1 - labels)
    with pytest.raises(InputError, match="logits are 3"):
        fit_sigmoid(np.full(4, 3, np.float32), np.array([0.0, 1, 0, 1]))


def test_a_calibrated_model_keeps_its_sigmoid_in_a_checkpoint(tmp_path):
    model = engine.fresh_model()
    logits = Ranker(model).logits(PAIRS)
    fitted = calibrate(model, iter(PAIRS), (float(value > np.median(logits)) for value in logits))
    assert model.activation is fitted
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.activation == fitted and load_model(tmp_path, offline_layers=1).activation == fitted
    values = Ranker(again).predict(PAIRS)
    z = logits.astype(np.float64) * fitted.scale + fitted.shift
    assert np.allclose(values, 1 / (1 + np.exp(-z)), atol=1e-6)
    assert values.dtype == np.float32 and values.argsort().tolist() == logits.argsort().tolist()
    ranked = Ranker(again).rank_texts(QUERY, [text for _, text in PAIRS])
    assert [hit["score"] for hit in ranked] == pytest.approx(sorted(values.tolist(), reverse=True), abs=1e-6)


def test_an_activation_is_recorded_in_place_and_nothing_else_changes(tmp_path):
    model = engine.fresh_model()
    model.save_pretrained(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    fitted = Sigmoid(0.1, -2.5)
    record_activation(tmp_path, fitted)
    assert load_model(tmp_path).activation == fitted
    record_activation(tmp_path, "sigmoid")  # as it was
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "recorded",
    [
        {"name": "sigmoid"},
        {"name": "tanh", "scale": 1.0, "shift": 0.0},
        {"name": "sigmoid", "scale": 0, "shift": 0.0},
        {"name": "sigmoid", "scale": -1.0, "shift": 0.0},
        {"name": "sigmoid", "scale": True, "shift": 0.0},
        {"name": "sigmoid", "scale": "1", "shift": 0.0},
        {"name": "sigmoid", "scale": 10**400, "shift": 0.0},
        {"name": "sigmoid", "scale": 1.0, "shift": None},
        {"name": "sigmoid", "scale": 1.0, "shift": 0.0, "bias": 1},
        ["sigmoid"],
        None,
    ],
)
def test_an_odd_recorded_activation_is_damage(tmp_path, recorded):
    from lateint.loading.config import read_config
    from lateint.model.digests import digest_json

    engine.model().save_pretrained(tmp_path)
    file = tmp_path / "lateint.json"
    data = json.loads(file.read_text()) | {"activation": recorded}
    del data["digest"]
    file.write_text(json.dumps(data | {"digest": digest_json(data)}))
    with pytest.raises(DamagedCheckpoint, match=r"activation|sigmoid"):
        read_config(tmp_path)


@pytest.mark.parametrize("activation", [torch.sigmoid, 3, None])
def test_an_activation_that_no_checkpoint_can_record_is_refused(tmp_path, activation):
    model = engine.fresh_model("cosine")
    model.activation = activation
    with pytest.raises(InputError, match=r"expected 'identity', 'sigmoid' or a Sigmoid"):
        model.save_pretrained(tmp_path)
