"""Put into words and figures how a version's drift stands. Nothing here reads or writes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from herdbook.core.drift import (
    CONFIDENCE,
    PREDICTION,
    DriftPoint,
    Moved,
    Report,
    Settings,
    State,
    Status,
    StreamReport,
    StreamState,
)
from herdbook.core.models import Version
from herdbook.core.monitors import Answers, Monitor, Scored
from herdbook.core.references import Kind, Reference
from herdbook.core.sampling import Hour
from herdbook.services import drifting, windows
from herdbook.services.advice import recommendation
from herdbook.services.drifting import Detector
from herdbook.stats import distances

# Bins that moved most are named, after joining those of numbers into this many.
_MOVED: Final = 5
_JOINED: Final = 10
# References of fewer values see only large changes.
_FEW: Final = 500
_LEAST_MOVE: Final = 0.005


def unwatched(version: Version, *, language: str, now: datetime) -> Report:
    """Say that there is no reference."""
    status = Status.NO_REFERENCE
    return Report(
        model=version.model,
        number=version.number,
        status=status,
        recommendation=recommendation(status, State().level, language=language),
        at=now,
    )


def brief(
    monitor: Monitor,
    scores: Sequence[Scored],
    *,
    settings: Settings,
    language: str,
    now: datetime,
) -> Report:
    """Say how a watched version stands, without its streams."""
    state = monitor.state
    counted = {name: each.values + each.missing for name, each in state.streams.items()}
    samples = counted.get(PREDICTION) or max(counted.values(), default=0)
    status = Status.INSUFFICIENT if state.score is None else Status.ACTIVE
    return Report(
        model=monitor.model,
        number=monitor.number,
        status=status,
        current_drift_score=state.score,
        avg_drift_7d=average(scores),
        alert_triggered=state.alarm,
        recommendation=recommendation(
            status, state.level, values=samples, least=settings.least, language=language
        ),
        level=state.level,
        components=state.components,
        episode=state.episode,
        fingerprint=monitor.fingerprint,
        frozen_at=monitor.frozen_at,
        samples=samples,
        late=state.late,
        names=monitor.streams,
        at=now,
    )


def average(scores: Sequence[Scored]) -> float | None:
    """The mean of the hours' mean scores: an hour counts as much as another, however busy."""
    if not scores:
        return None
    return math.fsum(each.total / each.checks for each in scores) / len(scores)


def whole(
    said: Report,
    state: State,
    known: Mapping[str, Detector],
    hours: Mapping[str, Sequence[Hour]],
    *,
    settings: Settings,
    answers: Answers,
) -> Report:
    """Add to a brief report what is said of each stream, and of the accuracy."""
    lately = {
        name: windows.joined(detector.reference, hours.get(name, ()))
        for name, detector in known.items()
    }
    expected = None
    if CONFIDENCE in known:
        expected = windows.expected_accuracy(known[CONFIDENCE].reference, lately[CONFIDENCE])
    ratios = {
        name: drifting.ratio(
            state.streams.get(name, StreamState()),
            streams=len(known),
            run_length=settings.run_length,
        )
        for name in known
    }
    return replace(
        said,
        expected_accuracy=expected,
        accuracy=answers.right / answers.labels if answers.labels else None,
        labels=answers.labels,
        streams=tuple(
            _stream(
                name,
                known[name].reference,
                state.streams.get(name, StreamState()),
                lately[name],
                evidence=ratios[name],
            )
            for name in sorted(known, key=lambda name: (-ratios[name], name))
        ),
    )


def _stream(
    name: str, reference: Reference, state: StreamState, now: Hour, *, evidence: float
) -> StreamReport:
    every = now.values + now.missing
    found = StreamReport(
        stream=name,
        kind=reference.kind,
        values=state.values,
        missing=state.missing,
        evidence=evidence,
        missing_share=now.missing / every if every else None,
        warnings=_warnings(reference, now),
    )
    if not now.values:
        return found
    found = replace(
        found,
        ks=distances.ks(reference.counts, now.counts),
        psi=distances.psi(reference.counts, now.counts),
        js=distances.js(reference.counts, now.counts),
        moved=moved(reference, now),
    )
    if reference.kind is Kind.CATEGORICAL:
        pearson = distances.chi_square(reference.counts, now.counts)
        share = pearson.statistic / pearson.degrees if pearson.degrees else 0.0
        return replace(found, ks=None, chi_square=share)
    mean, sd = windows.mean_and_sd(reference, now)
    return replace(
        found,
        mean=mean,
        sd=sd,
        reference_mean=reference.mean,
        reference_sd=reference.sd,
        wasserstein=_far(reference, now),
    )


