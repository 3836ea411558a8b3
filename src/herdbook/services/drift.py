"""Watch versions for drift: freeze references, tell how they are doing, and see episodes through.

What is sampled comes in with what is recorded, see `serving.fold` and `episodes.take`.
"""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.drift import (
    CONFIDENCE,
    PREDICTION,
    DriftPoint,
    Report,
    Settings,
    Standing,
    Status,
    Watched,
)
from herdbook.core.events import Change
from herdbook.core.models import Version
from herdbook.core.monitors import Answers, Monitor
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.references import Kind, Reference
from herdbook.core.refs import VersionRef, version_ref
from herdbook.core.sampling import HOURS, STREAMS_LIMIT, Distribution
from herdbook.core.wire import canonical, plain
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.services import drift_reports, episodes, windows
from herdbook.services.episodes import detectors, hour_of

LABELS_LIMIT: Final = 10_000
# How many hours back `report` looks at what came of late.
DAY: Final = 24


def watch(
    work: Work,
    ref: str | VersionRef,
    *,
    references: Mapping[str, Reference],
    replace: bool = False,
) -> Watched:
    """Freeze the references of a version, and watch it from now on.

    Args:
        work: the unit of work.
        ref: the version.
        references: by stream: `prediction`, `confidence`, any feature's name.
        replace: take the place of other references; what was counted by those is removed.

    Raises:
        Conflict: other references are frozen already.
    """
    wanted = version_ref(ref)
    work.by.allow(Action.WRITE, wanted.model)
    work.models.lock(wanted.model)
    found = work.versions.get(wanted)
    checked = _checked(references)
    mark = fingerprint(checked)
    held = work.drift.lock(found.model, found.number)
    if held is not None and held.fingerprint == mark:
        return work.drift.watched(held)
    if held is not None and not replace:
        raise Conflict(
            f"{found.ref} is watched by references frozen at {held.frozen_at:%Y-%m-%d %H:%M} "
            f"(fingerprint {held.fingerprint[:12]}), these are others ({mark[:12]}): references "
            "never change; to begin anew, and lose what was counted, replace them (--replace, or "
            "replace=True in Python)",
            field="references",
        )
    made = Watched(
        model=found.model,
        number=found.number,
        fingerprint=mark,
        references=checked,
        frozen_at=work.now(),
    )
    if held is not None:
        episodes.close(work, held)
    work.drift.watch(found, made)
    streams = {name: {"values": each.count, "bins": each.bins} for name, each in checked.items()}
    body = {"fingerprint": mark, "streams": streams, "replaced": held is not None}
    _tell(work, found, action="drift.watched", body=body)
    return made


def _checked(references: Mapping[str, Reference]) -> dict[str, Reference]:
    if not 1 <= len(references) <= STREAMS_LIMIT:
        raise Invalid(
            f"there are references of {len(references)} streams; give 1 to {STREAMS_LIMIT}",
            field="references",
        )
    found = {
        names.key(name, field="references"): references[name].checked(name)
        for name in sorted(references)
    }
    sure = found.get(CONFIDENCE)
    if sure is not None and sure.kind is Kind.NUMERIC and not 0 <= sure.low <= sure.high <= 1:
        raise Invalid(
            f"confidence is {sure.low:g} to {sure.high:g}; a confidence is 0 to 1: divide per "
            "cents by 100, or give another stream that name",
            field="references.confidence",
        )
    return found


def fingerprint(references: Mapping[str, Reference]) -> str:
    """Name references by what they are: 32 hexadecimal digits of BLAKE2b over canonical JSON."""
    said = {name: plain(reference) for name, reference in references.items()}
    return blake2b(canonical(said).encode(), digest_size=16).hexdigest()


def unwatch(work: Work, ref: str | VersionRef) -> Watched:
    """Watch a version no more: its references and all that was counted are removed."""
    found = _version(work, ref, Action.WRITE)
    held = work.drift.lock(found.model, found.number)
    if held is None:
        raise _unwatched(found)
    was = work.drift.watched(held)
    episodes.close(work, held)
    work.drift.forget(held)
    _tell(work, found, action="drift.unwatched", body={"fingerprint": held.fingerprint})
    return was


def references(work: Work, ref: str | VersionRef, *, mark: str = "") -> Watched:
    """Give the references of a version, to count in their bins.

    Args:
        work: the unit of work.
        ref: the version.
        mark: the fingerprint of those that are held already; then they are left out.

    Raises:
        NotFound: it is not watched.
    """
    monitor = _watched(work, ref)
    if mark == monitor.fingerprint:
        return Watched(
            model=monitor.model,
            number=monitor.number,
            fingerprint=mark,
            references={},
            frozen_at=monitor.frozen_at,
        )
    return work.drift.watched(monitor)


def configure(work: Work, model: str, *, settings: Settings) -> Settings:
    """Say how drift of a model's versions is judged from now on."""
    work.by.allow(Action.WRITE, names.model_name(model))
    work.models.lock(model)
    checked = settings.checked()
    work.drift.set_settings(model, checked)
    body = {"settings": plain(checked)}
    work.record(Change(action="drift.configured", model=model, number="", body=body))
    return checked


def settings(work: Work, model: str) -> Settings:
    """Give how drift of a model's versions is judged."""
    work.by.allow(Action.READ, names.model_name(model))
    work.models.get(model)
    return work.drift.settings(model) or Settings()


