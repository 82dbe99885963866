"""Time one cross block over 1,000 candidates: attend to their codes directly (absorbed), or project every code first.

Numerator: `CrossBlock` as `cross_blocks` runs it with attend="absorbed". Denominator: the same block with
attend="materialised", which projects the c numbers of a code straight to keys and values. Both run in the engine's own batch
sizes over one query's rows, with the codes in memory, alternating in one run. Printed: medians of both, and the median of the
ratios of pairs. `attention` is the attention to the document alone; `block` is the whole block, with attention among the rows
if there are ten slots, without it if there is one. Weights are random: only arithmetic is measured. Processor time (all
threads) is printed beside wall-clock time, because other work on the machine disturbs it less.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
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
CLOCKS = ("wall", "processor")


def unpadded(states: Tensor) -> TokenStates:
    """Token states [n, m, h] without padding, with positions from 0."""
    return TokenStates(states, torch.arange(states.shape[1]).expand(states.shape[:2]))


def blocks(c: int, slots: int) -> dict[str, CrossBlock]:
    """The same random block for codes of c numbers, once for each way of attending."""
    up = torch.randn(WIDTH, c) / c**0.5
    block = CrossBlock(fresh_layer(WIDTH, HEADS), "cross_then_self", up, None, own=slots > 1).eval()
    absorbing = copy.deepcopy(block)
    absorbing.absorbs = True
    return {"materialised": block, "absorbed": absorbing}


def run_part(block: CrossBlock, query: TokenStates, codes: Tensor, part: str) -> Tensor:
    """Run the whole block, or its attention alone, over codes [n, m, c] in batches; states [n, slots, h]."""
    run: Callable[[TokenStates, TokenStates], Any] = block if part == "block" else block.attend
    size, outputs = max(1, ONLINE_TOKENS // codes.shape[1]), []
    for start in range(0, len(codes), size):
        batch = codes[start : start + size]
        output = run(query if block.absorbs else query.expand(len(batch)), unpadded(batch))
        outputs.append(output.states if isinstance(output, TokenStates) else output)
    return torch.cat(outputs)


@torch.inference_mode()
def compare(shape: tuple[int, int, int], candidates: int, pairs: int) -> dict[str, Any]:
    """Medians of both ways for a shape (c numbers a code, m tokens a document, number of slots)."""
    c, m, slots = shape
    query, codes, both = unpadded(torch.randn(1, slots, WIDTH)), torch.randn(candidates, m, c), blocks(c, slots)
    row: dict[str, Any] = {"c": c, "m": m, "slots": slots}
    for part in ("attention", "block"):
        calls = {name: partial(run_part, block, query, codes, part) for name, block in both.items()}
        first, second = (call() for call in calls.values())
        row["difference"] = float((first - second).abs().max() / first.abs().max())
        times = _harness.alternate({name: partial(_harness.wall_and_processor, call) for name, call in calls.items()}, pairs)
        row[part] = {clock: summary(times, column) for column, clock in enumerate(CLOCKS)}
    return row


def summary(times: dict[str, list[tuple[float, float]]], column: int) -> dict[str, float]:
    """The median milliseconds of both ways by one clock, and the median of how many times faster absorbing was."""
    of_clock = {name: [each[column] for each in values] for name, values in times.items()}
    ratio = _harness.median_ratio(of_clock["materialised"], of_clock["absorbed"])
    return _harness.medians(of_clock) | {"ratio": ratio}


def line(row: dict[str, Any]) -> str:
    """Attention and block of a row, by both clocks."""
    text = ""
    for part, clock in product(("attention", "block"), CLOCKS):
        ms = row[part][clock]
        text += f"  {part} {clock} {ms['absorbed']:.0f} against {ms['materialised']:.0f} ms {ms['ratio']:.1f}x"
    return text


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating calls of both ways")
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
    _harness.save("absorbed", result)


if __name__ == "__main__":
    main()
