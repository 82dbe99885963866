"""The contract checks fail for parts that break a promise; that all parts keep theirs is tested in the folders of parts."""

from dataclasses import replace

import pytest
import torch

from lateint.backbone.layer import TokenStates
from lateint.compressors.aesi import Aesi
from lateint.compressors.linear import Linear
from lateint.compressors.residual import Residual
from lateint.compressors.words import Words
from lateint.heads.base import TokenShares
from lateint.heads.cosine import Cosine
from lateint.heads.joint_layers import JointLayers
from lateint.heads.maxsim import MaxSim
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.pools.all_tokens import AllTokens
from lateint.pools.mean import Mean
from lateint.testing.contracts import check_compressor, check_head, check_loss, check_pool
from lateint.train.losses.kl import Kl
from lateint.train.losses.listwise import Listwise


def replaced(method, change):
    """The method of a class with its result changed."""
    return lambda self, *given, **named: change(method(self, *given, **named))


@pytest.mark.parametrize(
    ("cls", "attribute", "wrong", "message"),
    [
        (Mean, "__call__", lambda self, rows, ids: TokenStates(rows.states.mean(1)[:, None], rows.positions[:, :1]), "padding"),
        (Mean, "width", classmethod(lambda cls, width, **settings: width + 1), "width"),
        (Mean, "keeps_tokens", True, "keeps_tokens"),
        (Mean, "check", lambda self, layout, depth: None, "refuses to read more layers"),
        (AllTokens, "__call__", lambda self, rows, ids: replace(rows, mask=None), "keeps_tokens"),
    ],
)
def test_a_pool_that_breaks_a_promise_is_found(monkeypatch, cls, attribute, wrong, message):
    name = "mean" if cls is Mean else "all_tokens"
    check_pool(name)
    monkeypatch.setattr(cls, attribute, wrong)
    with pytest.raises(AssertionError, match=f"broken promise: pool '{name}' .*{message}"):
        check_pool(name)


@pytest.mark.parametrize(
    ("cls", "attribute", "wrong", "message"),
    [
        (Linear, "compress", replaced(Linear.compress, lambda codes: codes + codes.mean(1, keepdim=True)), "by itself"),
        (Linear, "needs_side", True, "exactly if `needs_side`"),
        (Linear, "linear_up", lambda self: 2 * self.up, "expands by `linear_up`"),
        (Linear, "fit", lambda self, data, trained=frozenset(): self.fit_directions(data.documents.states), "trained"),
        (Aesi, "needs_side", False, "exactly if `needs_side`"),
        (Residual, "decode", replaced(Residual.decode, lambda directions: directions + 1), "look-up tables"),
        (Words, "token_ids", replaced(Words.token_ids, lambda ids: ids + 1), "token ids"),
        (Residual, "straight_through", lambda self, z, ids, v=None: self.decode(self.quantize(z)) + 0 * z, "straight through"),
    ],
)
def test_a_compressor_that_breaks_a_promise_is_found(monkeypatch, cls, attribute, wrong, message):
    name = cls.__name__.lower()
    check_compressor(name)
    monkeypatch.setattr(cls, attribute, wrong)
    with pytest.raises(AssertionError, match=f"broken promise: (compressor|quantiser) '{name}' .*{message}"):
        check_compressor(name)


@pytest.mark.parametrize(
    ("name", "cls", "attribute", "wrong", "message"),
    [
        ("maxsim", MaxSim, "score", replaced(MaxSim.score, torch.zeros_like), "different documents"),
        ("maxsim", MaxSim, "score", replaced(MaxSim.score, lambda scores: scores - scores.max()), "alone"),
        ("maxsim", MaxSim, "score", replaced(MaxSim.score, torch.Tensor.double), "float32"),
        ("maxsim", MaxSim, "reads", ("states", "token_ids"), "without the array 'token_ids'"),
        ("maxsim", MaxSim, "explain", replaced(MaxSim.explain, lambda found: TokenShares(found.pairs[1:], {})), "sum to it"),
        ("maxsim", MaxSim, "explain", lambda self, query, docs: TokenShares(((0, 48, 1.0),), {}), "rows of both sides"),
        ("joint_layers", JointLayers, "trace", replaced(JointLayers.trace, lambda states: states[1:]), "depths L to T"),
        ("cosine", Cosine, "score_quantized", replaced(Cosine.score_quantized, lambda scores: scores + 0.1), "stored bytes"),
    ],
)
def test_a_head_that_breaks_a_promise_is_found(monkeypatch, name, cls, attribute, wrong, message):
    monkeypatch.setattr(cls, attribute, wrong)
    with pytest.raises(AssertionError, match=f"broken promise: head '{name}' .*{message}"):
        check_head(name)


def test_a_head_is_checked_below_the_method_that_is_given():
    check_head("maxsim", replace(preset("colbert"), compressor=part("linear", width=8)), scale=2.0)


@pytest.mark.parametrize(
    ("name", "cls", "attribute", "wrong", "message"),
    [
        ("kl", Kl, "needs_teacher_scores", False, "does not read a teacher's scores"),
        ("listwise", Listwise, "needs_teacher_scores", True, "refuses a step without a teacher's scores"),
        ("listwise", Listwise, "__call__", replaced(Listwise.__call__, lambda loss: loss[None]), "scalar"),
    ],
)
def test_a_loss_that_breaks_a_promise_is_found(monkeypatch, name, cls, attribute, wrong, message):
    check_loss(name)
    monkeypatch.setattr(cls, attribute, wrong)
    with pytest.raises(AssertionError, match=f"broken promise: loss '{name}' .*{message}"):
        check_loss(name)
