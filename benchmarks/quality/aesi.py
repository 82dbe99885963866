"""What side information is worth: SDR's autoencoder, its linear form, and a linear map without any, at 8 to 64 numbers.

States after layer T-2 of the shipped teacher's encoder. All compressors are fitted on the same tokens of training passages
(squad, medquad): the linear ones in closed form, SDR's by Adam for `--steps` steps. Error: squared length that does not come
back over all of it, on other tokens of these passages. Quality: nDCG@10 of the teacher's layers above the split over what comes
back, squad dev and medquad dev, best 20; nothing above the split is trained to any of them, and no codec adds an error.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import lateint
from benchmarks import _harness
from lateint.methods.registry import part
from lateint.train.data import TrainingSet
from lateint.train.initialise import document_states
from lateint.train.recipes.named import recipe
from lateint_eval.datasets.folder import data_folder
from lateint_eval.datasets.sources import training_source
from lateint_eval.measures.metrics import evaluate
from lateint_eval.reporting.sets import tasks
from lateint_eval.systems import as_run

FORMS, WIDTHS = ("linear", "aesi_linear", "aesi"), (8, 16, 32, 64)
SETS = ("squad dev", "medquad dev")
BATCH, RATE, MEASURE = 1_024, 1e-3, "nDCG@10"


def student(form: str, width: int) -> lateint.Model:
    """The teacher under SDR's split, below one of the compressors, without codecs."""
    method = recipe("student_sdr").method
    return lateint.load_model("teacher", replace(method, compressor=part(form, width=width), codecs=()))


def train(compressor: Any, states: Tensor, side: Tensor, steps: int) -> None:
    """SDR's autoencoder by its own loss, rate falling linearly."""
    optimizer = torch.optim.AdamW(compressor.parameters(), lr=RATE)
    random = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        some = torch.randint(len(states), (BATCH,), generator=random)
        loss = F.mse_loss(compressor.expand(compressor.compress(states[some], side[some]), side[some]), states[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def fit(model: lateint.Model, sets: list[TrainingSet], steps: int) -> float:
    """Fit the compressor on one half of the sample; returns the error on the other half."""
    sample = document_states(model, sets, np.random.default_rng(0))
    states, side = sample.states, sample.side
    if side is None:
        model.compressor.fit_directions(states[::2])
    elif hasattr(model.compressor, "fit"):
        model.compressor.fit_with_side(states[::2], side[::2])
    else:
        train(model.compressor, states[::2], side[::2], steps)
    model.rebuild_head()
    held = None if side is None else side[1::2]
    with torch.no_grad():
        back = model.compressor.expand(model.compressor.compress(states[1::2], held), held)
    return float((back - states[1::2]).square().sum() / states[1::2].square().sum())


def quality(model: lateint.Model, queries: int) -> dict[str, float]:
    """nDCG@10 on the first queries of the development sets."""
    found = {}
    for task in tasks(data_folder(), 20):
        if task.name in SETS:
            split, ranker, rankings = task.first(queries).split, lateint.Ranker(model), {}
            for query, text in split.queries.items():
                texts = [split.documents[i] for i in split.candidates[query]]
                documents = [lateint.Document(doc.id, doc.text, doc.title) for doc in texts]
                rankings[query] = [(hit.doc_id, hit.score) for hit in ranker.rank(text, documents=documents)]
            qrels = {query: split.qrels[query] for query in rankings}
            found[task.name] = evaluate(qrels, as_run("r", rankings), [MEASURE]).scores[MEASURE].mean
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of SDR's autoencoder")
    parser.add_argument("--queries", type=int, default=60, help="of each development set")
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
    result = {"claim": "what side information is worth", "steps": options.steps, "queries": options.queries, "rows": rows}
    print(f"written to {_harness.write('aesi', result)}")


if __name__ == "__main__":
    main()
