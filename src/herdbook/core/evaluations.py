"""How a version scored: metrics, their standard names and which way is better."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from herdbook.core import names
from herdbook.errors import Invalid

METRICS_PER_CALL_LIMIT = 1_000


class Direction(StrEnum):
    """Which way a metric is better."""

    HIGHER = "higher"
    LOWER = "lower"
    UNKNOWN = "unknown"


STANDARD: dict[str, Direction] = {
    "accuracy": Direction.HIGHER,
    "precision": Direction.HIGHER,
    "recall": Direction.HIGHER,
    "f1": Direction.HIGHER,
    "auc": Direction.HIGHER,
    "bleu": Direction.HIGHER,
    "rouge1": Direction.HIGHER,
    "rouge2": Direction.HIGHER,
    "rougeL": Direction.HIGHER,
    "rougeLsum": Direction.HIGHER,
    "ndcg": Direction.HIGHER,
    "mrr": Direction.HIGHER,
    "spearman": Direction.HIGHER,
    "pearson": Direction.HIGHER,
    "exact_match": Direction.HIGHER,
    "tokens_per_second": Direction.HIGHER,
    "perplexity": Direction.LOWER,
    "loss": Direction.LOWER,
    "latency_ms": Direction.LOWER,
    "memory_mb": Direction.LOWER,
    "error_rate": Direction.LOWER,
}

# How other tools spell a standard metric; written under the standard name.
SYNONYMS: dict[str, str] = {
    "acc": "accuracy",
    "f1_score": "f1",
    "f1-score": "f1",
    "BLEU": "bleu",
    "bleu_score": "bleu",
    "rouge_1": "rouge1",
    "rouge-1": "rouge1",
    "rouge_2": "rouge2",
    "rouge-2": "rouge2",
    "rouge_l": "rougeL",
    "rouge-l": "rougeL",
    "inference_speed_tokens_per_sec": "tokens_per_second",
    "tokens_per_sec": "tokens_per_second",
    "memory_usage_mb": "memory_mb",
    "avg_latency_ms": "latency_ms",
}

_FAMILIES = {
    "ndcg": Direction.HIGHER,
    "precision": Direction.HIGHER,
    "recall": Direction.HIGHER,
    "hit_rate": Direction.HIGHER,
    "latency": Direction.LOWER,
}


def metric_name(text: str) -> str:
    """Check a metric's name and give its standard spelling.

    Example:
        >>> metric_name("f1_score"), metric_name("precision@5")
        ('f1', 'precision@5')
    """
    names.key(text, field="metrics")
    return SYNONYMS.get(text, text)


def direction(metric: str) -> Direction:
    """Tell which way a metric is better, by its standard name or the family before `@`.

    Example:
        >>> direction("perplexity"), direction("ndcg@10"), direction("my_score")
        (<Direction.LOWER: 'lower'>, <Direction.HIGHER: 'higher'>, <Direction.UNKNOWN: 'unknown'>)
    """
    if metric in STANDARD:
        return STANDARD[metric]
    return _FAMILIES.get(metric.partition("@")[0], Direction.UNKNOWN)


def metric_value(value: float, *, metric: str) -> float:
    """Check a metric's value: a finite number.

    Raises:
        Invalid: not a number, NaN or infinite; a score that could not be computed is left
            out, not written.
    """
    field = f"metrics.{metric}"
    given = names.scalar(value)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise Invalid(f"{field} must be a number, not {type(value).__name__}", field=field)
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Invalid(f"{field} is {value!s:.30}; leave out what could not be scored", field=field)
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One score of a version, as it was recorded.

    Args:
        model: the model's name.
        number: the version's number as text.
        name: the metric's standard name.
        value: finite.
        at: when it was scored.
        source: what scored it (a script, a suite), or "".
        dataset: the data set it was scored on, or "".
        by: who recorded it.
    """

    model: str
    number: str
    name: str
    value: float
    at: datetime
    source: str = ""
    dataset: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operational:
    """Averages over what a version served, exact under concurrency: sums, not averages.

    Args:
        count: observations folded in.
        inference_time_ms: mean over those that gave one, or None.
        confidence: mean over those that gave one, or None.
        error_rate: errors per observation, 0 to 1, or None at count 0.
    """

    count: int = 0
    inference_time_ms: float | None = None
    confidence: float | None = None
    error_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a version served, as sums that only grow.

    Args:
        model: the model's name.
        number: the version's number as text.
        count: observations folded in.
        errors: how many of them failed.
        timed: how many gave an inference time.
        time_ms: the sum of those.
        judged: how many gave a confidence.
        confidence: the sum of those.
    """

    model: str
    number: str
    count: int
    errors: int
    timed: int
    time_ms: float
    judged: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One served request.

    Args:
        inference_time_ms: at least 0, or None when not measured.
        confidence: 0 to 1, or None.
        error: whether it failed.
    """

    inference_time_ms: float | None = None
    confidence: float | None = None
    error: bool = False

    def __post_init__(self) -> None:
        """Refuse what would spoil an average."""
        for field, value, top in (
            ("inference_time_ms", self.inference_time_ms, 1e12),
            ("confidence", self.confidence, 1.0),
        ):
            if value is None:
                continue
            number = metric_value(value, metric=field)
            object.__setattr__(self, field, number)
            if not 0 <= number <= top:
                raise Invalid(f"{field} is {value}; it must lie in 0 to {top:g}", field=field)
