"""Memory and open files of processes over time, and whether they grow."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FLOOR_MIB = 2.0  # growth that is never called a leak: pages that allocators of threads keep
DEVIATIONS = 3.0  # of the samples around their line that are called noise
FILES = 16  # more open files at the end than before: all connections of the clients may have moved to one worker


@dataclass
class Samples:
    """Seconds, MiB of RssAnon and open files of one process."""

    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Growth:
    """How a process grew from the first judged sample to the last. `noise_mib`: growth up to this is no leak."""

    mib: float
    noise_mib: float
    mib_at_end: float
    files: float

    @property
    def faults(self):
        """What grew more than it should."""
        found = []
        if self.mib > self.noise_mib:
            found.append(f"RssAnon grew by {self.mib:.1f} MiB, above the noise of {self.noise_mib:.1f} MiB")
        if self.files > FILES:
            found.append(f"open files grew by {self.files:.0f}")
        return found


def take(pid, second, into):
    """Add a sample of a process; one that has ended gets none."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
        kib = int(status.partition("RssAnon:")[2].split()[0])
    except (OSError, IndexError):  # it has ended, or ends now
        return
    samples = into.setdefault(pid, Samples())
    samples.seconds.append(second)
    samples.mib.append(kib / 1024)
    samples.files.append(files)


def growth(samples):
    """Judge the last three quarters of the samples of a process: the first are of one that loads and fills its caches.

    The line is the median of the slopes of all pairs, so that single high samples do not bend it (Theil and Sen).
    """
    first = len(samples.seconds) // 4
    x, y, files = (np.array(each[first:], float) for each in (samples.seconds, samples.mib, samples.files))
    left, right = np.triu_indices(len(x), 1)
    slope = float(np.median((y[right] - y[left]) / (x[right] - x[left])))
    around = y - slope * x
    spread = 1.4826 * float(np.median(np.abs(around - np.median(around))))
    third = max(1, len(files) // 3)
    return Growth(
        mib=slope * float(x[-1] - x[0]),
        noise_mib=FLOOR_MIB + DEVIATIONS * spread,
        mib_at_end=float(np.median(y[-third:])),
        files=float(np.median(files[-third:]) - np.median(files[:third])),
    )