def _far(reference: Reference, now: Hour) -> float | None:
    """Give the Wasserstein distance, or None where it is no number: values may be very large."""
    if not reference.sd:
        return None
    try:
        far = distances.wasserstein(
            reference.edges, reference.low, reference.high, reference.counts, now.counts
        )
    except OverflowError:
        return None
    return far / reference.sd if math.isfinite(far / reference.sd) else None


def _warnings(reference: Reference, now: Hour) -> tuple[str, ...]:
    found = []
    if reference.count < _FEW:
        found.append(
            f"the reference has only {reference.count} values: it shows large changes alone"
        )
    if reference.kind is Kind.NUMERIC and reference.low == reference.high:
        found.append(f"all values of the reference are {reference.low:g}")
    if reference.tau > 2:
        found.append(
            f"values follow their neighbours: {reference.tau:.1f} in a row are worth one, so a "
            "change is seen as much later; if the reference was sorted, freeze it again in the "
            "order in which its values came"
        )
    if now.missing and not now.values:
        found.append("all values of the last 24 hours are missing")
    elif not now.values:
        found.append("nothing came in the last 24 hours")
    return tuple(found)


def moved(reference: Reference, now: Hour) -> tuple[Moved, ...]:
    """Name the bins whose share changed most; those of numbers are joined to about ten."""
    if reference.kind is Kind.CATEGORICAL:
        names = [*reference.categories, "others"]
        before, after = list(reference.counts), list(now.counts)
    else:
        names, before, after = _ranges(reference, now)
    n, m = sum(before), sum(after)
    found = [
        Moved(what=what, reference=one / n, current=two / m)
        for what, one, two in zip(names, before, after, strict=True)
    ]
    found.sort(key=lambda each: -abs(each.current - each.reference))
    return tuple(
        each for each in found[:_MOVED] if abs(each.current - each.reference) >= _LEAST_MOVE
    )


def _ranges(reference: Reference, now: Hour) -> tuple[list[str], list[int], list[int]]:
    """Join bins into about ten of equal shares, those outside of all that was seen apart."""
    names, before, after = [f"below {reference.low:.4g}"], [reference.counts[0]], [now.counts[0]]
    start, one, two = reference.low, 0, 0
    most = reference.count / _JOINED
    last = len(reference.edges) - 1
    for at in range(1, last + 1):
        one += reference.counts[at]
        two += now.counts[at]
        if one >= most or at == last:
            names.append(f"{start:.4g} to {reference.edges[at]:.4g}")
            before.append(one)
            after.append(two)
            start, one, two = reference.edges[at], 0, 0
    names.append(f"above {reference.high:.4g}")
    return names, [*before, reference.counts[-1]], [*after, now.counts[-1]]


def points(
    known: Mapping[str, Detector],
    scores: Mapping[int, Scored],
    hours: Mapping[str, Mapping[int, Hour]],
) -> tuple[DriftPoint, ...]:
    """Give what is drawn of each hour that something is known of, oldest first."""
    predictions, confidences = hours.get(PREDICTION, {}), hours.get(CONFIDENCE, {})

    def mean(name: str, of: Mapping[int, Hour], hour: int) -> float | None:
        if hour not in of or not of[hour].values or known[name].reference.kind is not Kind.NUMERIC:
            return None
        return windows.mean_and_sd(known[name].reference, of[hour])[0]

    return tuple(
        DriftPoint(
            hour=hour,
            score=scores[hour].total / scores[hour].checks if hour in scores else None,
            values=predictions[hour].values if hour in predictions else 0,
            mean=mean(PREDICTION, predictions, hour),
            confidence=mean(CONFIDENCE, confidences, hour),
        )
        for hour in sorted({*scores, *predictions, *confidences})
    )
