"""`book.drift`, as far as it asks the register; what records samples is in `front.detecting`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from herdbook.core.drift import DriftPoint, Episode, Mode, Report, Settings, Watched
from herdbook.core.monitors import Answers
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.references import Reference
from herdbook.core.sampling import HOURS, Distribution
from herdbook.errors import Invalid
from herdbook.front.door import Door


class Changes(TypedDict, total=False):
    """What of the settings may be given by name; see `core.drift.Settings`."""

    weights: tuple[float, float, float]
    thresholds: tuple[float, float, float]
    window: int
    run_length: float
    least: int
    confidence_drop: float
    spread: float
    cool_down_hours: float
    mode: Mode


def frozen(references: Mapping[str, Reference | Iterable[Any]]) -> dict[str, Reference]:
    """Make references of streams: texts are categories, everything else is numbers."""
    return {
        name: each if isinstance(each, Reference) else reference(each, of=name)
        for name, each in references.items()
    }


def reference(values: Iterable[Any], hours: list[int] | None = None, *, of: str) -> Reference:
    """Make the reference of one stream.

    Args:
        values: in the order in which they came; None is missing.
        of: the stream's name, for the message.
        hours: when each came, since 1970 in UTC; None where that is not known.

    Raises:
        Invalid: there are too few.
    """
    from herdbook.services import references

    held = values.tolist() if hasattr(values, "tolist") else list(values)
    try:
        if any(isinstance(value, str) for value in held):
            return references.categorical(None if v is None else str(v) for v in held)
        return references.numeric([number(value) for value in held], hours=hours)
    except Invalid as wrong:
        raise Invalid(f"{of}: {wrong}", field=of) from None


def number(value: Any) -> float:
    """Give a number; NaN for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def settled(settings: Settings | None, changes: Mapping[str, Any]) -> Settings:
    """Give settings with what is given by name."""
    said = dict(changes)
    for name in ("weights", "thresholds"):
        if name in said:
            said[name] = tuple(said[name])
    if "mode" in said:
        said["mode"] = Mode(said["mode"])
    return replace(settings or Settings(), **said)


class Drift:
    """Drift: whether what versions predict still is what it was when all was well."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def watch(
        self,
        ref: str,
        references: Mapping[str, Reference | Iterable[Any]],
        *,
        replace: bool = False,
    ) -> Watched:
        """Freeze the references of a version, and watch it from now on.

        Args:
            ref: the version, such as `gnn:v2.1.0`.
            references: by stream: `prediction`, `confidence`, any feature. Values in the order in
                which they came, or what `herdbook.services.references` makes of them.
            replace: take the place of other references; what was counted by those is removed.

        Raises:
            Conflict: other references are frozen already.
            Invalid: a stream has fewer than 20 values.
        """
        return self._door.call(
            Watched, "drift.watch", ref=ref, references=frozen(references), replace=replace
        )

    def unwatch(self, ref: str) -> Watched:
        """Watch a version no more: its references and all that was counted are removed."""
        return self._door.call(Watched, "drift.unwatch", ref=ref)

    def references(self, ref: str) -> Watched:
        """Give what a version's production is compared with; NotFound when it is not watched."""
        return self._door.call(Watched, "drift.references", ref=ref)

    def report(self, ref: str, *, language: str = "en") -> Report:
        """Tell how a version's drift stands, as far as the register knows by now.

        Args:
            ref: the version.
            language: of the recommendation: `en`, `ru` or `de`.
        """
        return self._door.call(Report, "drift.report", ref=ref, language=language)

    def list(
        self,
        model: str = "",
        *,
        language: str = "en",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Report]:
        """Tell how all watched versions stand, in short, newest first."""
        return self._door.page(
            Report,
            "drift.page",
            model=model,
            language=language,
            page_size=page_size,
            page=page,
        )

    def history(self, ref: str, *, hours: int = HOURS) -> Page[DriftPoint]:
        """Give a version's drift by the hour, oldest first: at most the last 168."""
        return self._door.page(DriftPoint, "drift.history", ref=ref, hours=hours)

    def distribution(
        self, ref: str, stream: str = "prediction", *, hours: int = 24
    ) -> Distribution:
        """Give a stream's reference beside its last hours."""
        return self._door.call(
            Distribution, "drift.distribution", ref=ref, stream=stream, hours=hours
        )

    def episodes(
        self,
        model: str = "",
        number: str = "",
        *,
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Episode]:
        """Give episodes of drift, newest first."""
        return self._door.page(
            Episode,
            "drift.episodes",
            model=model,
            number=number,
            page_size=page_size,
            page=page,
        )

    def configure(
        self, model: str, settings: Settings | None = None, **changes: Unpack[Changes]
    ) -> Settings:
        """Say how drift of a model's versions is judged from now on.

        Args:
            model: its name.
            settings: all of them; the defaults when left out.
            changes: those that are others, by name.
        """
        return self._door.call(
            Settings, "drift.configure", model=model, settings=settled(settings, changes)
        )

    def settings(self, model: str) -> Settings:
        """Give how drift of a model's versions is judged."""
        return self._door.call(Settings, "drift.settings", model=model)

    def label(self, ref: str, labels: Mapping[str, str]) -> Answers:
        """Tell the true answers of requests that were sampled with their id.

        Args:
            ref: the version that answered them.
            labels: request to what would have been right, as text; at most 10,000 at once.
        """
        return self._door.call(Answers, "drift.label", ref=ref, labels=dict(labels))

    def claim(
        self, episode: str, *, by: str = "", force: bool = False, alarm: bool = False
    ) -> Episode:
        """Take the retraining of an episode: one of those who ask gets it.

        Args:
            episode: its id, such as `drift-17`.
            by: who takes it; left out, whoever is signed in.
            force: take it from whoever has it, who may have died.
            alarm: take what is to be done at the alarm instead, such as to call somebody.

        Raises:
            Conflict: no retraining is asked for, or another one has it.
        """
        return self._door.call(
            Episode, "drift.claim", episode=episode, by=by, force=force, alarm=alarm
        )

    def retrained(self, episode: str, candidate: str) -> Episode:
        """Say which version came of a retraining: a child of the one that drifted."""
        return self._door.call(Episode, "drift.retrained", episode=episode, candidate=candidate)