def standing(work: Work, ref: str | VersionRef) -> Standing:
    """Tell in short how a version's drift stands: what may be asked at every request."""
    wanted = version_ref(ref)
    work.by.allow(Action.READ, wanted.model)
    number = wanted.number or work.versions.get(wanted).number
    found = work.drift.standing(wanted.model, number)
    if found is None:
        work.versions.get(wanted)
    return found or Standing(status=Status.NO_REFERENCE)


def report(work: Work, ref: str | VersionRef, *, language: str = "en") -> Report:
    """Tell how a version's drift stands, with what moved in the last 24 hours.

    Args:
        work: the unit of work.
        ref: the version.
        language: of the recommendation: `en`, `ru` or `de`.
    """
    found = _version(work, ref, Action.READ)
    monitor = work.drift.get(found.model, found.number)
    if monitor is None:
        return drift_reports.unwatched(found, language=language, now=work.now())
    since = hour_of(work.now()) - DAY + 1
    hours = {name: work.drift.hours(monitor, name, since=since) for name in monitor.streams}
    brief = _brief(work, monitor, language)
    answers = work.drift.answers(monitor, since=work.now() - timedelta(hours=HOURS))
    return drift_reports.whole(
        brief,
        monitor.state,
        detectors(work, monitor),
        hours,
        settings=work.drift.settings(monitor.model) or Settings(),
        answers=answers,
    )


def page(
    work: Work,
    *,
    model: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
    language: str = "en",
) -> Page[Report]:
    """Tell how all watched versions stand, in short, newest first."""
    if model:
        work.by.allow(Action.READ, names.model_name(model))
        work.models.get(model)
    found = work.drift.page(model=model or None, size=checked_size(page_size), page=page)
    return Page(items=tuple(_brief(work, each, language) for each in found.items), next=found.next)


def _brief(work: Work, monitor: Monitor, language: str) -> Report:
    since = hour_of(work.now()) - HOURS + 1
    return drift_reports.brief(
        monitor,
        work.drift.scores(monitor, since=since),
        settings=work.drift.settings(monitor.model) or Settings(),
        language=language,
        now=work.now(),
    )


def history(work: Work, ref: str | VersionRef, *, hours: int = HOURS) -> Page[DriftPoint]:
    """Give a version's drift by the hour, oldest first, to be drawn.

    Args:
        work: the unit of work.
        ref: the version.
        hours: how many back, 1 to 168.
    """
    monitor = _watched(work, ref)
    since = hour_of(work.now()) - _hours(hours) + 1
    scores = {each.hour: each for each in work.drift.scores(monitor, since=since)}
    known = detectors(work, monitor)
    found = {
        name: {
            each.hour: windows.joined(known[name].reference, [each])
            for each in work.drift.hours(monitor, name, since=since)
        }
        for name in (PREDICTION, CONFIDENCE)
        if name in known
    }
    return Page(items=drift_reports.points(known, scores, found))


def distribution(
    work: Work, ref: str | VersionRef, *, stream: str = PREDICTION, hours: int = DAY
) -> Distribution:
    """Give a stream's reference beside its last hours.

    Raises:
        NotFound: there is no such stream.
    """
    monitor = _watched(work, ref)
    if stream not in monitor.streams:
        raise NotFound(
            f"{monitor.model}:{monitor.number} has no stream {stream!r:.60}; it has "
            f"{', '.join(monitor.streams)}",
            field="stream",
        )
    of = detectors(work, monitor)[stream].reference
    since = hour_of(work.now()) - _hours(hours) + 1
    now = windows.joined(of, work.drift.hours(monitor, stream, since=since))
    return Distribution(
        stream=stream,
        edges=of.edges,
        low=of.low,
        high=of.high,
        categories=of.categories,
        reference=of.counts,
        current=now.counts,
        hours=hours,
    )


def _hours(given: int) -> int:
    if not 1 <= given <= HOURS:
        raise Invalid(f"{given} hours; give 1 to {HOURS}, seven days", field="hours")
    return given


def label(work: Work, ref: str | VersionRef, *, labels: Mapping[str, str]) -> Answers:
    """Tell the true answers of requests that were sampled with their id.

    Args:
        work: the unit of work.
        ref: the version that answered them.
        labels: request to what would have been right, as text; at most 10,000 at once.

    Returns:
        How many of the requests are known, and how many were right.
    """
    monitor = _watched(work, ref)
    work.by.allow(Action.WRITE, monitor.model)
    if not 1 <= len(labels) <= LABELS_LIMIT:
        raise Invalid(f"{len(labels)} labels; give 1 to {LABELS_LIMIT:,} at once", field="labels")
    for request, answer in labels.items():
        names.line(request, field="labels", limit=names.KEY_LIMIT)
        names.line(answer, field="labels", limit=names.KEY_LIMIT)
    return work.drift.answer(monitor, labels, at=work.now())


def _version(work: Work, ref: str | VersionRef, action: Action) -> Version:
    wanted = version_ref(ref)
    work.by.allow(action, wanted.model)
    return work.versions.get(wanted)


def _watched(work: Work, ref: str | VersionRef) -> Monitor:
    found = _version(work, ref, Action.READ)
    monitor = work.drift.get(found.model, found.number)
    if monitor is None:
        raise _unwatched(found)
    return monitor


def _unwatched(version: Version) -> NotFound:
    return NotFound(
        f"{version.ref} is not watched: freeze a reference with `herdbook drift reference "
        f"{version.ref} FILE`, or with a detector in Python",
        field="version",
    )


def _tell(work: Work, version: Version, *, action: str, body: Mapping[str, object]) -> None:
    work.record(Change(action=action, model=version.model, number=version.number, body=body))
