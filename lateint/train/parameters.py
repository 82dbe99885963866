"""The parameters that a stage trains, in groups that share a learning rate. All others are frozen."""

from __future__ import annotations

from torch.nn import Parameter

from lateint.errors import InputError
from lateint.methods.method import Stage
from lateint.model.model import Model

ParameterGroup = dict[str, list[Parameter] | float]
"""`params` and their learning rate `lr`, as torch's optimizers take them."""


def parameter_groups(model: Model, stage: Stage) -> list[ParameterGroup]:
    """Group the parameters that a stage trains, and freeze the others.

    Up to three groups: the encoder at `stage.rate`; matrices outside it at `head_rate`; vectors and scalars outside it at
    `head_rate` times `vector_rate`.
    Raises: InputError if the model lacks a part that the stage names, or there is nothing to train.
    """
    parts = _parts(model) | _last_layers(model, stage)
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
    groups: list[ParameterGroup] = [
        {"params": inside, "lr": stage.rate},
        {"params": [p for p in outside if p.dim() > 1], "lr": rate},
        {"params": [p for p in outside if p.dim() <= 1], "lr": rate * stage.vector_rate},
    ]
    return [group for group in groups if group["params"]]


def _parts(model: Model) -> dict[str, list[Parameter]]:
    """Parameters by the names that a stage can give; `layers` and `embeddings` are those of both towers.

    A classifier counts as a layer. `query_layers` are those of a query tower with its own weights.
    """
    modules = {"head": model.head, "compressor": model.compressor, "vector_map": model.vector_map}
    parts = {name: list(module.parameters()) for name, module in modules.items() if module is not None}
    parts |= {"layers": [], "embeddings": []}
    for tower in (model.backbone, model.query_backbone):
        if tower is not None:
            embeddings = {id(p) for name, p in tower.bare.named_parameters() if name.startswith("embeddings")}
            for parameter in tower.parameters():
                parts["embeddings" if id(parameter) in embeddings else "layers"].append(parameter)
    if model.query_backbone is not None:
        ours = set(map(id, model.query_backbone.parameters()))
        parts["query_layers"] = [parameter for parameter in parts["layers"] if id(parameter) in ours]
    return parts


def _last_layers(model: Model, stage: Stage) -> dict[str, list[Parameter]]:
    """Parameters of the last n layers of the query tower, for each name `query_layers:n` of a stage.

    The lower layers then stay those of the document tower, which a checkpoint keeps once.
    Raises: InputError for n that is no number of layers.
    """
    if model.query_backbone is None:
        return {}
    layers, found = model.query_backbone.layers[: model.method.query_depth], {}
    for name in stage.train:
        start, mark, number = name.partition(":")
        if mark and start == "query_layers":
            if not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= len(layers):
                raise InputError(f"stage trains {name!r}; expected 'query_layers:n' with n from 1 to {len(layers)}")
            found[name] = [parameter for layer in layers[-int(number) :] for parameter in layer.parameters()]
    return found
