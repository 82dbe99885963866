"""Gates: how much the two sides of a joint sequence may look at each other, learned for every layer."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from lateint.backbone.layer import TokenStates


class Gates(nn.Module):
    """A bias on attention between the sides: b for query rows to document tokens, another for the way back, a layer.

    Attention inside a side is as ever; a token of the other side counts exp(b) times before the softmax. Fresh: `start` in
    all layers but the last, 0 there, so that an encoder of single texts begins by reading each side as it knows it, lets
    them meet at the end, and can learn in every layer to meet earlier. Shut for good below L they are the split at L.
    Layers 0..T-1; those below a method's L are not used. Source: lateint.
    """

    def __init__(self, layers: int, start: float) -> None:
        super().__init__()
        fresh = torch.tensor([start] * (layers - 1) + [0.0])
        self.to_document, self.to_query = nn.Parameter(fresh), nn.Parameter(fresh.clone())

    def between(self, number: int, rows: TokenStates, q: int) -> TokenStates:
        """The joint rows [n, q + m, h], with the bias of layer `number`."""
        t = rows.states.shape[1]
        document = torch.arange(t, device=rows.states.device) >= q
        to_document, to_query = self.to_document[number].float(), self.to_query[number].float()
        there, back = ~document[:, None] & document, document[:, None] & ~document
        return replace(rows, bias=there * to_document + back * to_query)
