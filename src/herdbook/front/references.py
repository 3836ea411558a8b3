"""What versions are compared with, as the register said it last."""

import math
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from herdbook.core.drift import Watched
from herdbook.errors import Forbidden, NotFound
from herdbook.front.door import Door

# How old what is held may be, and for how long samples of what is not watched are not recorded.
FRESH_SECONDS: Final = 5.0
UNWATCHED_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 1.0

Version = tuple[str, str]


class References:
    """Gives the references of versions from memory, and asks again when that is old.

    Attributes:
        left_out: samples that detectors recorded of versions that are not watched.
        unwatched: versions known not to be watched; samples of them need not be recorded. They
            leave by themselves, so that a version that is watched later is found out.

    Args:
        door: the register.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._held: dict[Version, Watched] = {}
        self._asked: dict[Version, float] = {}
        self.unwatched: dict[Version, float] = {}
        self.left_out: Counter[Version] = Counter()

    def held(self, model: str, number: str) -> Watched | None:
        """Give what is held of a version, asking nobody."""
        return self._held.get((model, number))

    def __call__(self, model: str, number: str) -> Watched | None:
        """Give what a version is compared with; None when it is not watched.

        Raises:
            HerdbookError: the register cannot be asked now.
        """
        version = model, number
        now = time.monotonic()
        held = self._held.get(version)
        if now - self._asked.get(version, -math.inf) < (FRESH_SECONDS if held else _AGAIN_SECONDS):
            return held
        found = self._ask(version)
        self._asked[version] = now
        if found is None:
            self._held.pop(version, None)
            self.unwatched[version] = now
        else:
            self._held[version] = found
            self.unwatched.pop(version, None)
        return found

    def _ask(self, version: Version) -> Watched | None:
        held = self._held.get(version)
        mark = held.fingerprint if held else ""
        try:
            found = self._door.call(Watched, "drift.references", ref=":".join(version), mark=mark)
        except (NotFound, Forbidden):
            return None
        # With the same fingerprint the register leaves out what is held already.
        same = held is not None and found.fingerprint == mark and not found.references
        return replace(found, references=held.references) if same and held else found

    def put(self, watched: Watched) -> None:
        """Hold what the register said elsewhere."""
        version = watched.model, watched.number
        self._held[version] = watched
        self._asked[version] = time.monotonic()
        self.unwatched.pop(version, None)

    def forget(self, *versions: Version) -> None:
        """Ask again when they are wanted the next time: they are others now."""
        for version in versions:
            self._asked.pop(version, None)
            self.unwatched.pop(version, None)

    def stale(self, refs: Iterable[str]) -> None:
        """Ask again of versions that the register said it has other references of."""
        for ref in refs:
            model, _, number = ref.rpartition(":")
            self.forget((model, number))

    def forget_old(self) -> None:
        """Let the samples of a version be recorded again, to see whether it is watched by now."""
        now = time.monotonic()
        for version, at in list(self.unwatched.items()):
            if now - at > UNWATCHED_SECONDS:
                with suppress(KeyError):
                    del self.unwatched[version]
