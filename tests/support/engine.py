"""Small models, documents and stores for the tests of the engine."""

import functools
import json
from dataclasses import replace

import torch

from lateint.indexing.build import build_store
from lateint.indexing.chunks import Chunks
from lateint.loading.load import load_model
from lateint.methods.presets import PRESETS, preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from tests.support.encoders import read_once

METHODS = sorted(PRESETS)
LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
LOSSLESS = {"states": "float32", "vector": "float32", "token_ids": "uint32"}
QUERY = "how is bread and yeast in the oven"
QUERIES = [QUERY, *tiny.texts(9, seed=12, longest=9)]
DOCUMENTS = [Document(f"d{i:02}", text) for i, text in enumerate(tiny.texts(40, seed=11))]
IDS = [document.id for document in DOCUMENTS]
CHUNKS = Chunks(20, 6)
LONG = [Document(f"D{i}", text, "bread" * (i % 3 == 0)) for i, text in enumerate(tiny.texts(20, seed=21, longest=90))]


def lossless(method):
    """The method with lossless codecs."""
    return replace(method, codecs=tuple((name, (part("cast", dtype=LOSSLESS[name]),)) for name, _ in method.codecs))


def fresh_model(method="prettr", family="bert", **options):
    """A new model, which a test may change."""
    chosen = preset(method) if isinstance(method, str) else method
    with read_once():
        return load_model(tiny.checkpoint(family), method=lossless(chosen), **(LENGTHS | options))


@functools.cache
def model(method="prettr", family="bert", **options):
    """A cached model, which tests must not change."""
    return fresh_model(method, family, **options)


def store(folder, method="prettr", family="bert", documents=DOCUMENTS, **options):
    """A store of the documents, built by the shared model."""
    return build_store(model(method, family), documents, folder / "store", **options)


def scores(ranking):
    """{id: score}."""
    return {hit.doc_id: hit.score for hit in ranking}


def order(ranking):
    """Ids, best first."""
    return [hit.doc_id for hit in ranking]


def close(left, right):
    """True if two {id: score} agree to 1e-5 of their spread; asserts that the spread is large enough to compare."""
    spread = max(right.values()) - min(right.values())
    assert left.keys() == right.keys() and spread > 1e-3
    return max(abs(left[i] - right[i]) for i in right) <= 1e-5 * max(1.0, spread)


def flip(file, at):
    """Change one bit of a file."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def cut(file, size):
    """Keep the first `size` bytes of a file."""
    file.write_bytes(file.read_bytes()[:size])


def edit(file, **fields):
    """Change fields of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def shaken(method, family="bert"):
    """A model with a random change to every weight, as after training."""
    model = fresh_model(method, family)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model
