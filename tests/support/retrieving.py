"""For tests of retrieval: a method with states and vectors, and a retriever over arbitrary vectors."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.retrieval.exact import Exact
from lateint.retrieval.retriever import Retriever
from lateint.retrieval.vectors import Vectors
from tests.support import engine

RICH = replace(preset("prettr"), vector=part("mean"))  # stores states and a vector, as the default checkpoint does
ALONE = replace(RICH, offline_layers="T", codecs=(("vector", ()),), head=part("cosine"))  # reads the vectors of RICH


def unit(n, width, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, width)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def vectors(matrix, names=None):
    """Vectors of documents, one row each."""
    names = names or [f"d{place:04}" for place in range(len(matrix))]
    return Vectors(names, matrix, np.arange(len(matrix) + 1))


class Toy:
    """A model whose query text is a row number; its vector is close to that row."""

    name = "toy"

    def __init__(self, matrix):
        self.matrix = matrix

    def queries(self, texts):
        return [SimpleNamespace(vector=torch.from_numpy(vector(self.matrix, text)), cut=False) for text in texts]


def over(held, index=Exact, model=None):
    """A retriever over given vectors."""
    made = object.__new__(Retriever)
    made.model, made._normalise = model or Toy(held.matrix), False
    made._vectors, made._index = held, index(held)
    made._store = made._match = SimpleNamespace(check=lambda: None)  # there is no store behind these vectors
    return made


def vector(matrix, text):
    noise = np.random.default_rng(int(text)).standard_normal(matrix.shape[1]) / 20
    return (matrix[int(text)] + noise).astype(np.float32)


def same_order(found, wanted):
    """True if two rankings of the same documents agree, except for scores that differ by rounding only."""
    scores = engine.scores(wanted)
    gaps = [scores[left] - scores[right] for left, right in itertools.pairwise(engine.order(found))]
    return set(scores) == set(engine.order(found)) and min(gaps) > -1e-6
