"""Does building a store take longer than the layers alone? `build_store`, everything included, against a bare BertModel.

Numerator: `build_store` of the texts into a new store: model digest, tokenisation, layers, codecs, commits.
Denominator: the model's encoder as transformers runs it, cut to the layers that a document runs, float32, over the same texts,
already tokenised, sorted by length over the whole corpus and padded, at its best batch size; its outputs are dropped.
Both alternate on the same threads. The printed ratio is one of throughputs: 0.95 means that a build takes 1.05 times as long.
It is given for wall-clock time and for processor time; other work on the machine disturbs processor time less, but overlapping
phases do not shorten it. Then each method is built once more on one thread, and its processor time is split by phase.
Texts: passages of the standard library's documentation.
"""

from __future__ import annotations

import copy
import os
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
import lateint_store.store.store
from benchmarks import _harness
from benchmarks._harness import wall_and_processor
from lateint.backbone.tokenizer import TokenBatch, pad_batch
from lateint.model.batching import by_length

BUDGETS = (512, 1_024, 2_048, 4_096, 8_192)  # padded tokens in a batch of the peer
PHASES: dict[str, tuple[Any, str]] = {
    "describe": (lateint.indexing.build, "store_layout"),
    "tokenise": (lateint.model.model.Model, "document_tokens"),
    "pad": (lateint.model.model.Model, "_document_block"),
    "layers": (lateint.model.model, "states_after"),
    "pool": (lateint.model.model.Model, "_kept"),
    "vector": (lateint.model.model.Model, "_vectors"),
    "codecs": (lateint_store.store.store, "encode_entries"),
    "write": (lateint_store.store.store, "append_window"),
}


def bare(model: lateint.Model, layers: int) -> Any:
    """The peer: the first layers of the model's encoder as transformers runs them, in float32."""
    peer: Any = copy.deepcopy(model.backbone.bare).eval()
    peer.pooler, peer.encoder.layer = None, peer.encoder.layer[:layers]
    return peer


def padded(rows: Sequence[Sequence[int]], budget: int) -> Iterator[TokenBatch]:
    """Batches of the whole corpus, each of at most `budget` padded tokens, longest texts first."""
    for indices in by_length([len(row) for row in rows], budget):
        yield pad_batch([rows[index] for index in indices], 0, 0, 0)


def forward(peer: Any, batches: Sequence[TokenBatch]) -> None:
    """Run the peer over all batches."""
    with torch.inference_mode():
        for batch in batches:
            mask = torch.ones_like(batch.ids) if batch.mask is None else batch.mask.long()
            peer(input_ids=batch.ids, attention_mask=mask, token_type_ids=batch.segments)


def best_budget(peer: Any, rows: Sequence[Sequence[int]]) -> int:
    """The peer's fastest batch size over every fifth text, by the shorter processor time of two runs."""
    sample = rows[::5]
    forward(peer, list(padded(sample[::5], BUDGETS[0])))
    fastest = {}
    for budget in BUDGETS:
        run = partial(forward, peer, list(padded(sample, budget)))
        fastest[budget] = min(_harness.milliseconds(run, time.process_time) for _ in range(2))
    return min(fastest, key=lambda budget: fastest[budget])


def build(model: lateint.Model, documents: Sequence[lateint.Document]) -> None:
    """Build a store and delete it."""
    with tempfile.TemporaryDirectory() as folder:
        lateint.build_store(model, documents, Path(folder) / "store").close()


