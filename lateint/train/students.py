"""Recipes of students: published methods over the teacher's encoder or the base's, taught by the teacher's scores.

Each departs from its preset only where said: the `matches` readout (ours) in place of a CLS that this base never trained,
and one schedule for all, so that a single file of teacher scores feeds every one of them.
"""

from __future__ import annotations

from dataclasses import replace

from lateint.method import Layout, Method, Stage
from lateint.parts import Part, part
from lateint.presets import preset
from lateint.train.recipe import Recipe

BASE = "all-MiniLM-L6-v2"
TAUGHT = ((part("listwise"), 0.5), (part("kl", temperature=2.0), 1.0))
STAGE = Stage(losses=TAUGHT, train=("layers", "head"), rate=5e-5, head_rate=3e-4, vector_rate=10.0, queries=4, negatives=7)

# The teacher's own layout: its halves of the pair template with one segment, so that its weights see what they know.
QUERY = Layout(template="first", max_length=32)
DOCUMENT = Layout(template="second", positions="offset", max_length=192, segment=0)
# The base's own layout, for methods whose two sides meet after all its layers.
QUERY_ALONE = Layout(template="alone", max_length=32)
DOCUMENT_ALONE = Layout(template="alone", max_length=192)


def _matches(method: Method, **settings: object) -> Part:
    known: dict[str, object] = {**dict(method.head.settings), **settings}
    return part(method.head.name, **(known | {"readout": "matches"}))  # type: ignore[arg-type]


def _joint(name: str, positions: str, **changes: object) -> Method:
    method = preset(name)
    document = replace(DOCUMENT, positions=positions)  # type: ignore[arg-type]
    joint = replace(method, query=QUERY, document=document, head=_matches(method), stages=(STAGE,))
    return replace(joint, **changes)  # type: ignore[arg-type]


def _late(
    name: str, *, stages: tuple[Stage, ...] = (STAGE,), head: dict[str, object] | None = None, **changes: object
) -> Method:
    method = preset(name)
    late = replace(method, query=QUERY_ALONE, document=DOCUMENT_ALONE, head=_matches(method, **(head or {})), stages=stages)
    return replace(late, **changes)  # type: ignore[arg-type]


DEFORMER_STAGE = replace(STAGE, losses=((part("listwise"), 0.7), (part("kl", temperature=2.0), 1.1), (part("layer_mse"), 0.5)))
DIPAIR_STAGES = (
    replace(STAGE, train=("head", "compressor"), head_rate=1e-3),
    replace(STAGE, train=("layers", "head", "compressor")),
)


def _student(method: Method, base: str = BASE, steps: tuple[int, ...] = (300,)) -> Recipe:
    return Recipe(
        name=f"student_{method.name}",
        base=base,
        method=method,
        shares={},
        steps=steps,
        teacher="teacher",
        spans=2500,
        precision="bfloat16",
        weights="int8",
    )


STUDENTS = (
    _student(_joint("prettr", "offset"), base="teacher"),
    _student(_joint("deformer", "restart", stages=(DEFORMER_STAGE,)), base="teacher"),
    _student(_late("dc_bert")),
    _student(_late("mores")),
    _student(_late("mice", head={"blocks": 2, "first": "2T/3"}, offline_layers="2T/3", query_layers="2T/3")),
    _student(
        _late(
            "dipair",
            stages=DIPAIR_STAGES,
            head={"document_tokens": 64, "query_tokens": 32},
            pool=part("first", tokens=64),
            compressor=part("linear", width=128),
        ),
        steps=(100, 200),
    ),
)
