"""`book.drift` where versions are served: detectors, and what is done when a version drifts."""

import logging
import os
import platform
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import uuid4
from weakref import WeakValueDictionary

from herdbook.core.drift import Episode
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.errors import Conflict, HerdbookError, Unavailable, Unreachable
from herdbook.front.door import Door
from herdbook.front.drift import Drift

if TYPE_CHECKING:
    from herdbook.front.detectors import DriftDetector
    from herdbook.front.recording import Recorder

# The newest episodes are looked at: so many pages of so many.
_PAGES: Final = 5
_PAGE_SIZE: Final = 100

_log = logging.getLogger("herdbook")

# The live detectors of this process, by version such as `gnn:v2.1.0`, whatever register is asked.
drift_detectors: "Final[WeakValueDictionary[str, DriftDetector]]" = WeakValueDictionary()

Retraining = Callable[[Episode], object]


class DetectedDrift(Drift):
    """Drift, and the samples it is judged by.

    Args:
        door: the register.
        recorder: gives what records samples.
    """

    def __init__(self, door: Door, recorder: "Callable[[], Recorder]") -> None:
        super().__init__(door)
        self._recorder = recorder
        self._detectors: dict[str, DriftDetector] = {}
        self._making = threading.Lock()

    @property
    def detectors(self) -> "Mapping[str, DriftDetector]":
        """The detectors that were asked for, by version such as `gnn:v2.1.0`."""
        return MappingProxyType(self._detectors)

    def detector(self, model: str, version: str) -> "DriftDetector":
        """Give the detector of a version, the same one whenever it is asked for.

        Args:
            model: its name.
            version: its number.

        Raises:
            NotFound: there is no such version.
        """
        found = self._detectors.get(f"{model}:{version}")
        return found or self._new(model, version)

    def _new(self, model: str, version: str) -> "DriftDetector":
        from herdbook.front.detectors import DriftDetector

        number = version
        # Where the register is away it is taken for what it is called.
        with suppress(Unreachable, Unavailable):
            number = self._door.call(Version, "versions.get", ref=f"{model}:{version}").number
        recorder = self._recorder()
        with self._making:
            found = self._detectors.get(f"{model}:{number}")
            if found is None:
                # Which categories have a bin is known from the first sample on.
                with suppress(HerdbookError):
                    recorder.sampler.references(model, number)
                made = DriftDetector(self._door, recorder.sampler, recorder.flush, model, number)
                found = drift_detectors[made.ref] = self._detectors[made.ref] = made
            return found

    def flush(self) -> None:
        """Send what was recorded now."""
        self._recorder().flush()

    def on_retrain(self, callback: Retraining, model: str = "") -> None:
        """Call something when a version has drifted so far that it is to be trained anew.

        It is called once for each episode, with the `Episode`, in a thread of its own, in
        whichever of all processes that asked for it claims the episode first. What it raises is
        logged. It may tell what came of it with `book.drift.retrained(episode.id, number)`. When
        its process dies the episode stays claimed: `book.drift.claim(episode.id, force=True)`
        takes it over.

        Args:
            callback: what to call.
            model: only for versions of this one; left out, of all.
        """
        recorder = self._recorder()
        recorder.chores.append(Retrainings(self, callback, model).look)
        recorder.prepare()


class Retrainings:
    """Looks for retrainings that are asked for and nobody does.

    Args:
        drift: where episodes are.
        callback: what does them.
        model: of which model; "" for all.
    """

    def __init__(self, drift: Drift, callback: Retraining, model: str) -> None:
        self._drift = drift
        self._callback = callback
        self._model = model
        self._silent = False
        self._name = f"{platform.node()[:40]}-{uuid4().hex[:12]}"

    def look(self) -> None:
        """Claim what is to be done, and do it in threads; what hinders it is logged once."""
        try:
            for episode in self._wanted():
                with suppress(Conflict):
                    self._begin(self._drift.claim(episode.id, by=self._by))
            self._silent = False
        except HerdbookError as problem:
            if not self._silent:
                _log.warning("it cannot be seen whether versions are to be retrained: %s", problem)
            self._silent = True

    @property
    def _by(self) -> str:
        # The child of a fork is another one.
        return f"{self._name}-{os.getpid()}"

    def _wanted(self) -> list[Episode]:
        found: list[Episode] = []
        page: str | None = None
        for _ in range(_PAGES):
            asked: Page[Episode] = self._drift.episodes(
                self._model, page_size=_PAGE_SIZE, page=page
            )
            found += [
                each
                for each in asked.items
                if each.retrain_at and not each.claimed_by and not each.ended_at
            ]
            page = asked.next
            if page is None:
                break
        return found

    def _begin(self, episode: Episode) -> None:
        threading.Thread(
            target=partial(self._call, episode), name="herdbook-retraining", daemon=True
        ).start()

    def _call(self, episode: Episode) -> None:
        try:
            self._callback(episode)
        except Exception:  # noqa: BLE001 - a caller's own work may raise anything
            _log.exception("the retraining of %s:%s failed", episode.model, episode.number)
