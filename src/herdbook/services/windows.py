"""A stream's last hours, added up: its figures, an estimate of the accuracy, the seeds' formula."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from herdbook.core.drift import CONFIDENCE, PREDICTION, Components, Settings
from herdbook.core.references import Reference
from herdbook.core.sampling import Hour
from herdbook.services.drifting import clipped
from herdbook.stats.distances import ks, ks_p_value

_LITERAL_SPREAD: Final = 0.5
_LITERAL_DROP: Final = 0.2


def literal(
    references: Mapping[str, Reference], hours: Mapping[str, Sequence[Hour]], settings: Settings
) -> Components | None:
    """Give the parts as the seeds' formula is written, of the hours given; for comparison.

    Statistical is 1 minus the p-value of the two-sample Kolmogorov-Smirnov test: it is anything
    from 0 to 1, each as likely, where nothing has changed at all. Performance is the drop in mean
    confidence over 0.2, distribution the change of mean and standard deviation over 0.5, in the
    unit of the predictions.
    """
    found = {
        name: joined(references[name], of)
        for name, of in hours.items()
        if of and name in references
    }
    reference, now = references.get(PREDICTION), found.get(PREDICTION)
    if reference is None or now is None or now.values < settings.least:
        return None
    d = ks(reference.counts, now.counts)
    mean, sd = mean_and_sd(reference, now)
    performance = 0.0
    if CONFIDENCE in found and found[CONFIDENCE].values:
        after, _ = mean_and_sd(references[CONFIDENCE], found[CONFIDENCE])
        performance = (references[CONFIDENCE].mean - after) / _LITERAL_DROP
    return Components(
        statistical=1 - ks_p_value(d, reference.count, now.values),
        performance=clipped(performance),
        distribution=clipped(
            (abs(mean - reference.mean) + abs(sd - reference.sd)) / _LITERAL_SPREAD
        ),
    )


def joined(reference: Reference, hours: Sequence[Hour]) -> Hour:
    """Add up hours, their sums taken from the reference's mean instead of each hour's centre."""
    moved = []
    for each in hours:
        by = reference.centre(reference.slot_of(each.hour)) - reference.mean
        squares = each.squares + 2 * by * each.total + each.values * by * by
        moved.append(replace(each, total=each.total + each.values * by, squares=max(0.0, squares)))
    if not moved:
        return Hour(hour=0, counts=(0,) * reference.bins)
    return Hour(
        hour=moved[-1].hour,
        counts=tuple(map(sum, zip(*(each.counts for each in moved), strict=True))),
        missing=sum(each.missing for each in moved),
        total=math.fsum(each.total for each in moved),
        squares=math.fsum(each.squares for each in moved),
    )


def mean_and_sd(reference: Reference, hour: Hour) -> tuple[float, float]:
    """The mean and standard deviation of what `joined` gave; NaN of no values."""
    if not hour.values:
        return math.nan, math.nan
    off = hour.total / hour.values
    return reference.mean + off, math.sqrt(max(0.0, hour.squares / hour.values - off * off))


def expected_accuracy(reference: Reference, now: Hour) -> float | None:
    """Estimate the accuracy from confidences alone: what they were worth in the reference.

    Each bin of the confidence counts with the share of right predictions of its tenth. It holds as
    long as a confidence means what it meant: it sees a change in the inputs, none in what is true.

    Reference: Guillory et al., "Predicting with confidence on unseen distributions", ICCV (2021);
    known from NannyML as confidence-based performance estimation (CBPE).
    """
    if not reference.accuracy or not now.values:
        return None
    tenths = len(reference.accuracy)
    middles = [
        (low + high) / 2
        for low, high in zip(
            (reference.low, *reference.edges), (*reference.edges, reference.high), strict=True
        )
    ]
    right = math.fsum(
        count * reference.accuracy[min(tenths - 1, int(min(1.0, max(0.0, middle)) * tenths))]
        for count, middle in zip(now.counts, middles, strict=True)
    )
    return right / now.values
