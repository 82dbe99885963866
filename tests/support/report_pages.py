"""Made-up results for the tests of the results page."""

BINARY, GRADED = ("nDCG@10", "RR@10"), ("nDCG@10", "RR(rel=2)@10")
SETS = {"squad test": BINARY, "medquad test": BINARY, "msmarco-dl19": GRADED, "squad dev": BINARY}
COSINE = {"squad test": 0.70, "medquad test": 0.60, "msmarco-dl19": 0.65, "squad dev": 0.71}
SPEED = {
    "ms": 50.0, "speedup": 180.04, "peer_ms": 9002.0, "batch_size": 32, "threads": 2, "candidates": 1000,
    "bytes_per_document": 6600.0, "fetch_ms": 5.25, "decode_ms": 4.0, "compute_ms": 40.75,
}  # fmt: skip


def task(name, score, *, full=None, size=1000.0):
    """Return a stored set with BM25 at 0.5, the cosine as in COSINE, and a model at `score`."""
    systems = {"bm25": 0.5, "cosine": COSINE[name], "cached": score} | ({} if full is None else {"full": full})
    rows = {system: dict.fromkeys(SETS[name], value) for system, value in systems.items()}
    rows["cached"]["bytes_per_document"] = size
    rows["cached"]["intervals"] = {"nDCG@10": [score - 0.04, score + 0.04]}
    for other in {"bm25", "cosine", "full"} & systems.keys():
        middle = score - systems[other]
        rows["cached"][f"minus_{other}"] = [middle, middle - 0.03, middle + 0.03]
    test = name != "squad dev"
    return {"set": name, "queries": 200, "documents": 900, "test": test, "measures": list(SETS[name]), "systems": rows}


def result(name, scores, **changes):
    """Return a stored result of a checkpoint with all current keys; `scores` maps set to nDCG@10."""
    return {
        "commit": "abc", "machine": "a machine, 2 cores", "command": "make report", "date": "2026-01-02",
        "checkpoint": name, "digest": f"{name}-digest".ljust(64, "0"), "residual": False,
        "settings": {"L": 3, "query layers": 3, "query tokens": 32, "document tokens": 256, "codecs": "states=cast"},
        "method": {"name": name, "layers": 6, "head": "joint_layers", "compressor": "none"},
        "training": {"command": f"lateint train --method {name}", "steps": 1500, "seconds": 754.0},
        "speed": SPEED, "tasks": [task(name, score) for name, score in scores.items()],
    } | changes  # fmt: skip


def old_result():
    """Return an old result, stored without settings, training and speed."""
    found = result("default", {"squad dev": 0.9, "squad test": 0.92, "medquad test": 0.7})
    for task in found["tasks"]:
        del task["systems"]["cached"]["intervals"]
    return {key: value for key, value in found.items() if key not in ("settings", "method", "residual", "training", "speed")}


TEACHER = {"squad test": 0.90, "medquad test": 0.80, "msmarco-dl19": 0.75}


def stsb(name, value, split="test", **about):
    """Return a row of the benchmark of sentence pairs."""
    measures = {"Pearson": value - 0.01, "Spearman": value}
    held = {key: {"value": found, "low": found - 0.02, "high": found + 0.02} for key, found in measures.items()}
    return {"row": name, "set": "stsb", "split": split, "n": 1379, "measures": held} | about
