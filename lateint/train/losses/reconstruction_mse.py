"""Autoencoder MSE: states restored by a compressor against the original states."""

from __future__ import annotations

import torch
from torch import Tensor

from lateint.errors import InputError
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class ReconstructionMse(Loss):
    """Mean of (expand(compress(v)) - v)² over the real tokens of documents; the layers below get no gradient.

    Source: arXiv:2110.02065, Sec. 3.2 (how SDR trains its autoencoder, with the ranker frozen).
    """

    needs_scores = False

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        model = step.model
        compressor = model.compressor
        if compressor is None or not compressor.expands:
            raise InputError("loss 'reconstruction_mse' needs a compressor that maps codes back, such as aesi or bottleneck")
        documents = list(dict.fromkeys(d for example in step.examples for d in example.documents))
        with torch.no_grad():
            rows, side, _ = model.document_rows(model.document_tokens(documents))
        back = compressor.expand(compressor.compress(rows.states, side), side)
        error: Tensor = (back - rows.states).pow(2).mean(dim=-1)
        return error.mean() if rows.mask is None else error[rows.mask].mean()


PART = ReconstructionMse
