"""Metrics of a program that serves models, in that program's own Prometheus registry.

They are beside what Herdbook's server shows: how long this process took, how sure it was. They
need no register and never raise, whatever they are given. Importing this costs nothing; the
metrics are made at the first call.
"""

import math
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

# So many versions have labels of their own; all others share one.
VERSIONS_LIMIT: Final = 200
OTHER: Final = "other"
_LABELS: Final = ("model_type", "model_version")
_MS: Final = 1000.0
_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_TENTHS: Final = tuple(at / 20 for at in range(1, 21))
_NUMBERS: Final = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


class InferenceMetrics:
    """What is counted of inferences.

    Args:
        registry: where; a process has one set of them in each.
    """

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Histogram

        def histogram(name: str, told: str, buckets: tuple[float, ...]) -> "Histogram":
            return Histogram(name, told, _LABELS, buckets=buckets, registry=registry)

        def counter(name: str, told: str, *more: str) -> "Counter":
            return Counter(name, told, (*_LABELS, *more), registry=registry)

        self._inferences = counter("herdbook_inferences", "Inferences.", "outcome")
        self._refused = counter(
            "herdbook_inference_values_refused", "Values that are no such number.", "value"
        )
        self._histograms: Mapping[str, Histogram] = {
            "inference_time_ms": histogram(
                "herdbook_inference_seconds", "How long inferences took.", _SECONDS
            ),
            "confidence": histogram(
                "herdbook_inference_confidence", "How sure the model was.", _TENTHS
            ),
            "anomaly_score": histogram(
                "herdbook_inference_anomaly_score", "Anomaly scores.", _TENTHS
            ),
            "relevance": histogram(
                "herdbook_inference_relevance", "How relevant what was retrieved is.", _TENTHS
            ),
            "retrieved": histogram(
                "herdbook_inference_retrieved_documents",
                "How many documents were retrieved.",
                _NUMBERS,
            ),
        }
        self._known: set[tuple[str, str]] = set()
        self._lock = Lock()

    def record(
        self, model_type: str, model_version: str, values: Mapping[str, Any], *, error: bool
    ) -> None:
        """Count an inference.

        Args:
            model_type: the model.
            model_version: its version; beyond 200 of them they count as `other`.
            values: by name; those that are None were not measured, those that are no finite
                number, or a negative one of what cannot be, are counted as refused.
            error: whether it failed.
        """
        labels = self._labels(str(model_type), str(model_version))
        self._inferences.labels(*labels, "error" if error else "ok").inc()
        for name, given in values.items():
            if given is None:
                continue
            value = _number(given)
            if value is None or (value < 0 and name != "anomaly_score"):
                self._refused.labels(*labels, name).inc()
            else:
                scale = _MS if name == "inference_time_ms" else 1.0
                self._histograms[name].labels(*labels).observe(value / scale)

    def _labels(self, model_type: str, model_version: str) -> tuple[str, str]:
        labels = (model_type, model_version)
        if labels in self._known:
            return labels
        with self._lock:
            if len(self._known) >= VERSIONS_LIMIT and labels not in self._known:
                return OTHER, OTHER
            self._known.add(labels)
        return labels


def _number(given: Any) -> float | None:
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


# Metrics are made once in a registry, and a module that is reloaded keeps its names.
_made: list[InferenceMetrics] = globals().get("_made", [])
_making: Final = Lock()


def _metrics() -> InferenceMetrics:
    if not _made:
        from prometheus_client import REGISTRY

        with _making:
            if not _made:
                _made.append(InferenceMetrics(REGISTRY))
    return _made[0]


def record_gnn_metrics(
    model_version: str,
    inference_time_ms: float | None = None,
    anomaly_score: float | None = None,
    confidence: float | None = None,
    *,
    error: bool = False,
    model_type: str = "gnn",
) -> None:
    """Count an inference of a graph model in this process's Prometheus registry.

    Args:
        model_version: such as `v2.1.0`.
        inference_time_ms: how long it took, or None when not measured.
        anomaly_score: what it predicted.
        confidence: how sure it was, 0 to 1.
        error: whether it failed.
        model_type: the model.

    Example:
        >>> record_gnn_metrics("v2.1.0", inference_time_ms=124.5, anomaly_score=0.2)
    """
    values = {
        "inference_time_ms": inference_time_ms,
        "anomaly_score": anomaly_score,
        "confidence": confidence,
    }
    _metrics().record(model_type, model_version, values, error=error)


def record_rag_metrics(  # noqa: PLR0913 - what there is to be said of a retrieval
    model_version: str,
    inference_time_ms: float | None = None,
    confidence: float | None = None,
    *,
    retrieved: int | None = None,
    relevance: float | None = None,
    error: bool = False,
    model_type: str = "rag",
) -> None:
    """Count an answer of a model that retrieves, in this process's Prometheus registry.

    Args:
        model_version: such as `v1.3.0`.
        inference_time_ms: how long it took, or None when not measured.
        confidence: how sure it was, 0 to 1.
        retrieved: how many documents it found.
        relevance: how relevant they are, 0 to 1.
        error: whether it failed.
        model_type: the model.

    Example:
        >>> record_rag_metrics("v1.3.0", inference_time_ms=310.0, retrieved=5, relevance=0.7)
    """
    values = {
        "inference_time_ms": inference_time_ms,
        "confidence": confidence,
        "retrieved": retrieved,
        "relevance": relevance,
    }
    _metrics().record(model_type, model_version, values, error=error)
