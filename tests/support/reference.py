"""An independent reference: the layers of the transformers model over the joint sequence, without a split.

It shares only the checkpoint with the engine: masks, positions and segments are built here.
"""

import functools

import torch
from transformers import AutoModelForSequenceClassification


@functools.cache
def load(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()


def embed(hf, ids, segments, positions):
    """Embed token ids, segments and positions [t] as states [1, t, h]."""
    base, family = hf.base_model, hf.config.model_type
    ids, segments, positions = ids[None], segments[None], positions[None]
    if family == "modernbert":
        return base.embeddings(input_ids=ids)
    if family == "distilbert":
        return base.embeddings(input_ids=ids, position_ids=positions)
    shift = hf.config.pad_token_id + 1 if "roberta" in family else 0
    states = base.embeddings(input_ids=ids, token_type_ids=segments, position_ids=positions + shift)
    return base.embeddings_project(states) if hasattr(base, "embeddings_project") else states


def run(hf, states, positions, visible, layers):
    """Run layers of the transformers model; `visible` [t, t] bool says which token may attend to which."""
    base, family = hf.base_model, hf.config.model_type
    for i in layers:
        allowed = visible
        if family == "modernbert":
            layer = base.layers[i]
            if layer.attention_type == "sliding_attention":
                allowed = visible & ((positions[:, None] - positions[None, :]).abs() <= hf.config.sliding_window)
            tables = base.rotary_emb(states, positions[None], layer.attention_type)
            states = layer(states, attention_mask=additive(allowed), position_embeddings=tables)
        else:
            stack = base.transformer.layer if family == "distilbert" else base.encoder.layer
            out = stack[i](states, additive(allowed))
            states = out if torch.is_tensor(out) else out[0]
    return states


def additive(visible):
    return torch.where(visible, 0.0, torch.finfo(torch.float32).min)[None, None]


def classify(hf, states):
    """Apply the checkpoint's classification head to states [1, t, h]."""
    family = hf.config.model_type
    if family == "modernbert":
        return hf.classifier(hf.head(hf.base_model.final_norm(states)[:, 0]))[0]
    if family == "distilbert":
        return hf.classifier(torch.relu(hf.pre_classifier(states[:, 0])))[0]
    if family == "bert":
        return hf.classifier(hf.base_model.pooler(states))[0]
    return hf.classifier(states)[0]


def unsplit(hf, query, document, depth, positions, segments):
    """Return the logits of one pair whose two sides attend to each other only from layer `depth` on.

    query, document: lists of token ids; positions, segments: a pair of lists, for the query and for the document.
    """
    ids = torch.tensor(query + document)
    joint_positions = torch.tensor(positions[0] + positions[1])
    side = torch.tensor([0] * len(query) + [1] * len(document))
    states = embed(hf, ids, torch.tensor(segments[0] + segments[1]), joint_positions)
    total = hf.config.num_hidden_layers
    states = run(hf, states, joint_positions, side[:, None] == side[None, :], range(depth))
    states = run(hf, states, joint_positions, torch.ones(len(ids), len(ids), dtype=torch.bool), range(depth, total))
    return classify(hf, states)
