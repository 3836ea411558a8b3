"""What is shown of a register, in Prometheus' families of metrics. No reading, no waiting.

What is not known is left out: never a NaN, for which every comparison is false in silence.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from herdbook.core.deployments import MoveKind
from herdbook.core.drift import Components
from herdbook.core.experiments import Outcome
from herdbook.core.migrations import MigrationPhase, Progress
from herdbook.services.observing import Happened, Observed, Watching

_VERSION: Final = ("model_type", "model_version")
_MIGRATION: Final = ("migration", "collection")
_MS: Final = 1000.0

Counts = Mapping[Happened, int]


def families(observed: Observed, counts: Counts, *, models: bool) -> Iterator[Metric]:
    """Give all families.

    Args:
        observed: what the register holds.
        counts: what happened since the server began.
        models: whether models may be named.
    """
    yield from _happened(counts)
    yield _phases(observed)
    if models:
        yield from _drift(observed)
        yield from _streams(observed)
        yield from _episodes(observed, counts)
        yield from _champions(observed)
        yield from _served(observed)
        yield from _migrations(observed)
        yield _left_out(observed)


def _happened(counts: Counts) -> Iterator[Metric]:
    for name, told, label, action, kinds in (
        ("herdbook_deployments", "Moves of aliases.", "kind", "alias.moved", MoveKind),
        (
            "herdbook_experiments_ended",
            "Experiments that ended.",
            "outcome",
            "experiment.ended",
            Outcome,
        ),
    ):
        family = CounterMetricFamily(name, told, labels=[label])
        for kind in kinds:
            found = (
                count for it, count in counts.items() if (it.action, it.kind) == (action, kind)
            )
            family.add_metric([str(kind)], sum(found))
        yield family


def _drift(observed: Observed) -> Iterator[Metric]:
    def gauge(name: str, told: str, *more: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"model_drift_{name}", told, labels=[*_VERSION, *more])

    score = gauge("score", "How far a version has drifted, 0 to 1.")
    level = gauge("level", "By the score: 0 normal, 1 watch, 2 retrain, 3 critical.")
    alarm = gauge("alarm", "Whether score and evidence are both above what an alarm takes.")
    evidence = gauge("evidence_ratio", "Log evidence as a share of what an alarm takes.")
    checked = gauge("last_check_timestamp_seconds", "When values came last.")
    component = gauge("component", "The parts of the score, before they are weighted.", "component")
    for each in observed.watching:
        known, state = [each.model, each.number], each.state
        _add(score, known, state.score)
        level.add_metric(known, each.level)
        alarm.add_metric(known, state.alarm)
        _add(evidence, known, each.evidence)
        _add(checked, known, state.checked_at.timestamp() if state.checked_at else None)
        for part in fields(Components) if state.components else ():
            _add(component, [*known, part.name], getattr(state.components, part.name))
    yield from (score, component, level, alarm, evidence, checked)


def _add(family: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None and math.isfinite(value):
        family.add_metric(labels, value)


def _streams(observed: Observed) -> Iterator[Metric]:
    def counter(name: str, told: str, *more: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"model_drift_{name}", told, labels=[*_VERSION, *more])

    samples = counter("samples", "Values counted since the reference was frozen.", "stream")
    missing = counter("missing", "Values that were NaN, infinite or nothing.", "stream")
    late = counter("late", "Values that could not be counted.")
    for each in observed.watching:
        known = [each.model, each.number]
        late.add_metric(known, each.state.late)
        for stream in each.streams:
            found = each.state.streams.get(stream)
            samples.add_metric([*known, stream], found.values if found else 0)
            missing.add_metric([*known, stream], found.missing if found else 0)
    yield from (samples, missing, late)


def _episodes(observed: Observed, counts: Counts) -> Iterator[Metric]:
    for name, told, action in (
        ("model_drift_episodes", "Stretches of drift that began.", "drift.raised"),
        ("model_drift_retrainings", "Retrainings that were asked for.", "drift.retrain"),
    ):
        family = CounterMetricFamily(name, told, labels=_VERSION)
        for each in observed.watching:
            family.add_metric([each.model, each.number], counts.get(_of(action, each), 0))
        yield family


def _of(action: str, watching: Watching) -> Happened:
    return Happened(action, "", watching.model, watching.number)


def _champions(observed: Observed) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "herdbook_champion_info", "The version that is champion, always 1.", labels=_VERSION
    )
    for model, number in observed.champions.items():
        family.add_metric([model, number], 1)
    yield family


def _served(observed: Observed) -> Iterator[Metric]:
    count = CounterMetricFamily("herdbook_served", "Observations of a version.", labels=_VERSION)
    errors = CounterMetricFamily(
        "herdbook_served_errors", "Those of them that failed.", labels=_VERSION
    )
    seconds = SummaryMetricFamily(
        "herdbook_served_seconds", "Inference times of a version.", labels=_VERSION
    )
    confidence = SummaryMetricFamily(
        "herdbook_served_confidence", "Confidences of a version.", labels=_VERSION
    )
    for each in observed.served:
        known = [each.model, each.number]
        count.add_metric(known, each.count)
        errors.add_metric(known, each.errors)
        seconds.add_metric(known, each.timed, each.time_ms / _MS)
        confidence.add_metric(known, each.judged, each.confidence)
    yield from (count, errors, seconds, confidence)


def _phases(observed: Observed) -> Metric:
    family = GaugeMetricFamily(
        "herdbook_document_migrations", "Migrations of documents by phase.", labels=["phase"]
    )
    for phase in MigrationPhase:
        family.add_metric([str(phase)], observed.phases.get(phase, 0))
    return family


def _migrations(observed: Observed) -> Iterator[Metric]:
    for name, told, value in _PROGRESS:
        family = GaugeMetricFamily(f"herdbook_document{name}", told, labels=_MIGRATION)
        for each in observed.migrations:
            _add(family, [each.id, each.collection], value(each.progress))
        yield family


_PROGRESS: Final[tuple[tuple[str, str, Callable[[Progress], float]], ...]] = (
    ("s_to_migrate", "Documents of a migration that is under way.", attrgetter("documents")),
    ("s_migrated", "Those of them that are at the target.", attrgetter("written")),
    ("s_set_aside", "Those of them that could not be moved.", attrgetter("set_aside")),
    ("_migration_seconds", "How long it was carried, all workers.", attrgetter("seconds")),
    ("_migration_cost", "What its embedding cost.", attrgetter("cost")),
)


def _left_out(observed: Observed) -> Metric:
    family = GaugeMetricFamily(
        "herdbook_metrics_left_out",
        "What there is beside what is shown, because labels are bounded.",
        labels=["what"],
    )
    for what, number in observed.left_out.items():
        family.add_metric([what], number)
    return family
