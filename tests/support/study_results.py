"""Made-up results of a study, for the tests of its page."""

import random

MEASURES = ("nDCG@10", "RR@10")
# Label, bytes a document, milliseconds, quality.
POINTS = (
    ("prettr L=1, float32", 245_760.0, 412.0, 0.712),
    ("prettr L=3, float16", 61_440.0, 151.0, 0.709),
    ("prettr L=3, int8", 31_200.0, 146.0, 0.707),
    ("prettr L=4, float16", 61_440.0, 104.0, 0.704),
    ("prettr L=4, int8", 31_200.0, 98.0, 0.701),
    ("prettr L=5, first 32 tokens, int8", 12_288.0, 31.0, 0.690),
    ("hpd L=4, 64 numbers a token, drive 4 bits", 2_650.0, 88.0, 0.694),
    ("mice L=5, 32 numbers a token, drive 2 bits", 740.0, 27.0, 0.671),
    ("colbert, 96 numbers, float16", 15_360.0, 9.4, 0.682),
    ("colbert, 96 numbers, residual 2 bits", 2_180.0, 11.8, 0.676),
    ("one vector, 384 numbers, float16", 768.0, 1.9, 0.641),
    ("one vector, 384 numbers, 1 bit", 52.0, 1.6, 0.628),
)  # fmt: skip


def measured(generator, mean, queries):
    """Return a mean with its interval and a value per query."""
    values = {f"q{n}": min(1.0, max(0.0, round(generator.gauss(mean, 0.25), 2))) for n in range(queries)}
    return {"mean": mean, "low": mean - 0.021, "high": mean + 0.019, "per_query": values}


def timing(total):
    """Split a number of milliseconds into phases."""
    shares = {"total_ms": 1.0, "fetch_ms": 0.08, "decode_ms": 0.17, "compute_ms": 0.7}
    times = {key: {"p50": total * share, "p95": total * share * 1.3} for key, share in shares.items()}
    return times | {"bytes_read": 1_000_000, "encode_seconds": 12.5}


def point(generator, number, row, data, queries):
    """Return one point from a row of `POINTS`."""
    label, size, total, quality = row
    found = {}
    for shift, name in enumerate(data):
        means = {measure: round(quality - 0.05 * shift + 0.02 * k, 4) for k, measure in enumerate(MEASURES)}
        measures = {measure: measured(generator, mean, queries) for measure, mean in means.items()}
        test = {"n": queries, "difference": quality - 0.5, "low": quality - 0.52, "high": quality - 0.48}
        against = {m: test | {"p_value": 1e-6, "p_holm": 0.004 * (number + 1)} for m in MEASURES}
        found[name] = {"bytes_per_document": size, "documents": 9_000, "run": f"runs/p{number}.{name}.trec"}
        found[name] |= {"measures": measures, "against_baseline": against}
    return {
        "id": f"p{number}", "label": label, "model": "a-model", "method": label.split()[0], "offline_layers": 4,
        "pool": "all_tokens", "codecs": "states=int8+raw", "depth": 100, "threads": 2, "device": "cpu",
        "command": f"lateint study --point '{label}' --seed 0 --output point-p{number}", "content_digest": f"{number:064x}",
        "results": found, "timing": {name: timing(total) for name in data},
    }  # fmt: skip


def study(rows=POINTS, data=("squad", "msmarco-dl19"), queries=60, **changes):
    """Return a whole study whose baseline is the first stage and whose reference is the first point."""
    generator = random.Random(7)
    stage = {name: {m: measured(generator, 0.6 - 0.05 * at, queries) for m in MEASURES} for at, name in enumerate(data)}
    about = {"queries": queries, "documents": 9_000, "depth": 100}
    made = {
        "commit": "0123abcd", "machine": "a machine, 2 cores", "python": "3.11.7", "date": "2026-01-02",
        "versions": {"torch": "2.13.0", "numpy": "2.4.6"}, "command": "lateint study grid.toml --output grid",
    }  # fmt: skip
    return {
        "name": "grid", "seed": 0, "measures": list(MEASURES), "baseline": "first stage", "reference": "p0", "made": made,
        "data": {name: about | {"first_stage": stage[name]} for name in data},
        "points": [point(generator, number, row, data, queries) for number, row in enumerate(rows)],
    } | changes  # fmt: skip
