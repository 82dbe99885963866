"""What the service does when more requests come than it can rank: rank them less deep, then refuse some."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lateint.serving.cluster_engine import AnyEngine
from lateint.serving.failures import overloaded
from lateint.serving.requests import RerankRequest

_MARGIN = 1.25  # of a head's measured cost, so that the first rung of a tightened run always fits
_LONGEST_WAIT = 60  # seconds that a refused client is asked to wait, at most


@dataclass(slots=True)
class Admitted:
    """A request at work. `requests`: those at work when it came, itself included; `budget_ms`: its share, None for no limit."""

    requests: int
    budget_ms: float | None

    @property
    def overload(self) -> dict[str, float] | None:
        """What the answer says about the load; None if there was no limit."""
        return None if self.budget_ms is None else {"requests": float(self.requests), "budget_ms": round(self.budget_ms, 1)}


class Admission:
    """Count the requests at work, and decide how deep each is ranked."""

    def __init__(self, most: int, latency_ms: float, share: float) -> None:
        """Args: `most` requests at work; `latency_ms` that is wanted; `share`: processors that this process may count on."""
        self._most, self._latency_ms, self._processors = most, latency_ms, share
        self._mean_ms = 10.0  # of recent requests, from start to end
        self.at_work = 0

    @contextmanager
    def enter(self, engine: AnyEngine, request: RerankRequest) -> Iterator[Admitted]:
        """Count a request while it is at work. Raises: Refused (429) if too many are."""
        if self.at_work >= self._most:
            seconds = min(_LONGEST_WAIT, max(1, math.ceil(self._mean_ms / 1e3)))
            raise overloaded(f"{self.at_work} requests are at work, the most that are accepted", seconds)
        self.at_work += 1
        try:
            yield Admitted(self.at_work, self.budget_ms(engine, request))
        finally:
            self.at_work -= 1

    def took(self, ms: float) -> None:
        """Learn how long a request took."""
        self._mean_ms += (ms - self._mean_ms) / 16

    def budget_ms(self, engine: AnyEngine, request: RerankRequest) -> float | None:
        """Return the time that the load leaves for one request; None if all can be ranked in full.

        With R requests at work on p processors, or on p owners, each may take p / R of the latency that is wanted. At least
        the cheapest head scores all candidates, so an order is never made up. A model with one head is always run in full.
        """
        costs, ids = list(engine.costs.values()), sum(doc_id is not None for doc_id in request.ids)
        if len(costs) < 2 or not ids or request.explain:
            return None
        share = self._latency_ms * (engine.scorers or self._processors) / self.at_work
        if costs[-1].call_ms + ids * costs[-1].candidate_ms <= share:
            return None
        least = len(costs) * (costs[0].call_ms + ids * costs[0].candidate_ms) * _MARGIN
        return max(share, least)
