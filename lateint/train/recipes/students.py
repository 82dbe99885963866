"""Recipes of students: published methods over the teacher's encoder, distilled from the teacher's scores.

They differ from their presets in four points: the `matches` readout (ours) replaces CLS, which this base never trained;
gates (ours) let training start from the scores without the new blocks; layouts are those of single texts, as in the training
of the encoder; all have one schedule, so that all students share a file of teacher scores.
"""

from __future__ import annotations

from dataclasses import replace

from lateint.methods.method import Layout, Method, Stage
from lateint.methods.presets import COLBERT, DC_BERT, DEFORMER, DIPAIR, MICE, MORES, PRETTR, SDR
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe
from lateint.train.recipes.teacher import JOINT, TEACHER, TEACHER_STAGE

# The teacher's own schedule, layouts and gated head, without its residual.
_QUERY, _DOCUMENT = TEACHER.method.query, TEACHER.method.document
_METHODS = (
    replace(PRETTR, head=JOINT, stages=(TEACHER_STAGE,)),
    replace(
        DEFORMER,
        offline_layers="T/2",
        query_layers="T/2",
        head=JOINT,
        stages=(replace(TEACHER_STAGE, losses=(*TEACHER_STAGE.losses, (part("layer_mse"), 0.5))),),
    ),
    replace(DC_BERT, head=part("extra_layers", layers=1, readout="matches"), towers="shared", stages=(TEACHER_STAGE,)),
    replace(
        MORES,
        query_layers="T",
        towers="shared",
        head=part("cross_blocks", blocks=2, first="T-2", order="cross_then_self", readout="matches", gate=0.1),
        stages=(TEACHER_STAGE,),
    ),
    replace(
        MICE,
        offline_layers="2T/3",
        query_layers="2T/3",
        head=part("cross_blocks", blocks=2, first="2T/3", order="self_then_cross", readout="matches", gate=0.1),
        stages=(TEACHER_STAGE,),
    ),
    replace(
        DIPAIR,
        pool=part("first", tokens=128),
        compressor=part("linear", width=128),
        head=part("small_transformer", query_tokens=32, document_tokens=128, layers=2, heads=4, readout="matches"),
        stages=(
            replace(TEACHER_STAGE, train=("head", "compressor"), head_rate=1e-3),
            replace(TEACHER_STAGE, train=("layers", "head", "compressor")),
        ),
    ),
    replace(
        SDR,
        towers="shared",
        head=JOINT,
        stages=(
            replace(TEACHER_STAGE, compressed=False),
            Stage(losses=((part("reconstruction_mse"), 1.0),), train=("compressor",), rate=1e-3, queries=4, negatives=7),
        ),
    ),
    replace(COLBERT, head=part("maxsim", scale=1.0), stages=(replace(TEACHER_STAGE, train=("layers", "head", "compressor")),)),
)
_STEPS = {
    "prettr": (200,),
    "deformer": (200,),
    "dc_bert": (80,),
    "mores": (120,),
    "mice": (240,),
    "dipair": (60, 180),
    "sdr": (40, 200),
    "colbert": (150,),
}


def _as_alone(layout: Layout, plain: Layout) -> Layout:
    """The layout of single texts with the marker and fill tokens of the method's own layout."""
    return replace(plain, marker=layout.marker, fill=layout.fill)


def _student(method: Method) -> Recipe:
    return Recipe(
        name=f"student_{method.name}",
        base="teacher",
        method=replace(method, query=_as_alone(method.query, _QUERY), document=_as_alone(method.document, _DOCUMENT)),
        shares={},
        steps=_STEPS[method.name],
        teacher="teacher",
        spans=TEACHER.spans,
        precision=TEACHER.precision,
        weights=TEACHER.weights,
    )


STUDENTS = tuple(_student(method) for method in _METHODS)