def phases(model: lateint.Model, documents: Sequence[lateint.Document]) -> dict[str, float]:
    """Processor seconds of a build on one thread by phase; `rest` has copies, the compressor and digests of texts."""
    seconds = dict.fromkeys(PHASES, 0.0)

    def clocked(name: str, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.thread_time()
        result = work(*arguments, **options)
        seconds[name] += time.thread_time() - start
        return result

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ExitStack() as stack:
        # Otherwise tokenizers starts threads of its own, and no phase would count their time.
        stack.enter_context(mock.patch.dict(os.environ, TOKENIZERS_PARALLELISM="false"))
        for name, (owner, attribute) in PHASES.items():
            work = getattr(owner, attribute)
            # A lambda becomes a method where the owner is a class; a partial would not.
            stack.enter_context(mock.patch.object(owner, attribute, lambda *a, n=name, w=work, **o: clocked(n, w, *a, **o)))
        total = _harness.milliseconds(lambda: build(model, documents), time.process_time) / 1e3
    torch.set_num_threads(threads)
    return {name: round(value, 3) for name, value in (seconds | {"rest": total - sum(seconds.values())}).items()}


def measure(models: dict[str, lateint.Model], documents: Sequence[lateint.Document], pairs: int) -> dict[str, Any]:
    """Alternate between the builds and the peers with as many layers; one row a method."""
    layers = {name: max([model.method.depth, *model.vector_depths]) for name, model in models.items()}
    rows = {name: model.document_tokens(documents) for name, model in models.items()}
    peers = {name: bare(model, layers[name]) for name, model in models.items()}
    budgets = {name: best_budget(peers[name], rows[name]) for name in models}
    batches = {name: list(padded(rows[name], budgets[name])) for name in models}
    for model in models.values():
        build(model, documents[:64])
    measurements: dict[str, Callable[[], tuple[float, float]]] = {}
    for name, model in models.items():
        measurements[f"peer {name}"] = partial(wall_and_processor, partial(forward, peers[name], batches[name]))
        measurements[f"build {name}"] = partial(wall_and_processor, partial(build, model, documents))
    times = _harness.alternate(measurements, pairs)
    found = {}
    for name, model in models.items():
        peer_ms, build_ms = (tuple(zip(*times[f"{side} {name}"], strict=True)) for side in ("peer", "build"))
        wall, processor = (round(_harness.median_ratio(*sides), 3) for sides in zip(peer_ms, build_ms, strict=True))
        seconds = _harness.medians({"peer_s": peer_ms[0], "build_s": build_ms[0]})
        found[name] = {
            "layers": layers[name],
            "tokens": sum(map(len, rows[name])),
            "peer_batch_tokens": budgets[name],
            **{side: round(ms / 1e3, 2) for side, ms in seconds.items()},
            "ratio": wall,
            "cpu_ratio": processor,
            "cpu_s": phases(model, documents),
        }
    return found


def print_row(name: str, row: dict[str, Any]) -> None:
    """Print a method's times, its ratio and the shares of its phases."""
    print(
        f"{name:<8} {row['layers']} layers: bare {row['peer_s']:.2f} s at {row['peer_batch_tokens']} tokens a batch, build "
        f"{row['build_s']:.2f} s, ratio {row['ratio']:.3f} (processor time {row['cpu_ratio']:.3f})"
    )
    total = sum(row["cpu_s"].values())
    print(f"{'':<8} " + "  ".join(f"{phase} {100 * s / total:.1f} %" for phase, s in row["cpu_s"].items()), flush=True)


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of peer and build; medians are printed")
    parser.add_argument("--methods", nargs="*", default=["latent", "colbert", "prettr", "mice"])
    parser.add_argument("--precision", default="float32", help="of the builds; the bare layers always run in float32")
    options = parser.parse_args()
    documents = _harness.library_documents(options.documents)
    models = {name: _harness.load(name) for name in options.methods}
    for model in models.values():
        model.precision = options.precision
    rows = measure(models, documents, options.pairs)
    for name, row in rows.items():
        print_row(name, row)
    result = {
        "claim": f"build a store of {len(documents)} passages, tokenisation and writing included",
        "denominator": "the bare forward of the same layers, float32, tokenised and length-sorted before, best batch size",
        "command": "python -m benchmarks.speed.encode_speed",
        "threads": torch.get_num_threads(),
        "precision": options.precision,
        "pairs": options.pairs,
        "methods": rows,
    }
    _harness.save("encode_speed" if options.precision == "float32" else f"encode_speed_{options.precision}", result)


if __name__ == "__main__":
    main()
