"""What a stage trains: its parameters in groups of one learning rate; all others are frozen."""

from __future__ import annotations

from typing import Any

from lateint.errors import InputError
from lateint.methods.method import Stage
from lateint.model.model import Model


def parameter_groups(model: Model, stage: Stage) -> list[dict[str, Any]]:
    """Parameter groups of what a stage trains: the encoder, maps and vectors outside it. Freezes the rest."""
    parts = _parts(model)
    wanted = [name for name in stage.train if name != "compressor" or model.compressor is not None]
    if odd := [name for name in wanted if name not in parts]:
        raise InputError(f"stage trains {odd[0]!r}, which this model does not have; it has: {', '.join(parts)}")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    chosen = [parameter for name in wanted for parameter in parts[name]]
    if not chosen:
        raise InputError(f"method {model.method.name!r} has nothing to train in {', '.join(stage.train)}; train 'layers'")
    for parameter in chosen:
        parameter.requires_grad_(True)
    encoder = {id(p) for tower in (model.backbone, model.query_backbone) if tower is not None for p in tower.parameters()}
    inside = [p for p in chosen if id(p) in encoder]
    outside = [p for p in chosen if id(p) not in encoder]
    rate = stage.rate if stage.head_rate is None else stage.head_rate
    groups = [
        {"params": inside, "lr": stage.rate},
        {"params": [p for p in outside if p.dim() > 1], "lr": rate},
        {"params": [p for p in outside if p.dim() <= 1], "lr": rate * stage.vector_rate},
    ]
    return [group for group in groups if group["params"]]


def _parts(model: Model) -> dict[str, list[Any]]:
    """Parameters of what a stage can name; `layers` and `embeddings` of both towers, a classifier counts as a layer."""
    own = {"head": model.head, "compressor": model.compressor, "vector_map": model.vector_map}
    found = {name: list(part.parameters()) for name, part in own.items() if part is not None}
    found |= {"layers": [], "embeddings": []}
    for tower in (model.backbone, model.query_backbone):
        if tower is not None:
            embeddings = {id(p) for name, p in tower.bare.named_parameters() if name.startswith("embeddings")}
            for parameter in tower.parameters():
                found["embeddings" if id(parameter) in embeddings else "layers"].append(parameter)
    return found
