"""Stores with the facts of a model and sound checksums, but with arrays that it would not write."""

from dataclasses import replace

import numpy as np

from lateint.indexing.build import store_layout
from lateint.indexing.store import Store
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint_store import ArraySpec, Entry, Pipeline, create_store, parse_codecs
from lateint_store.errors import LateintError

CODECS = ["", "int8", "int4", "cast:float16", "rotated:bits=4,scale=none", "rotated:bits=1", "drive:bits=6", "zstd", "pack:8"]
CODECS += ["cast:uint16", "int8:float16+pack:8", "rotated:bits=3,scale=none"]
DTYPES = ["float32", "float16", "uint8", "int64", "uint16"]
IDS = [f"d{i}" for i in range(5)]
WORDS = replace(
    preset("prettr"),
    name="words",
    compressor=part("words", width=8, bits=8, vocabulary=128),
    vector=part("mean"),
    head=part("evidence", document_map=False),
    codecs=(("vector", (part("rotated", bits=4, scale="none"),)),),
)


def mutated(spec, rng):
    """A spec in which one thing, or nothing, differs."""
    dtype, width, rows = spec.dtype, spec.width, spec.rows
    kind = rng.integers(4)
    if kind == 0:
        dtype = str(rng.choice(DTYPES))
    elif kind == 1:
        width = int(rng.choice([1, 2, 3, 5, 8, 16, 32, 33, 64, 128]))
    elif kind == 2:
        rows, width = ("one" if rows == "tokens" else "tokens"), width or 3
    return ArraySpec(dtype, width, rows)


def array(spec, rows, rng):
    """Numbers of a spec: small ones, or any that its type can hold."""
    shape = spec.shape(rows)
    if spec.is_float:
        largest = [0, 0, 0, 4, 30] if spec.dtype == "float32" else [0, 0, 4]
        return (rng.uniform(-1, 1, shape) * 10.0 ** rng.choice(largest)).astype(spec.dtype)
    limit = np.iinfo(spec.dtype)
    wild = rng.random() < 0.5
    low, high = (limit.min, limit.max) if wild else (0, 100)
    return rng.integers(low, high, shape, dtype=spec.dtype)


def mutant(folder, model, rng):
    """A store of a few entries, open; None if the codecs do not take the arrays."""
    through, about = store_layout(model, None, None)
    try:
        for name in through:
            if rng.random() < 0.6:
                codecs = parse_codecs(f"{name}={chosen}")[name] if (chosen := str(rng.choice(CODECS))) else ()
                through[name] = Pipeline(mutated(through[name].spec, rng), codecs)
        rows = rng.choice([0, 1, 3, 48, 49, 200], len(IDS))
        made = [Entry(i, {name: array(p.spec, n, rng) for name, p in through.items()}) for i, n in zip(IDS, rows, strict=True)]
        store = create_store(folder, through, kind=Store, **about)
    except LateintError:
        return None
    try:
        store.append(made, len(made), "x")
    except LateintError:
        store.close()
        return None
    return store
