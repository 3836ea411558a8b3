"""Guardrails: metrics that must not get worse while a version is tried."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from herdbook.core import names
from herdbook.errors import Invalid

GUARDRAILS_LIMIT: Final = 20


class Worse(StrEnum):
    """Which way a metric gets worse."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A metric that must not get worse.

    Args:
        metric: its name, as the caller records it, or `inference_time_ms`.
        quantile: watch this quantile of it, at least 0.5 and below 1; None for its mean.
        worse: which way it gets worse.
        margin: by how much, in the metric's unit, the mean may get worse; at least 0. A quantile is
            watched for any worsening.
    """

    metric: str
    quantile: float | None = None
    worse: Worse = Worse.HIGHER
    margin: float = 0.0

    @property
    def name(self) -> str:
        """Such as `inference_time_ms_p95`, or the metric's own name."""
        return self.metric if self.quantile is None else f"{self.metric}_p{self.quantile * 100:g}"

    def checked(self) -> "Guardrail":
        """Give it with its values checked; Invalid."""
        names.key(self.metric, field="guardrails.metric")
        if self.quantile is not None and not 0.5 <= self.quantile < 1:
            raise Invalid(
                f"a quantile of the tail is at least 0.5 and below 1, not {self.quantile}",
                field="guardrails.quantile",
            )
        if self.quantile is not None and self.worse is not Worse.HIGHER:
            raise Invalid("a quantile is watched for getting higher", field="guardrails.worse")
        in_range(self.margin, "guardrails.margin", low=0.0, high=1e12)
        return self


def in_range(value: float, field: str, *, low: float, high: float) -> None:
    """Refuse a number outside a range, or none at all; Invalid, naming the field."""
    if isinstance(value, bool) or not math.isfinite(value) or not low <= value <= high:
        raise Invalid(f"{field} is {value}; it must lie in {low:g} to {high:g}", field=field)
