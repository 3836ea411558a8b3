"""Answer `majora@champion` from memory, and say how old the answer may be.

What was asked for once is looked at again in the background every `interval` seconds. An
answer is at most `interval` plus the time of one look older than the register, unless looks
fail; `staleness` says how old, and `max_staleness` turns too old into an error.
"""

import contextlib
import os
import threading
import time
import weakref
from typing import Final

from herdbook.core.models import Version
from herdbook.errors import HerdbookError, NotFound, Unavailable
from herdbook.front.door import Door

INTERVAL_SECONDS: Final = 1.0


class Resolver:
    """An immutable snapshot of what references point at, refreshed in the background.

    Args:
        door: where to look.
        interval: seconds between looks, above 0.
        max_staleness: seconds after the last good look from which `resolve` raises; None
            to answer from memory for as long as the register cannot be reached.
    """

    def __init__(
        self,
        door: Door,
        *,
        interval: float = INTERVAL_SECONDS,
        max_staleness: float | None = None,
    ) -> None:
        self._door = door
        self._interval = interval
        self._max_staleness = max_staleness
        self._held: dict[str, Version] = {}
        self._marks: dict[str, str] = {}
        self._looked = 0.0
        self._process = 0
        self._starting = threading.Lock()
        self._stop = threading.Event()

    def __call__(self, ref: str) -> Version:
        """Give the version a reference points at."""
        found = self._held.get(ref)
        if found is None or self._process != os.getpid():
            return self._first(ref)
        if self._max_staleness is not None and self.staleness > self._max_staleness:
            raise Unavailable(
                f"{self._door.address} has not answered for {self.staleness:.1f} s, longer than "
                f"the {self._max_staleness:g} s that {ref} may be old"
            )
        return found

    @property
    def staleness(self) -> float:
        """Seconds since what is held was last known to be true; 0 when nothing is held."""
        return time.monotonic() - self._looked if self._held else 0.0

    def refresh(self) -> None:
        """Look now."""
        began = time.monotonic()
        found: dict[str, tuple[str, Version] | None] = {}
        gone = set()
        for ref, mark in self._marks.items():
            try:
                found[ref] = self._door.fresh(ref, mark)
            except NotFound:
                gone.add(ref)
        with self._starting:
            news = {ref: new for ref, new in found.items() if new is not None}
            marks = self._marks | {ref: mark for ref, (mark, _) in news.items()}
            held = self._held | {ref: version for ref, (_, version) in news.items()}
            self._marks = {ref: mark for ref, mark in marks.items() if ref not in gone}
            self._held = {ref: version for ref, version in held.items() if ref not in gone}
            self._looked = began

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def _first(self, ref: str) -> Version:
        began = time.monotonic()
        found = self._door.fresh(ref, "")
        if found is None:
            raise Unavailable(f"{self._door.address} gave no answer for {ref}")
        with self._starting:
            if self._process != os.getpid():
                # After a fork the thread that looked is gone, and what it held is of old.
                self._held, self._marks, self._looked = {}, {}, began
                self._process = os.getpid()
                threading.Thread(
                    target=_look,
                    args=(weakref.ref(self), self._stop, self._interval),
                    daemon=True,
                ).start()
            self._marks = {**self._marks, ref: found[0]}
            self._held = {**self._held, ref: found[1]}
        return found[1]


def _look(resolver: "weakref.ref[Resolver]", stop: threading.Event, interval: float) -> None:
    while not stop.wait(interval):
        alive = resolver()
        if alive is None:
            return
        # When the register cannot be reached, what is held stays and `staleness` grows.
        with contextlib.suppress(HerdbookError):
            alive.refresh()
        del alive
