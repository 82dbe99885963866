"""Memory, open files and sockets of processes over time, and whether they grow."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FLOOR_MIB = 1.0  # growth that is never called a leak: pages that allocators of threads keep
DEVIATIONS = 3.0  # of the samples around their line that are called noise
LASTING = 0.5  # of the growth before: caches that fill slow down, a leak goes on


@dataclass
class Samples:
    """Seconds, MiB of RssAnon, open files and open sockets of one process."""

    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Growth:
    """How a process grew in the last third of its samples; `mib_before`: in the third before; `hours`: of one third.

    `noise_mib`: growth up to this is no leak. `files`, `sockets`: by how many they grew from the second third to the last.
    """

    mib: float
    mib_before: float
    noise_mib: float
    mib_at_end: float
    hours: float
    files: float
    sockets: float

    def faults(self, connections):
        """What grew more than it should. `connections`: those of all clients, which may all have moved to one process."""
        found = []
        if self.mib > self.noise_mib and self.mib > LASTING * self.mib_before:
            rate, noise = self.mib / self.hours, self.noise_mib / self.hours
            found.append(
                f"RssAnon grew by {self.mib:.1f} MiB after {self.mib_before:.1f} MiB in the time before, above the noise of "
                f"{self.noise_mib:.1f} MiB: {rate:.0f} MiB an hour, where less than {noise:.0f} would not be seen"
            )
        if self.files > 0:
            found.append(f"open files grew by {self.files:.0f}")
        if self.sockets > connections:
            found.append(f"open sockets grew by {self.sockets:.0f}; clients have {connections} connections")
        return found


def take(pid, second, into):
    """Add a sample of a process; one that has ended gets none."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        kib = int(status.partition("RssAnon:")[2].split()[0])
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except (OSError, IndexError):  # it has ended, or ends now
        return
    targets = []
    for descriptor in descriptors:
        with suppress(OSError):  # it is closed now
            targets.append(os.readlink(descriptor))
    samples, sockets = into.setdefault(pid, Samples()), sum(target.startswith("socket:") for target in targets)
    samples.seconds.append(second)
    samples.mib.append(kib / 1024)
    samples.files.append(len(targets) - sockets)
    samples.sockets.append(sockets)


def growth(samples):
    """Judge the last third of the samples of a process by the third before; the first are of one that fills its caches.

    Each line is the median of the slopes of all pairs, so that single high samples do not bend it (Theil and Sen). The noise
    is the spread of the samples around the last line.
    """
    x, y, files, sockets = (np.array(each, float) for each in (samples.seconds, samples.mib, samples.files, samples.sockets))
    first, second = len(x) // 3, 2 * len(x) // 3
    before, last = slice(first, second), slice(second, None)
    span = float(x[-1] - x[second])
    slope = _slope(x[last], y[last])
    around = y[last] - slope * x[last]
    spread = 1.4826 * float(np.median(np.abs(around - np.median(around))))
    return Growth(
        mib=slope * span,
        mib_before=_slope(x[before], y[before]) * span,
        noise_mib=FLOOR_MIB + DEVIATIONS * spread,
        mib_at_end=float(np.median(y[last])),
        hours=span / 3600,
        files=float(np.median(files[last]) - np.median(files[before])),
        sockets=float(np.median(sockets[last]) - np.median(sockets[before])),
    )


def _slope(x, y):
    left, right = np.triu_indices(len(x), 1)
    return float(np.median((y[right] - y[left]) / (x[right] - x[left])))
