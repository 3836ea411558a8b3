"""What the verbs of drift ask of a database; each sentence is a conformance test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from herdbook.core.drift import Episode, Settings, Standing, State, Watched
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.core.sampling import Hour, Mark, StreamSums


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A watched version as it stands, without its references.

    Args:
        id: its own, in this database.
        model: its model.
        number: the version's.
        fingerprint: of its references.
        frozen_at: when they were frozen.
        streams: their names.
        state: what changed since.
    """

    id: int
    model: str
    number: str
    fingerprint: str
    frozen_at: datetime
    streams: tuple[str, ...]
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of one hour: their sum and how many there were."""

    hour: int
    total: float
    checks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How many predictions of known requests got their true answer, and how many were right."""

    labels: int = 0
    right: int = 0


class Drift(Protocol):
    """Watched versions, what was counted of them, and their episodes."""

    def watch(self, version: Version, watched: Watched) -> Monitor:
        """Begin to watch a version; what was counted of older references of it is removed."""

    def watched(self, monitor: Monitor) -> Watched:
        """Give the references of a watched version."""

    def get(self, model: str, number: str) -> Monitor | None:
        """Give a watched version, or None; those of deleted versions are none."""

    def standing(self, model: str, number: str) -> Standing | None:
        """Give in short how a watched version stands, or None; of deleted versions None."""

    def lock(self, model: str, number: str) -> Monitor | None:
        """Give a watched version and keep other writers of it waiting until this work ends."""

    def page(self, *, model: str | None, size: int, page: str | None) -> Page[Monitor]:
        """Give the watched versions, newest first; those of deleted versions left out."""

    def every(self, *, limit: int) -> Sequence[Monitor]:
        """Give the `limit` versions watched last, of deleted and archived ones none."""

    def total(self) -> int:
        """Count what `every` gives without a limit."""

    def save(self, monitor: Monitor) -> None:
        """Write the state of a watched version over what was."""

    def forget(self, monitor: Monitor) -> None:
        """Watch a version no more; all that was counted of it is removed, its episodes stay."""

    def settings(self, model: str) -> Settings | None:
        """Give how a model's drift is judged, or None where nothing was said."""

    def set_settings(self, model: str, settings: Settings) -> None:
        """Say how a model's drift is judged."""

    def count(self, monitor: Monitor, sums: Sequence[StreamSums], *, oldest: int) -> None:
        """Add to the hours of streams; hours before `oldest` are removed.

        Args:
            monitor: locked by this work.
            sums: by stream and hour; each of them at most once.
            oldest: the first hour that is kept.
        """

    def hours(self, monitor: Monitor, stream: str, *, since: int) -> Sequence[Hour]:
        """Give the hours of a stream from one on, oldest first.

        Those nothing came in are left out; those in which all was missing are not.
        """

    def score(self, monitor: Monitor, hour: int, score: float, *, oldest: int) -> None:
        """Add a score to those of an hour; hours before `oldest` are removed."""

    def scores(self, monitor: Monitor, *, since: int) -> Sequence[Scored]:
        """Give the scores by hour from one on, oldest first."""

    def begin(self, episode: Episode) -> Episode:
        """Add an episode and give it with its id."""

    def episode(self, key: str) -> Episode:
        """Give an episode by its id; NotFound."""

    def lock_episode(self, key: str) -> Episode:
        """Give an episode and keep other writers of it waiting until this work ends; NotFound."""

    def save_episode(self, episode: Episode) -> None:
        """Write an episode over what was."""

    def episodes(
        self, *, model: str | None, number: str | None, size: int, page: str | None
    ) -> Page[Episode]:
        """Give episodes, newest first."""

    def mark(
        self, monitor: Monitor, marks: Sequence[Mark], *, at: datetime, since: datetime
    ) -> int:
        """Keep what was predicted for requests; a request that is known already is left as it was.

        Those from before `since` are removed. Gives how many are new.
        """

    def answer(self, monitor: Monitor, labels: Mapping[str, str], *, at: datetime) -> Answers:
        """Tell the true answers of requests; gives how many of them were known, and right.

        A request that was answered already is answered anew.
        """

    def answers(self, monitor: Monitor, *, since: datetime) -> Answers:
        """Count the answered requests that were predicted since a time."""
