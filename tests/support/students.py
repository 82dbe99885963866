"""A small ranking source and small students, for the tests of training."""

from dataclasses import replace

from lateint.loading.load import load_model
from lateint.methods.method import Stage
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.testing import tiny
from lateint.train.data import PairSet, TrainingSet
from lateint.train.plan import TrainingPlan
from lateint.train.run import train

LENGTHS = {"query_max_length": 24, "doc_max_length": 48}
TOPICS = {
    "bread": "oven yeast flour water salt",
    "engine": "wheel brake oil filter bolt",
    "sun": "moon star orbit planet comet",
}
BLOCKS = part("cross_blocks", blocks=1, first=3, readout="mean")
LISTWISE = (part("listwise"), 1.0)
STAGE = Stage(losses=(LISTWISE,), rate=1e-2, queries=3, negatives=4)


def source(name="toy"):
    """Three queries with four relevant documents each; every document is everybody's candidate."""
    documents = {
        f"{name}{i}": Document(f"{name}{i}", f"{words} {text}")
        for i, (words, text) in enumerate(
            (topic_words, text) for topic_words in TOPICS.values() for text in tiny.texts(4, seed=len(topic_words), longest=8)
        )
    }
    ids = list(documents)
    queries = {f"q{i}": f"what is the {topic}" for i, topic in enumerate(TOPICS)}
    positives = {f"q{i}": dict.fromkeys(ids[4 * i : 4 * i + 4], 1) for i in range(3)}
    return TrainingSet(name, queries, positives, {q: ids for q in queries}, documents)


def pairs(number=12):
    """Sentence pairs: equal halves are labelled 1."""
    texts = tiny.texts(2 * number, seed=5, longest=8)
    made = [(texts[i], texts[i] if i % 2 else texts[number + i]) for i in range(number)]
    return PairSet("pairs", made, [float(i % 2) for i in range(number)])


def student(method="mice", *, depth=2, **changes):
    """A tiny encoder under a method with depth `depth`."""
    chosen = replace(preset(method), **({} if depth is None else {"offline_layers": depth, "query_layers": depth}))
    return load_model(tiny.checkpoint("bert"), method=replace(chosen, **changes), **LENGTHS)


def run(model, folder, stages=(STAGE,), steps=3, sets=None, **options):
    """Train with these stages; the options of a plan go there, the others to `train`."""
    model.method = replace(model.method, stages=tuple(stages))
    names = ("seed", "shares", "save_every", "precision", "minutes")
    settings = {name: options.pop(name) for name in names if name in options}
    plan = TrainingPlan(method=model.method, steps=(steps,) * len(stages), **settings)
    return train(model, [source()] if sets is None else sets, plan, folder, **options)
