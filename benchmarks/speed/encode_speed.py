"""Does building a store take longer than the layers alone? `build_store`, everything included, against a bare BertModel.

Denominator: transformers' BertModel cut to the layers that a document runs, float32, over the same texts, already
tokenised, sorted by length over the whole corpus and padded, at its best of several batch sizes; its outputs are dropped.
Numerator: `build_store` of the same texts into a new store: model digest, tokenisation, layers, codecs, commits.
Both in turn on the same threads. The ratio is of throughputs: 0.95 means that a build takes 1.05 times as long. Of wall-clock
time, and of the processor's, which other work on the machine disturbs less, but in which nothing that is overlapped is
gained. Then one more build of each method on one thread, its processor time by phase.
Texts: passages of the standard library's documentation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import lateint
import lateint.indexing.build
import lateint.model.model
import lateint_store.store
from benchmarks import _harness
from lateint.backbone.tokenizer import pad_block
from lateint.loading.pretrained import locate
from lateint.model.batching import by_length
from lateint_eval.datasets.stdlib.passages import build_passages

BASE = "all-MiniLM-L6-v2"
BUDGETS = (512, 1_024, 2_048, 4_096, 8_192)  # padded tokens of the peer's batches
PHASES: dict[str, tuple[Any, str]] = {
    "describe": (lateint.indexing.build, "store_layout"),
    "tokenise": (lateint.indexing.build, "tokenise_window"),
    "pad": (lateint.model.model.Model, "_document_block"),
    "layers": (lateint.model.model, "states_after"),
    "pool": (lateint.model.model.Model, "_kept"),
    "vector": (lateint.model.model.Model, "_vectors"),
    "codecs": (lateint_store.store, "encode_entries"),
    "write": (lateint_store.store, "append_window"),
}
Seconds = tuple[float, float]


def seconds(work: Callable[[], Any]) -> Seconds:
    """Wall-clock and processor time of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def bare(layers: int) -> Any:
    """The peer: the first layers of the base as transformers runs them."""
    from transformers import BertModel

    found: Any = BertModel.from_pretrained(str(locate(BASE)), add_pooling_layer=False).eval()
    found.encoder.layer = found.encoder.layer[:layers]
    return found


def padded(rows: Sequence[Sequence[int]], budget: int) -> Iterator[Any]:
    """Batches of the whole corpus, longest first."""
    for places in by_length([len(row) for row in rows], budget):
        yield pad_block([rows[place] for place in places], 0, 0, 0)


def forward(peer: Any, batches: Sequence[Any]) -> None:
    """One pass over all batches."""
    with torch.inference_mode():
        for block in batches:
            mask = torch.ones_like(block.ids) if block.mask is None else block.mask.long()
            peer(input_ids=block.ids, attention_mask=mask, token_type_ids=block.segments)


def best_budget(peer: Any, rows: Sequence[Sequence[int]]) -> int:
    """The peer's fastest batch size over a fifth of the texts, by processor time, least of two."""
    some = rows[::5]
    forward(peer, list(padded(some[::5], BUDGETS[0])))
    took = {budget: min(seconds(partial(forward, peer, list(padded(some, budget))))[1] for _ in "ab") for budget in BUDGETS}
    return min(took, key=lambda budget: took[budget])


def build(model: lateint.Model, documents: Sequence[lateint.Document]) -> None:
    """A store that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        lateint.build_store(model, documents, Path(folder) / "store").close()


def phases(model: lateint.Model, documents: Sequence[lateint.Document]) -> dict[str, float]:
    """Processor seconds of a build on one thread, by phase; `rest` is copies, the compressor, and digests of texts."""
    found = dict.fromkeys(PHASES, 0.0)

    def timed(name: str, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.thread_time()
        result = work(*arguments, **options)
        found[name] += time.thread_time() - start
        return result

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ExitStack() as stack:
        # Else tokenizers has threads of its own, whose time no phase would have.
        stack.enter_context(mock.patch.dict(os.environ, TOKENIZERS_PARALLELISM="false"))
        for name, (owner, attribute) in PHASES.items():
            work = getattr(owner, attribute)
            # A lambda becomes a method where the owner is a class, a partial would not.
            stack.enter_context(mock.patch.object(owner, attribute, lambda *a, n=name, w=work, **o: timed(n, w, *a, **o)))
        _, total = seconds(lambda: build(model, documents))
    torch.set_num_threads(threads)
    return {name: round(value, 3) for name, value in (found | {"rest": total - sum(found.values())}).items()}


def measure(models: dict[str, lateint.Model], documents: Sequence[lateint.Document], pairs: int) -> dict[str, Any]:
    """Alternate between the builds and the peers of their depths; a row for each method."""
    layers = {name: max([model.method.depth, *model.vector_depths]) for name, model in models.items()}
    rows = {name: model.document_tokens(documents) for name, model in models.items()}
    peers = {name: bare(layers[name]) for name in models}
    budgets = {name: best_budget(peers[name], rows[name]) for name in models}
    batches = {name: list(padded(rows[name], budgets[name])) for name in models}
    taken: dict[str, list[tuple[Seconds, Seconds]]] = {name: [] for name in models}
    for model in models.values():
        build(model, documents[:64])
    for _ in range(pairs):
        for name, model in models.items():
            floor = seconds(partial(forward, peers[name], batches[name]))
            taken[name].append((floor, seconds(partial(build, model, documents))))
    found = {}
    for name, pairs_of in taken.items():
        wall, cpu = (statistics.median(floor[i] / ours[i] for floor, ours in pairs_of) for i in (0, 1))
        floor, ours = (statistics.median(side[0] for side in sides) for sides in zip(*pairs_of, strict=True))
        found[name] = {
            "layers": layers[name], "tokens": sum(map(len, rows[name])), "peer_batch_tokens": budgets[name],
            "peer_s": round(floor, 2), "build_s": round(ours, 2), "ratio": round(wall, 3), "cpu_ratio": round(cpu, 3),
            "cpu_s": phases(models[name], documents),
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of peer and build; medians are printed")
    parser.add_argument("--methods", nargs="*", default=["evidence", "latent", "prettr", "mice"])
    options = parser.parse_args()
    texts = [lateint.Document(p.id, p.text, p.title) for p in build_passages()[: options.documents]]
    presets = lateint.PRESETS
    models = {
        name: lateint.load_model(BASE, method=name) if name in presets else lateint.load_model(name) for name in options.methods
    }
    found = measure(models, texts, options.pairs)
    for name, row in found.items():
        print(
            f"{name:<8} {row['layers']} layers: bare {row['peer_s']:.2f} s at {row['peer_batch_tokens']} tokens a batch, build "
            f"{row['build_s']:.2f} s, ratio {row['ratio']:.3f} (processor time {row['cpu_ratio']:.3f})"
        )
        total = sum(row["cpu_s"].values())
        print(f"{'':<8} " + "  ".join(f"{phase} {100 * s / total:.1f} %" for phase, s in row["cpu_s"].items()), flush=True)
    result = {
        "claim": f"build a store of {len(texts)} passages, tokenisation and writing included",
        "denominator": "the bare forward of the same layers, float32, tokenised and length-sorted before, best batch size",
        "command": "python -m benchmarks.speed.encode_speed",
        "threads": torch.get_num_threads(),
        "pairs": options.pairs,
    }
    print(f"written to {_harness.write('encode_speed', result | {'methods': found})}")


if __name__ == "__main__":
    main()
