"""What a migration says while it is under way, and how fast it may go."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from herdbook.core.migrations import MigrationPhase
from herdbook.front.moving.leasing import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a driver tells while it works.

    Args:
        phase: what it is at.
        done: documents that are done in it.
        total: of so many; 0 when that is not known.
        rate: documents a second of late.
        cost: what embedding has cost so far.
        set_aside: documents that could not be moved so far.
        waiting: why nothing is done just now, or "".
    """

    phase: MigrationPhase
    done: int = 0
    total: int = 0
    rate: float = 0.0
    cost: float = 0.0
    set_aside: int = 0
    waiting: str = ""

    @property
    def seconds_left(self) -> float:
        """How long it takes at this rate; NaN when nobody knows."""
        return (self.total - self.done) / self.rate if self.rate > 0 and self.total else math.nan


# Nobody is asked at just the moment when more may go.
_SLACK_SECONDS: Final = 1.0

Said = Callable[[News], None]


def unsaid(_: News) -> None:
    """Say nothing."""


def holdable(text: str, *, limit: int = 300) -> str:
    r"""Give a text any database holds: what an encoder says of a poison may quote the poison.

    Example:
        >>> holdable("half \ud800 a pair\x00")
        'half \\ud800 a pair '
    """
    plain = text[:limit].replace("\x00", " ")
    return plain.encode("utf-8", "backslashreplace").decode()[:limit]


def holdable_value(value: Any) -> Any:
    """Give metadata as any database holds it, to be shown."""
    if isinstance(value, str):
        return holdable(value, limit=1_000)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {holdable(str(key)): holdable_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [holdable_value(each) for each in value[:100]]
    return value


class Ticker:
    """Adds up documents that were looked at, and tells of them a few times a second."""

    def __init__(self, said: Said, phase: MigrationPhase, total: int, lease: Lease) -> None:
        self._said = said
        self._phase = phase
        self._total = total
        self._lease = lease
        self._done = 0
        self._began = self._told = time.monotonic()

    def __call__(self, documents: int) -> None:
        """Add documents; Conflict when the lease is lost."""
        self._done += documents
        now = time.monotonic()
        self._lease.found  # noqa: B018 - raises when the lease is lost
        if now - self._told < 0.2:
            return
        self._told = now
        rate = self._done / (now - self._began)
        self._said(News(phase=self._phase, done=self._done, total=self._total, rate=rate))


class Pace:
    """How fast documents go, and how fast they may.

    Args:
        rate: documents a second at most; 0 for as many as go.
    """

    def __init__(self, *, rate: float = 0.0) -> None:
        self._rate = rate
        self._began = time.monotonic()
        # When the next documents may go: what a pause left unused is not made up for.
        self._next = self._began
        self._done = 0
        # Workers take a while to start: the first that was done begins the count.
        self._first: tuple[float, int] | None = None

    def may(self, documents: int) -> bool:
        """Whether so many more may go now; then they are counted."""
        now = time.monotonic()
        if not self._rate:
            return True
        if now < self._next:
            return False
        self._next = max(self._next, now - _SLACK_SECONDS) + documents / self._rate
        return True

    def add(self, documents: int) -> None:
        """Count documents that are done."""
        if self._first is None:
            self._first = (time.monotonic(), documents)
        self._done += documents

    @property
    def recent(self) -> float:
        """Documents a second since this pace began."""
        began, done = self._first or (self._began, 0)
        if done in (0, self._done):
            began, done = self._began, 0
        passed = time.monotonic() - began
        return (self._done - done) / passed if passed > 0 else 0.0
