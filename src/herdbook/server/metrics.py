"""What the server counts for Prometheus. Never a model's name: metrics are read by many."""

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

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


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

        self._looks = Counter(
            "herdbook_experiment_looks", "Looks at experiments.", registry=self._registry
        )
        self._acts = Counter(
            "herdbook_experiment_acts",
            "Experiments rolled back, widened, promoted or paused by the server itself.",
            registry=self._registry,
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request by the template of its route."""
        known = method if method in METHODS else "other"
        self._counter(route, known, status).inc()
        self._histogram(route, known).observe(seconds)

    def delivery(self, *, taken: bool) -> None:
        """Count an attempt to deliver a webhook."""
        self._deliveries.labels("taken" if taken else "failed").inc()

    def experiments(self, *, looked: int, acted: int) -> None:
        """Count looks at experiments, and what came of them."""
        self._looks.inc(looked)
        self._acts.inc(acted)

    def head(self, seq: int) -> None:
        """Note where the audit log stands."""
        self._head.set(seq)

    def text(self) -> bytes:
        """Give all of them as Prometheus reads them."""
        return generate_latest(self._registry)
