"""Record how versions scored and how they fare in service."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.evaluations import (
    METRICS_PER_CALL_LIMIT,
    Metric,
    Observation,
    Operational,
    metric_name,
    metric_value,
)
from herdbook.core.events import Change
from herdbook.core.models import Version
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef, version_ref
from herdbook.core.wire import plain
from herdbook.errors import Invalid
from herdbook.services.sight import shown

OBSERVATIONS_PER_CALL_LIMIT = 10_000


def checked(
    version: Version, given: Mapping[str, float], work: Work, source: str, dataset: str
) -> list[Metric]:
    """Check scores and give them as they are recorded."""
    if len(given) > METRICS_PER_CALL_LIMIT:
        raise Invalid(
            f"{len(given)} metrics at once; the limit is {METRICS_PER_CALL_LIMIT:,}",
            field="metrics",
        )
    names.optional_line(source, field="source")
    names.optional_line(dataset, field="dataset")
    found = {metric_name(k): metric_value(v, metric=k) for k, v in given.items()}
    if len(found) < len(given):
        raise Invalid("two of the metrics are spellings of one; give it once", field="metrics")
    return [
        Metric(
            model=version.model,
            number=version.number,
            name=name,
            value=value,
            at=work.now(),
            source=source,
            dataset=dataset,
            by=work.by.name,
        )
        for name, value in found.items()
    ]


def score(
    work: Work,
    ref: str | VersionRef,
    *,
    metrics: Mapping[str, float],
    source: str = "",
    dataset: str = "",
) -> Version:
    """Record scores of a version; each becomes the newest of its name."""
    wanted = version_ref(ref)
    work.by.allow(Action.WRITE, wanted.model)
    work.models.lock(wanted.model)
    found = work.versions.get(wanted)
    recorded = checked(found, metrics, work, source, dataset)
    if not recorded:
        raise Invalid("no metrics given; for example accuracy=0.85", field="metrics")
    work.evaluations.add(found, recorded)
    scores = {metric.name: metric.value for metric in recorded}
    changed = replace(
        found,
        metrics=dict(sorted((dict(found.metrics) | scores).items())),
        updated_at=work.now(),
    )
    work.versions.save(changed)
    work.record(
        Change(
            action="version.scored",
            model=found.model,
            number=found.number,
            body={"scores": plain(recorded)},
        )
    )
    return shown(work, changed)


def history(
    work: Work,
    ref: str | VersionRef,
    *,
    name: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Metric]:
    """Give every score of a version, newest first."""
    found = _readable(work, ref)
    wanted = metric_name(name) if name else None
    return work.evaluations.history(found, name=wanted, size=checked_size(page_size), page=page)


def observe(
    work: Work, ref: str | VersionRef, *, observations: Sequence[Observation]
) -> Operational:
    """Fold served requests into a version's operational averages.

    Observations are measurements, not changes: they are no events of the audit log.
    """
    wanted = version_ref(ref)
    work.by.allow(Action.WRITE, wanted.model)
    if not 1 <= len(observations) <= OBSERVATIONS_PER_CALL_LIMIT:
        raise Invalid(
            f"{len(observations)} observations; give 1 to {OBSERVATIONS_PER_CALL_LIMIT:,} at once",
            field="observations",
        )
    return work.evaluations.fold(work.versions.get(wanted), observations)


def operational(work: Work, ref: str | VersionRef) -> Operational:
    """Give a version's operational averages."""
    return work.evaluations.operational(_readable(work, ref))


def _readable(work: Work, ref: str | VersionRef) -> Version:
    wanted = version_ref(ref)
    work.by.allow(Action.READ, wanted.model)
    return work.versions.get(wanted)
