"""What is known of a collection that is open: asked of the register, a second old at most."""

import threading
import time
from datetime import UTC, datetime
from typing import Final

from herdbook.core.documents import Bridge, Collection, Home
from herdbook.core.migrations import Migration
from herdbook.core.spaces import Encoder
from herdbook.core.vectors import Vectors
from herdbook.errors import Conflict
from herdbook.front.documents import Documents
from herdbook.front.moving.opening import Opener, require_space

FRESH_SECONDS: Final = 1.0


class KnownCollection:
    """A collection, where it lies and what embeds for it.

    Args:
        name: the collection's.
        documents: asks the register.
        opener: opens stores and encoders.
        fresh_seconds: how old what is known of the collection may be for a search.
    """

    def __init__(
        self,
        name: str,
        *,
        documents: Documents,
        opener: Opener,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.name = name
        self._documents = documents
        self._opener = opener
        self._fresh = fresh_seconds
        self._lock = threading.Lock()
        self._held: tuple[float, Collection, Bridge | None] | None = None
        # Their paths, sources and targets stay as they are.
        self._migrations: dict[str, Migration] = {}

    @property
    def now(self) -> Collection:
        """The collection as it stands, asked of the register."""
        return self._look()

    @property
    def known(self) -> Collection:
        """The collection as it stood a second ago at most."""
        return self._known()[0]

    @property
    def metric(self) -> str:
        """How its vectors are compared: `cosine`, `dot` or `l2`."""
        found = self._known()[0]
        shape = self._store(found).look(found.home.place)
        return shape.metric if shape else ""

    def encoder(self, home: Home | None = None) -> Encoder:
        """Open what embeds for a place of the collection; left out, for the one it is searched at.

        Raises:
            Conflict: nobody knows it, or it is not of the place's space.
        """
        return self._encoder(home or self._look().home)

    def forget(self) -> None:
        """Ask the register anew before the next search."""
        with self._lock:
            self._held = None

    def _look(self) -> Collection:
        found = self._documents.get(self.name)
        with self._lock:
            held = self._held
            bridge = held[2] if held and held[1].bridge == found.bridge else None
        if found.bridge and bridge is None:
            bridge = self._documents.bridging(self.name)
        with self._lock:
            self._held = (time.monotonic(), found, bridge)
        return found

    def _known(self, *, fresh: bool = False) -> tuple[Collection, Bridge | None]:
        with self._lock:
            held = self._held
        if held is None or fresh or time.monotonic() - held[0] > self._fresh:
            self._look()
            with self._lock:
                held = self._held
        assert held is not None  # noqa: S101 - it was looked at
        bridge = held[2]
        if bridge is not None and bridge.expires_at <= datetime.now(UTC):
            bridge = None
        return held[1], bridge

    def _known_space(self, found: Collection) -> str:
        if found.home.space is None:
            raise Conflict(
                f"nobody knows what embedded {self.name}; prove it first: `herdbook documents "
                f"stamp {self.name} --encoder …`",
                field="space",
            )
        return found.home.space.fingerprint

    def _encoder(self, home: Home) -> Encoder:
        if home.encoder is None or home.space is None:
            raise Conflict(
                f"nobody knows what embedded {self.name}; prove it first: `herdbook documents "
                f"stamp {self.name} --encoder …`",
                field="space",
            )
        encoder = self._opener.encoder(home.encoder)
        require_space(encoder, home.encoder, home.space, self.name)
        return encoder

    def _store(self, found: Collection) -> Vectors:
        return self._opener.store(found.store)

    def _migration(self, id: str) -> Migration:
        if id not in self._migrations:
            self._migrations[id] = self._documents.migration(id)
        return self._migrations[id]
