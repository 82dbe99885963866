"""Time a cross block over 1,000 candidates, absorbing their codes or projecting every one of them.

Numerator: `CrossBlock` as `cross_blocks` runs it with attend="absorbed". Denominator: the same block with "materialised",
which projects codes to keys and values straight from c numbers. Both in the engine's own batches over one query's rows,
codes in memory, alternating in one run; medians, ratios those of pairs. `attention` is the attention to the document alone,
`block` the whole block: a single slot without attention to other rows, ten slots with it. Weights are random: only
arithmetic is measured. Beside the clock stands processor time (all threads), which other work on the machine moves less.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks import _harness
from lateint.backbone.layer import TokenStates
from lateint.heads._cross_block import CrossBlock
from lateint.heads.small_transformer import fresh_layer
from lateint.model.batching import ONLINE_TOKENS

WIDTH, HEADS = 384, 12
CODES, TOKENS, SLOTS = (32, 64, 128), (77, 150), (1, 10)
KINDS = ("wall", "processor")


def rows_of(states: Tensor) -> TokenStates:
    """Rows without pads."""
    return TokenStates(states, torch.arange(states.shape[1]).expand(states.shape[:2]))


def blocks(c: int, slots: int) -> dict[str, CrossBlock]:
    """The same random block twice."""
    up = torch.randn(WIDTH, c) / c**0.5
    block = CrossBlock(fresh_layer(WIDTH, HEADS), "cross_then_self", up, None, own=slots > 1).eval()
    absorbing = copy.deepcopy(block)
    absorbing.absorbs = True
    return {"materialised": block, "absorbed": absorbing}


def work(block: CrossBlock, query: TokenStates, codes: Tensor, part: str) -> Callable[[], Tensor]:
    """The block, or its attention alone, over all candidates."""
    size = max(1, ONLINE_TOKENS // codes.shape[1])
    run: Any = block if part == "block" else block.attend

    def call() -> Tensor:
        found = []
        for batch in codes.split(size):
            rows = query if block.absorbs else query.expand(len(batch))
            found.append(run(rows, rows_of(batch)))
        return torch.cat([one.states if isinstance(one, TokenStates) else one for one in found])

    return call


@torch.inference_mode()
def compare(shape: tuple[int, int, int], candidates: int, pairs: int) -> dict[str, Any]:
    """Medians of both ways for codes of c numbers, m tokens a document, so many slots."""
    c, m, slots = shape
    query, codes, both = rows_of(torch.randn(1, slots, WIDTH)), torch.randn(candidates, m, c), blocks(c, slots)
    row: dict[str, Any] = {"c": c, "m": m, "slots": slots}
    for part in ("attention", "block"):
        calls = {name: work(block, query, codes, part) for name, block in both.items()}
        first, second = (call() for call in calls.values())
        row["difference"] = float((first - second).abs().max() / first.abs().max())
        spent = [{name: milliseconds(call) for name, call in calls.items()} for _ in range(pairs)]
        row[part] = {
            kind: medians([{name: pair[name][at] for name in calls} for pair in spent]) for at, kind in enumerate(KINDS)
        }
    return row


def milliseconds(call: Callable[[], Any]) -> tuple[float, float]:
    """What one call takes by the clock, and of the processor."""
    start = time.perf_counter(), time.process_time()
    call()
    return 1e3 * (time.perf_counter() - start[0]), 1e3 * (time.process_time() - start[1])


def medians(pairs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each way, and of how many times faster absorbing was."""
    middle = {name: statistics.median(pair[name] for pair in pairs) for name in pairs[0]}
    return middle | {"ratio": statistics.median(pair["materialised"] / pair["absorbed"] for pair in pairs)}


def line(row: dict[str, Any]) -> str:
    """Both parts of a row, by the clock and of the processor."""
    found = ""
    for part, kind in product(("attention", "block"), KINDS):
        one = row[part][kind]
        found += f"  {part} {kind} {one['absorbed']:.0f} against {one['materialised']:.0f} ms {one['ratio']:.1f}x"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating calls of each")
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for shape in product(CODES, TOKENS, SLOTS):
        rows.append(compare(shape, options.candidates, options.pairs))
        print("c {:>3}  m {:>3}  slots {:>2}".format(*shape), line(rows[-1]), flush=True)
    result = {
        "claim": f"one cross block over {options.candidates} candidates, absorbed",
        "denominator": "the same block, codes projected to keys and values; same batches, same run, alternating",
        "command": "python -m benchmarks.speed.absorbed",
        "threads": torch.get_num_threads(),
        "seed": 0,
        "candidates": options.candidates,
        "pairs": options.pairs,
        "width": WIDTH,
        "heads": HEADS,
        "milliseconds": rows,
    }
    print(f"written to {_harness.write('absorbed', result)}")


if __name__ == "__main__":
    main()
