"""Find the layer whose mean vectors retrieve best, and measure quality and speed of a dual encoder of two layers.

Sweep: for every encoder and every number of layers L, cosines of the mean vectors of texts encoded alone rank BM25's candidates
(squad dev, the first queries of the fixed sample, nDCG@10) and score the pairs of STS-B dev (Spearman).
Speed: passages a second through two layers (numerator) against all layers of the base (denominator), in the same run with the
same batches and padding, medians of alternating runs; both sides tokenise.
Source of the question: arXiv:2502.03552.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from benchmarks.quality import pairs
from lateint.backbone.split import states_after
from lateint_eval.datasets.folder import Split, data_folder, read_split, sampled_queries
from lateint_eval.measures.metrics import evaluate
from lateint_eval.measures.pairs import evaluate_pairs
from lateint_eval.measures.significance import compare
from lateint_eval.systems import as_run

BATCH, LONGEST = 32, 128
TRAINED = pairs.TRAINED | {
    "early-layers": "lateint train --recipe early_layers --data stsb.tsv.gz --doc-max-length 96 --minutes 2.5 --full "
    "--output early-layers",
}
Floats = NDArray[np.float32]


@torch.inference_mode()
def layer_vectors(model: Any, texts: Sequence[str]) -> dict[str, Floats]:
    """The mean vectors [T, h] of each text after every layer, scaled to length 1."""
    layers = len(model.backbone.layers)
    rows = model.texts.tokens(texts, model.method.document)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    vectors: dict[str, Floats] = {}
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        batch = model.texts.block([rows[index] for index in indices], model.method.document)
        after = states_after(model.backbone, batch, range(1, layers + 1))
        pooled = [model.vector_pool(after[depth], batch.ids).states[:, 0] for depth in range(1, layers + 1)]
        stacked = torch.stack(pooled, dim=1).float().numpy()
        vectors |= {texts[index]: matrix for index, matrix in zip(indices, stacked, strict=True)}
    return vectors


def sample(queries: int, depth: int) -> Split:
    """The first queries of the fixed sample of squad dev, each with BM25's best `depth` candidates."""
    return read_split(data_folder() / "squad", "dev").only(sampled_queries("squad", "dev")[:queries], depth)


def sweep(name: str, split: Split) -> list[dict[str, Any]]:
    """One row a layer of one encoder; `difference` is nDCG@10 minus that of the encoder's last layer."""
    model = lateint.load_model(name, "cosine", doc_max_length=LONGEST)
    compared = pairs.STSB.pairs("dev")
    passages = {d: _text(split, d) for ids in split.candidates.values() for d in ids}
    texts = {*split.queries.values(), *passages.values(), *(p.first for p in compared), *(p.second for p in compared)}
    vectors = layer_vectors(model, sorted(texts))
    labels = pairs.STSB.labels("dev")
    results, rows = {}, []
    for layer in range(len(next(iter(vectors.values())))):
        ranked = {
            query: _ranked({d: float(vectors[passages[d]][layer] @ vectors[text][layer]) for d in split.candidates[query]})
            for query, text in split.queries.items()
        }
        results[layer] = evaluate(split.qrels, as_run(name, ranked), ["nDCG@10"]).scores["nDCG@10"]
        scores = np.array([float(vectors[p.first][layer] @ vectors[p.second][layer]) for p in compared])
        similar = evaluate_pairs(scores, labels).to_json()["measures"]["Spearman"]
        rows.append({"encoder": Path(name).name, "layer": layer + 1, "nDCG@10": results[layer].mean, "STS-B dev": similar})
    last = results[len(rows) - 1]
    for layer, row in enumerate(rows):
        row["difference"] = asdict(compare(results[layer].per_query, last.per_query))
    return rows


def _ranked(scores: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _text(split: Split, doc_id: str) -> str:
    document = split.documents[doc_id]
    return lateint.Document(document.id, document.text, document.title).full_text


def trained(names: list[str]) -> dict[str, dict[str, Any]]:
    """The training command, steps and seconds of each checkpoint in `TRAINED`."""
    folders = {Path(name).name: Path(name) for name in names if Path(name).name in TRAINED}
    return {name: {"command": TRAINED[name]} | pairs.budget(folder) for name, folder in folders.items()}


def speed(shallow: str, texts: list[str], turns: int) -> dict[str, Any]:
    """Passages a second of the base and of a two-layer encoder, which alternate; the first turn warms up."""
    documents = [lateint.Document("", text) for text in texts]

    def encode(model: lateint.Model) -> None:
        rows = sorted(model.document_tokens(documents), key=len)
        for start in range(0, len(rows), BATCH):
            model.encode(rows[start : start + BATCH])

    models = {"base": lateint.load_model(BASE, "cosine", doc_max_length=LONGEST)}
    models["shallow"] = lateint.load_model(shallow, "early_layers", doc_max_length=LONGEST)
    clocked = {name: partial(_harness.milliseconds, partial(encode, model)) for name, model in models.items()}
    times = _harness.alternate(clocked, turns + 1)
    ms = _harness.medians({name: each[1:] for name, each in times.items()})
    return {
        "passages": len(texts),
        "pairs": turns,
        "denominator": f"{BASE}, all layers, the same passages, batches of {BATCH}, the same run",
        "passages_a_second": {name: 1e3 * len(texts) / value for name, value in ms.items()},
        "speedup": ms["base"] / ms["shallow"],
    }


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--encoders", nargs="*", default=[], help="more checkpoints to sweep, by name or folder")
    parser.add_argument("--shallow", default=BASE, help="a dual encoder, swept and timed at two layers")
    parser.add_argument("--queries", type=int, default=100, help="first queries of the fixed sample")
    parser.add_argument("--depth", type=int, default=50, help="BM25 candidates a query")
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of the speed test")
    options = parser.parse_args()
    split = sample(options.queries, options.depth)
    swept = list(dict.fromkeys([BASE, *options.encoders, options.shallow]))
    rows = [row for name in swept for row in sweep(name, split)]
    passages = sorted({_text(split, d) for ids in split.candidates.values() for d in ids})[:128]
    result = {
        "claim": "earlier layers of a cross-encoder retrieve better than its last; two layers encode at least twice as fast",
        "command": f"python -m benchmarks.quality.early_layers --queries {options.queries} --depth {options.depth} "
        f"--encoders {' '.join(Path(name).name for name in options.encoders)} --shallow {Path(options.shallow).name}",
        "set": f"squad dev, {len(split.queries)} queries, BM25 top {options.depth}; STS-B dev",
        "threads": torch.get_num_threads(),
        "rows": rows,
        "trained": trained(swept),
        "speed": speed(options.shallow, passages, options.pairs),
    }
    for row in rows:
        gap, similar = row["difference"], row["STS-B dev"]
        print(
            f"{row['encoder']:<24} layer {row['layer']}  nDCG@10 {row['nDCG@10']:.4f}  minus the last {gap['difference']:+.4f} "
            f"[{gap['low']:+.4f}, {gap['high']:+.4f}]  "
            f"STS-B {similar['value']:.4f} [{similar['low']:.4f}, {similar['high']:.4f}]"
        )
    print(result["speed"])
    _harness.save("early_layers", result)


if __name__ == "__main__":
    main()
