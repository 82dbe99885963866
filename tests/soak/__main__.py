"""Load the service for a long time: real and hostile requests, killed workers, and SIGTERM at the end.

Two workers over a tiny model. Caches are so small that they evict: that of texts, and oneDNN's of kernels by batch shape, which
otherwise fills for the whole half hour and looks like a leak. All else is as anybody gets it. Fails on a 5xx,
on an answer that is not valid in its shape, on a connection that breaks although no worker was killed, on memory (RssAnon),
open files or sockets that grow in the parent or in a worker (`samples.py` says how that is judged), on a killed worker that is
not replaced, and on an end that is not in order. Requests come from a seeded generator.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint_eval.machine import describe
from tests.soak import clients, samples
from tests.support import engine
from tests.support.paths import python_environment
from tests.support.retrieving import RICH

WORKERS, AT_ONCE = 2, 8
LOADING = [clients.real] * 3 + [clients.wrong]  # what the clients send that run all the time
CONNECTIONS = len(LOADING) + 2 + AT_ONCE  # of all clients at once
KERNELS = "64"  # that oneDNN keeps
START_SECONDS, SETTLE_SECONDS = 600.0, 3.0  # at most until it serves; before the first kill


def start(folder):
    """Start the service; returns the process of the parent and the address."""
    engine.fresh_model(RICH).save_pretrained(folder / "model")
    with build_store(load_model(folder / "model"), engine.DOCUMENTS, folder / "store"):
        pass
    options = {"store": "store", "cache": "cache", "cache-mib": 4, "port": 0, "workers": WORKERS, "drain-ms": 300}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with open(folder / "log", "w") as log:
        command = [sys.executable, "-m", "lateint", "serve", *words]
        environment = python_environment() | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": KERNELS}
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        address = re.search(r"http://\S+(?=\n)", (folder / "log").read_text())
        if address and httpx.get(f"{address[0]}/ready", timeout=START_SECONDS).status_code == 200:
            return process, address[0]
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the service did not start: {(folder / 'log').read_text()}")


def workers(process):
    """Process ids of the workers."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


async def kill_worker(process, seen):
    """Kill a worker under load, and wait until another has taken its place."""
    killed = workers(process)[0]
    seen.may_break()
    os.kill(killed, signal.SIGKILL)
    for _ in range(200):
        await asyncio.sleep(0.1)
        if killed not in (now := workers(process)) and len(now) == WORKERS:
            seen.may_break(1.0)
            return
    seen.fault("a killed worker was not replaced")


async def sampled(process, work, every, seen):
    """Sample the parent and its workers while something runs; returns samples by process id."""
    taken, running = {}, asyncio.ensure_future(work())
    while not running.done():
        for pid in (process.pid, *workers(process)):
            samples.take(pid, seen.requests, taken)
        await asyncio.wait([running], timeout=every)
    await running
    return taken


async def load(process, address, options, seen):
    """Run everything; returns samples by phase and process id."""
    rngs = (random.Random(f"{options.seed} {number}") for number in range(1000))
    running = [asyncio.create_task(clients.ask(address, make, next(rngs), seen)) for make in LOADING]
    running += [asyncio.create_task(kind(address, next(rngs), seen)) for kind in (clients.send_heads, clients.leave)]
    await asyncio.sleep(SETTLE_SECONDS)
    await kill_worker(process, seen)
    share = -(-options.hostile // AT_ONCE)
    phases = {"mixed": lambda: asyncio.sleep(60 * options.minutes)} if options.minutes else {}
    if share:
        phases["hostile"] = lambda: asyncio.gather(
            *(clients.ask(address, clients.wrong, next(rngs), seen, share) for _ in range(AT_ONCE))
        )
    taken = {name: await sampled(process, work, max(0.5, options.minutes / 4), seen) for name, work in phases.items()}
    alive = {process.pid, *workers(process)}
    await kill_worker(process, seen)
    seen.may_break(float("inf"))
    os.kill(process.pid, signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 60)
    seen.stop = True
    await asyncio.gather(*running)
    if code != 0:
        seen.fault(f"the service ended with exit code {code}")
    return {name: {pid: each for pid, each in phase.items() if pid in alive} for name, phase in taken.items()}


def report(process, taken, seen, options):
    """Print one table; returns the result."""
    rows = {}
    columns = [("RssAnon", 10), ("growth", 9), ("before", 9), ("noise", 8), ("files", 7), ("sockets", 9)]
    print(
        f"{'phase and process':<20}" + "".join(f"{name:>{width}}" for name, width in columns),
        "  (last third of answers)",
    )
    for name, phase in taken.items():
        for number, (pid, each) in enumerate(phase.items()):
            found, who = samples.growth(each), f"{name} parent" if pid == process.pid else f"{name} worker {number}"
            rows[who] = vars(found) | {"every_mib": [round(mib, 1) for mib in each.mib]}
            seen.faults += [f"{who}: {fault}" for fault in found.faults(CONNECTIONS)]
            row = (found.mib_at_end, found.mib, found.mib_before, found.noise_mib, found.files, found.sockets)
            print(f"{who:<20}" + "".join(f"{value:>{width}.2f}" for value, (_, width) in zip(row, columns, strict=True)))
    statuses = {str(status): number for status, number in sorted(seen.statuses.items(), key=str)}
    print(f"{seen.requests} answers: {statuses}; connections that broke around kills and the end: {dict(seen.broken)}")
    for fault in seen.faults:
        print(f"FAULT {fault}")
    print("FAIL" if seen.faults else "PASS")
    about = {"minutes": options.minutes, "hostile": options.hostile, "seed": options.seed}
    return describe() | about | {"processes": rows, "statuses": statuses, "broken": dict(seen.broken), "faults": seen.faults}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of mixed load")
    parser.add_argument("--hostile", type=int, default=0, metavar="N", help="hostile requests after it, beside the mixed load")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to this file")
    options = parser.parse_args()
    seen = clients.Seen()
    with tempfile.TemporaryDirectory() as folder:
        process, address = start(Path(folder))
        try:
            taken = asyncio.run(load(process, address, options, seen))
        finally:
            process.kill()
            process.wait()
        log = Path(folder, "log").read_text()
    if "Traceback" in log:
        seen.fault("the service logged a traceback")
    result = report(process, taken, seen, options)
    if seen.faults:
        print(log[-4000:], file=sys.stderr)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
