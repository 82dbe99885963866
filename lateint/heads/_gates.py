"""Gates: a learned bias per layer on attention between the two sides of a joint sequence."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from lateint.backbone.layer import TokenStates


class Gates(nn.Module):
    """Two biases per layer: one on attention from query rows to document tokens, one on the reverse.

    Attention inside a side is unchanged; a bias b multiplies the unnormalised attention to the other side by exp(b). Fresh:
    `start` in all layers but the last, and 0 there. So an encoder of single texts at first reads each side as in its own
    training, lets the sides attend to each other in the last layer, and can learn to do so in earlier layers. A bias of minus
    infinity in all layers below L is the split at L. Layers 0..T-1; those below a method's L are not used. Source: lateint.
    """

    def __init__(self, layers: int, start: float) -> None:
        super().__init__()
        fresh = torch.tensor([start] * (layers - 1) + [0.0])
        self.to_document, self.to_query = nn.Parameter(fresh), nn.Parameter(fresh.clone())

    def between(self, number: int, rows: TokenStates, q: int) -> TokenStates:
        """Return the joint rows [n, q + m, h] with the attention bias of layer `number`."""
        t = rows.states.shape[1]
        document = torch.arange(t, device=rows.states.device) >= q
        to_document, to_query = self.to_document[number].float(), self.to_query[number].float()
        there, back = ~document[:, None] & document, document[:, None] & ~document
        return replace(rows, bias=there * to_document + back * to_query)
