"""How much does side information help? SDR's autoencoder, its linear form, and a linear map without it, at 8 to 64 numbers.

States come from layer T-2 of the shipped `reranker`, as in the preset `sdr`. All compressors are fitted on the same tokens of
training passages (squad, medquad): the linear ones in closed form, SDR's with Adam for `--steps` steps. Error: squared length
of the difference between states before and after compression (numerator) by squared length of the states (denominator), on
held-out tokens of the same passages. Quality: nDCG@10 when the reranker's upper layers read the reconstructed states, squad
dev and medquad dev, best 20. The upper layers are not trained for any compressor, and no codec adds an error.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import lateint
from benchmarks import _harness
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.train.data import TrainingSet
from lateint.train.initialise import document_states
from lateint_eval.datasets.folder import data_folder
from lateint_eval.datasets.sources import training_source
from lateint_eval.measures.metrics import evaluate
from lateint_eval.reporting.sets import tasks
from lateint_eval.systems import as_run

FORMS, WIDTHS = ("linear", "aesi_linear", "aesi"), (8, 16, 32, 64)
SETS = ("squad dev", "medquad dev")
BATCH, RATE, MEASURE = 1_024, 1e-3, "nDCG@10"


def student(form: str, width: int) -> lateint.Model:
    """The reranker with SDR's split and the given compressor, without codecs."""
    return lateint.load_model("reranker", replace(preset("sdr"), compressor=part(form, width=width), codecs=()))


def train(compressor: Any, states: Tensor, side: Tensor, steps: int) -> None:
    """Train SDR's autoencoder with its own loss; the learning rate falls linearly to zero."""
    optimizer = torch.optim.AdamW(compressor.parameters(), lr=RATE)
    random = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        batch = torch.randint(len(states), (BATCH,), generator=random)
        loss = F.mse_loss(compressor.expand(compressor.compress(states[batch], side[batch]), side[batch]), states[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def fit(model: lateint.Model, sets: list[TrainingSet], steps: int) -> float:
    """Fit the compressor on one half of the sampled tokens; returns the error on the other half."""
    sample = document_states(model, sets, np.random.default_rng(0))
    states, side = sample.states, sample.side
    if side is None:
        model.compressor.fit_directions(states[::2])
    elif hasattr(model.compressor, "fit"):
        model.compressor.fit_with_side(states[::2], side[::2])
    else:
        train(model.compressor, states[::2], side[::2], steps)
    model.rebuild_head()
    held_out, held_side = states[1::2], None if side is None else side[1::2]
    with torch.no_grad():
        restored = model.compressor.expand(model.compressor.compress(held_out, held_side), held_side)
    return float((restored - held_out).square().sum() / held_out.square().sum())


def quality(model: lateint.Model, queries: int) -> dict[str, float]:
    """nDCG@10 on the first queries of each development set."""
    means = {}
    for task in tasks(data_folder(), 20):
        if task.name in SETS:
            split, ranker, rankings = task.first(queries).split, lateint.Ranker(model), {}
            for query, text in split.queries.items():
                texts = [split.documents[i] for i in split.candidates[query]]
                documents = [lateint.Document(doc.id, doc.text, doc.title) for doc in texts]
                rankings[query] = [(hit.doc_id, hit.score) for hit in ranker.rank(text, documents=documents)]
            qrels = {query: split.qrels[query] for query in rankings}
            means[task.name] = evaluate(qrels, as_run("r", rankings), [MEASURE]).scores[MEASURE].mean
    return means


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--steps", type=int, default=400, help="training steps of SDR's autoencoder")
    parser.add_argument("--queries", type=int, default=60, help="first queries of each development set")
    options = parser.parse_args()
    sets: Any = [training_source(data_folder() / name, "train", 0) for name in ("squad", "medquad")]
    rows = []
    for width in WIDTHS:
        for form in FORMS:
            model, start = student(form, width), time.perf_counter()
            row = {"form": form, "width": width, "error": fit(model, sets, options.steps)}
            row |= {"seconds": time.perf_counter() - start} | quality(model, options.queries)
            rows.append(row)
            print(*(f"{key} {value:.4f}" if isinstance(value, float) else f"{value}" for key, value in row.items()), flush=True)
    result = {
        "claim": "what side information is worth",
        "command": f"python -m benchmarks.quality.aesi --steps {options.steps} --queries {options.queries}",
        "steps": options.steps,
        "queries": options.queries,
        "rows": rows,
    }
    _harness.save("aesi", result)


if __name__ == "__main__":
    main()
