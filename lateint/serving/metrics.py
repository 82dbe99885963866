"""What `/metrics` counts, in Prometheus' text format. With several workers, the numbers are those of all."""

from __future__ import annotations

import os
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from lateint.cluster.ranker import ClusterRanker
from lateint.serving.requests import RerankAnswer

_PREFIX = "lateint_serve_"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SHARED = "PROMETHEUS_MULTIPROC_DIR"  # set by `run.py` if there are several workers


class ServiceMetrics:
    """The numbers of one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(_PREFIX + "requests", "Requests by shape and status", ["shape", "status"], registry=registry)
        self.seconds = Histogram(
            _PREFIX + "request_seconds", "Time of ranked requests", ["shape"], buckets=_SECONDS, registry=registry
        )
        self.phases = Counter(_PREFIX + "phase_seconds", "Time by phase, waiting included", ["phase"], registry=registry)
        self.candidates = Counter(_PREFIX + "candidates", "Candidates by origin", ["origin"], registry=registry)
        self.limited = Counter(_PREFIX + "limited_requests", "Requests ranked less deep for load", registry=registry)
        self.at_work = Gauge(_PREFIX + "requests_at_work", "Requests at work", registry=registry, multiprocess_mode="livesum")
        self.waiting = Gauge(
            _PREFIX + "jobs_waiting", "Jobs that wait for a thread", registry=registry, multiprocess_mode="livesum"
        )
        self.ready = Gauge(_PREFIX + "ready", "1 if the service is ready", registry=registry, multiprocess_mode="livemin")
        self.cache = Gauge(
            _PREFIX + "text_cache", "Statistics of the text cache", ["what"], registry=registry, multiprocess_mode="livemax"
        )
        self.shards = Gauge(
            _PREFIX + "shard_replicas",
            "Owners of each shard",
            ["shard", "state"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.router = Gauge(
            _PREFIX + "router",
            "What the router did beside plain calls",
            ["what"],
            registry=registry,
            multiprocess_mode="livesum",
        )

    def add(self, shape: str, found: RerankAnswer) -> None:
        """Count a ranked request."""
        self.seconds.labels(shape).observe(found.timing_ms["total"] / 1e3)
        for phase, ms in found.timing_ms.items():
            if phase != "total":
                self.phases.labels(phase).inc(ms / 1e3)
        usage = found.usage
        self.candidates.labels("stored").inc(usage.cached_documents)
        self.candidates.labels("reused").inc(usage.reused_documents)
        self.candidates.labels("encoded").inc(usage.encoded_documents)
        if found.overload is not None:
            self.limited.inc()

    def observe_owners(self, cluster: ClusterRanker) -> None:
        """Take the numbers of the owners as they are now."""
        for shard in cluster.health():
            for state, count in (("wanted", shard.wanted), ("ready", shard.ready), ("lost", shard.lost)):
                self.shards.labels(str(shard.shard), state).set(count)
        for what, count in asdict(cluster.router.counts).items():
            self.router.labels(what).set(count)

    def text(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        registry = self._registry
        if os.environ.get(_SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_worker(pid: int) -> None:
    """Count a worker that has ended no more among those at work; what it has counted stays."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
