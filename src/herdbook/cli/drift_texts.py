"""Drift as people read it: tables, figures, sentences."""

from collections.abc import Sequence
from typing import Final

from herdbook.cli.output import Table, facts, line, number
from herdbook.cli.session import Session
from herdbook.core.drift import (
    DriftPoint,
    Episode,
    Level,
    Moved,
    Report,
    Settings,
    Status,
    StreamReport,
)
from herdbook.core.references import Kind
from herdbook.core.sampling import HOUR_SECONDS

COLOURS: Final = {
    Level.NORMAL: "green",
    Level.WATCH: "yellow",
    Level.RETRAIN: "bright_yellow",
    Level.CRITICAL: "red",
}


def name_of(report: Report) -> str:
    """Give `gnn:v2.1.0`."""
    return f"{report.model}:{report.number}"


def level_of(report: Report) -> str:
    """Say the level, or what is known instead."""
    if report.status is Status.ACTIVE:
        return str(report.level)
    return str(report.status).replace("_", " ")


def short(value: float | None) -> str:
    """Give four digits: what is behind them is noise here."""
    return number(None if value is None else float(f"{value:.4g}"))


def percent(share: float | None) -> str:
    """Write a share."""
    return "-" if share is None else f"{share * 100:.3g} %"


def table(found: Sequence[Report]) -> Table:
    """Set versions in rows."""
    rows = [
        [
            name_of(each),
            short(each.current_drift_score),
            short(each.avg_drift_7d),
            level_of(each),
            each.episode if each.alert_triggered else "-",
            f"{each.samples:,}",
            str(len(each.names)),
            each.recommendation,
        ]
        for each in found
    ]
    titles = (
        *("version", ">score", ">7 days", "level", "alarm"),
        *(">samples", ">streams", "recommendation"),
    )
    empty = "No version is watched: `herdbook drift reference REF FILE` begins."
    return Table(titles, rows, empty=empty)


def text(session: Session, found: Report) -> str:
    """Write all that is known of a version's drift."""
    parts = [
        session.style(name_of(found), fg=COLOURS[found.level], bold=True),
        *facts(_fields(session, found)),
    ]
    if found.streams:
        parts += ["", _streams(found.streams).text(session.look)]
    for each in found.streams:
        parts += [*_moved(session, each)]
        parts += [f"  {each.stream}: {warning}" for warning in each.warnings]
    return "\n".join(parts)


def _fields(session: Session, found: Report) -> list[tuple[str, str]]:
    parts = found.components
    return [
        ("level", level_of(found)),
        ("score", short(found.current_drift_score) if found.fingerprint else ""),
        ("7 days", short(found.avg_drift_7d) if found.fingerprint else ""),
        ("statistical", short(parts.statistical) if parts else ""),
        ("performance", short(parts.performance) if parts else ""),
        ("distribution", short(parts.distribution) if parts else ""),
        ("alarm", f"yes, {found.episode}" if found.alert_triggered else "no"),
        ("samples", f"{found.samples:,}" if found.fingerprint else ""),
        ("not counted", f"{found.late:,}, too late or of no known stream" if found.late else ""),
        ("accuracy", _accuracy(found)),
        ("frozen", session.when(found.frozen_at)),
        ("fingerprint", found.fingerprint),
        ("advice", line(found.recommendation)),
    ]


def _accuracy(found: Report) -> str:
    told = []
    if found.accuracy is not None:
        told.append(f"{percent(found.accuracy)} of {found.labels:,} labelled ones")
    if found.expected_accuracy is not None:
        told.append(f"about {percent(found.expected_accuracy)} by its confidence")
    return ", ".join(told)


def _streams(found: Sequence[StreamReport]) -> Table:
    rows = [
        [
            each.stream,
            f"{each.values:,}",
            percent(each.evidence),
            percent(each.missing_share),
            _pair(each.reference_mean, each.mean),
            _pair(each.reference_sd, each.sd),
            short(each.ks),
            short(each.psi),
            short(each.js),
            short(each.wasserstein if each.kind is Kind.NUMERIC else each.chi_square),
        ]
        for each in found
    ]
    titles = (
        *("stream", ">values", ">evidence", ">missing", ">mean", ">sd", ">KS", ">PSI"),
        *(">JS", ">W1 or chi2"),
    )
    return Table(titles, rows)


def _pair(before: float | None, now: float | None) -> str:
    return "-" if now is None else f"{short(before)} → {short(now)}"


def _moved(session: Session, found: StreamReport) -> list[str]:
    if not found.moved:
        return []
    rows = [
        [each.what, percent(each.reference), percent(each.current), _change(each)]
        for each in found.moved
    ]
    titles = (found.stream, ">reference", ">24 hours", ">change")
    return ["", Table(titles, rows).text(session.look)]


def _change(moved: Moved) -> str:
    return f"{(moved.current - moved.reference) * 100:+.3g} points"


def history_table(points: Sequence[DriftPoint]) -> Table:
    """Set hours in rows."""
    rows = [
        [
            hour_text(each.hour),
            short(each.score),
            f"{each.values:,}",
            short(each.mean),
            short(each.confidence),
        ]
        for each in points
    ]
    titles = ("hour", ">score", ">values", ">mean", ">confidence")
    return Table(titles, rows, empty="Nothing was counted in these hours.")


def hour_text(hour: int) -> str:
    """Write an hour since 1970, in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(hour * HOUR_SECONDS, tz=UTC).strftime("%Y-%m-%dT%H:00Z")


def episodes_table(session: Session, found: Sequence[Episode]) -> Table:
    """Set episodes in rows."""
    rows = [
        [
            each.id,
            f"{each.model}:{each.number}",
            str(each.level),
            short(each.peak),
            session.when(each.began_at),
            session.when(each.ended_at) or "goes on",
            ", ".join(each.streams),
            retraining(each),
        ]
        for each in found
    ]
    titles = ("episode", "version", "level", ">peak", "began", "ended", "streams", "retraining")
    return Table(titles, rows, empty="There were no episodes.")


def retraining(found: Episode) -> str:
    """Say how far a retraining is."""
    if found.candidate:
        return f"came to {found.candidate}"
    if found.claimed_by:
        return f"done by {found.claimed_by}"
    return "wanted" if found.retrain_at else "-"


def settings_facts(found: Settings) -> list[tuple[str, str]]:
    """Give the settings by the names of their options."""
    weights = zip(("statistical", "performance", "distribution"), found.weights, strict=True)
    levels = zip((Level.WATCH, Level.RETRAIN, Level.CRITICAL), found.thresholds, strict=True)
    return [
        ("weights", ", ".join(f"{name} {weight:g}" for name, weight in weights)),
        ("thresholds", ", ".join(f"{level} from {least:g}" for level, least in levels)),
        ("window", f"{found.window:,} values"),
        ("run length", f"{found.run_length:,.0f} values to a false alarm"),
        ("least", f"{found.least:,} values"),
        ("confidence drop", number(found.confidence_drop)),
        ("spread", f"{found.spread:g} standard deviations"),
        ("cool-down", f"{found.cool_down_hours:g} hours between retrainings"),
        ("mode", str(found.mode)),
    ]
