"""Check that the peak of anonymous memory of a build, without a model, does not grow with the number of documents."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lateint_store import create_store
from tests.campaign.pool import child_environment
from tests.campaign.stores import scratch
from tests.support.paths import ROOT
from tests.support.stores import ABOUT, entries, specs

SIZES = (10_000, 100_000)
LIMIT = 50 << 20
EVERY_S = 0.02


class Peak:
    """Samples the anonymous memory of this process inside a `with` block. `bytes`: the largest value seen."""

    def __init__(self) -> None:
        self.bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, anonymous_bytes())
            if self._end.wait(EVERY_S):
                return


def anonymous_bytes() -> int:
    """Memory of this process that no file backs (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def run(seed: int, scale: float, case: int | None) -> dict[str, Any]:
    """Build with `SIZES` * scale entries, each in a separate process, and compare the peaks."""
    peaks = [_peak_of_build(max(512, int(size * scale))) for size in SIZES]
    grown = peaks[1] - peaks[0]
    failures = [{"case": 0, "detail": f"grew by {grown} bytes, at most {LIMIT}"}] if grown > LIMIT else []
    megabytes = {f"peak MB {int(size * scale)}": round(peak / 1e6, 1) for size, peak in zip(SIZES, peaks, strict=True)}
    return megabytes | {"grown MB": round(grown / 1e6, 1), "failures": failures, "ok": not failures}


def _peak_of_build(documents: int) -> int:
    with scratch() as folder:
        child = subprocess.run(
            [sys.executable, "-m", "tests.campaign.memory", str(folder / "store"), str(documents)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, env=child_environment(), check=True,
        )  # fmt: skip
    return int(child.stdout)


def main(path: Path, documents: int) -> None:
    """Build a store, then print the peak."""
    with Peak() as peak, create_store(path, specs(), **ABOUT) as store:
        for start in range(0, documents, 512):
            end = min(start + 512, documents)
            store.append(entries(range(start, end)), end, "")
    sys.stdout.write(str(peak.bytes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
