"""What the server counts of its own work for Prometheus; no model is named here.

What the register holds is shown beside it, see `server.observing`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class _OfExperiments:
    """What is counted of experiments."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.states = Gauge(
            "herdbook_experiments", "Experiments by state.", ["state"], registry=registry
        )
        self.results = Counter(
            "herdbook_experiment_results",
            "Results that workers told of.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("taken", "late", "dropped"):
            self.results.labels(outcome)
        self.looks = Counter("herdbook_experiment_looks", "Looks at them.", registry=registry)
        self.acts = Counter(
            "herdbook_experiment_acts",
            "Experiments rolled back, widened, promoted or paused by the server itself.",
            registry=registry,
        )


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "herdbook_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "herdbook_request_seconds",
            "How long requests took.",
            ["route", "method"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._head = Gauge(
            "herdbook_events_head", "The newest event's number.", registry=self._registry
        )
        # Finding a metric by its labels costs more than adding to it.
        self._counter = cache(
            lambda route, method, status: self._requests.labels(route, method, str(status))
        )
        self._histogram = cache(self._seconds.labels)
        self._deliveries = Counter(
            "herdbook_webhook_attempts",
            "Attempts to deliver webhooks.",
            ["outcome"],
            registry=self._registry,
        )

        self._of_experiments = _OfExperiments(self._registry)
        # What never happened is 0, not absent: the first time it does is an increase then.
        self._taken, self._failed = map(self._deliveries.labels, ("taken", "failed"))

    def show(self, collector: Collector) -> None:
        """Show what a collector gives beside what is counted here."""
        self._registry.register(collector)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request by the template of its route."""
        known = method if method in METHODS else "other"
        self._counter(route, known, status).inc()
        self._histogram(route, known).observe(seconds)

    def delivery(self, *, taken: bool) -> None:
        """Count an attempt to deliver a webhook."""
        (self._taken if taken else self._failed).inc()

    def experiments(self, *, looked: int, acted: int) -> None:
        """Count looks at experiments, and what came of them."""
        self._of_experiments.looks.inc(looked)
        self._of_experiments.acts.inc(acted)

    def states(self, counts: Mapping[str, int]) -> None:
        """Note how many experiments are in each state."""
        for state, count in counts.items():
            self._of_experiments.states.labels(state).set(count)

    def results(self, *, taken: int, late: int, dropped: int) -> None:
        """Count results that workers told of, once each."""
        for outcome, count in (("taken", taken), ("late", late), ("dropped", dropped)):
            self._of_experiments.results.labels(outcome).inc(count)

    def head(self, seq: int) -> None:
        """Note where the audit log stands."""
        self._head.set(seq)

    def text(self) -> bytes:
        """Give all of them as Prometheus reads them."""
        return generate_latest(self._registry)
