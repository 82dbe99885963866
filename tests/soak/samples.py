"""Memory, open files and sockets of processes while they answer, and whether they grow."""

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
    """Answers that all clients had by then, MiB of RssAnon, open files and open sockets of one process."""

    answers: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Growth:
    """How a process grew in the last third of all answers; `mib_before`: in the third before; `answers`: of one third.

    `noise_mib`: growth up to this is no leak. `files`, `sockets`: by how many they grew from the second third to the last.
    """

    mib: float
    mib_before: float
    noise_mib: float
    mib_at_end: float
    answers: float
    files: float
    sockets: float

    def faults(self, connections):
        """What grew more than it should. `connections`: those of all clients, which may all have moved to one process."""
        found = []
        if self.mib > self.noise_mib and self.mib > LASTING * self.mib_before:
            rate, noise = (1e4 * mib / self.answers for mib in (self.mib, self.noise_mib))
            found.append(
                f"RssAnon grew by {self.mib:.1f} MiB after {self.mib_before:.1f} MiB in the time before, above the noise of "
                f"{self.noise_mib:.1f} MiB: {rate:.1f} MiB in 10,000 answers, where less than {noise:.1f} would not be seen"
            )
        if self.files > 0:
            found.append(f"open files grew by {self.files:.0f}")
        if self.sockets > connections:
            found.append(f"open sockets grew by {self.sockets:.0f}; clients have {connections} connections")
        return found


def take(pid, answers, into):
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
    samples.answers.append(answers)
    samples.mib.append(kib / 1024)
    samples.files.append(len(targets) - sockets)
    samples.sockets.append(sockets)


def growth(samples):
    """Judge the last third of all answers by the third before; in the first, a process fills its caches.

    By answers and not by time, as a machine with other work answers now more, now fewer in a second. Each line is the median
    of the slopes of all pairs, so that single high samples do not bend it (Theil and Sen). The noise is the spread of the
    samples around the last line.
    """
    x, y, files, sockets = (np.array(each, float) for each in (samples.answers, samples.mib, samples.files, samples.sockets))
    first, second = np.searchsorted(x, x[0] + (x[-1] - x[0]) * np.array([1, 2]) / 3)
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
        answers=span,
        files=float(np.median(files[last]) - np.median(files[before])),
        sockets=float(np.median(sockets[last]) - np.median(sockets[before])),
    )


def _slope(x, y):
    left, right = np.triu_indices(len(x), 1)
    apart = x[right] > x[left]
    return float(np.median((y[right] - y[left])[apart] / (x[right] - x[left])[apart])) if apart.any() else 0.0
