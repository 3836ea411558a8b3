"""A collection that is open: written and searched by a service while it is being migrated.

Every write goes to all the register says, home and what is beside it, and looks again after it:
what began meanwhile is written too. So nobody has to wait for writers to notice.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from herdbook.core import stamps
from herdbook.core.documents import Bridge, Collection, Home
from herdbook.core.migrations import CUT, Step
from herdbook.core.spaces import Encoder
from herdbook.core.stamps import Metadata, Stamper
from herdbook.core.vectors import Batch, Hit, Vectors
from herdbook.encoders.limits import refusal
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.documents import Documents
from herdbook.front.moving.opening import Opener, require_space
from herdbook.front.moving.strategies import Strategies

FRESH_SECONDS: Final = 1.0
TEXT_LIMIT: Final = 100_000
# Each time round another migration must have begun or ended in between.
_ROUNDS: Final = 8


class OpenCollection:
    """A collection, with its store and its encoders.

    Args:
        name: the collection's.
        documents: asks the register.
        opener: opens stores and encoders.
        strategies: functions of metadata that a migration under way may ask for.
        fresh_seconds: how old what is known of the collection may be for a search.
    """

    def __init__(
        self,
        name: str,
        *,
        documents: Documents,
        opener: Opener,
        strategies: Strategies,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.name = name
        self._documents = documents
        self._opener = opener
        self._strategies = strategies
        self._fresh = fresh_seconds
        self._lock = threading.Lock()
        self._held: tuple[float, Collection, Bridge | None] | None = None
        self._steps: dict[str, tuple[Step, ...]] = {}

    # --- writing ---

    def add(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str]:
        """Embed and write documents, over those of the same ids.

        Args:
            texts: what is embedded.
            ids: one of each; left out, new ones are made.
            metadata: of each; a stamp in it is replaced by the true one.

        Returns:
            The ids.

        Raises:
            Invalid: a text cannot be embedded; nothing was written.
            Conflict: an encoder is not of the space it should be.
            Unavailable: a store or an encoder does not answer; to write again is safe.
        """
        batch = _batch(texts, ids, metadata)
        write = uuid.uuid4().hex
        ready: dict[str, Batch] = {}

        def put(found: Collection, home: Home) -> None:
            key = str(home.place)
            if key not in ready:
                ready[key] = self._ready(found, home, batch, write)
            self._store(found).upsert(home.place, ready[key])

        self._everywhere(
            put, prepare=lambda found, home: self._prepare(found, home, batch, ready, write)
        )
        return batch.ids

    def _prepare(
        self, found: Collection, home: Home, batch: Batch, ready: dict[str, Batch], write: str
    ) -> None:
        ready[str(home.place)] = self._ready(found, home, batch, write)

    def _ready(self, found: Collection, home: Home, batch: Batch, write: str) -> Batch:
        """Embed and stamp for one home."""
        encoder = self._encoder(home)
        vectors = encoder.embed([text or "" for text in batch.texts])
        steps = self._ahead(found, home)
        stamper = Stamper(
            space=encoder.space,
            at=datetime.now(UTC),
            write=write,
            nested=self._store(found).traits.nested,
        )
        said: list[Metadata] = []
        for text, given in zip(batch.texts, batch.metadata, strict=True):
            digest = stamps.content_digest(text, given)
            changed = self._strategies.changed(dict(given), steps)
            said.append(stamper.stamped(changed, content=digest, history=[]))
        return Batch(batch.ids, batch.texts, said, vectors)

    def _ahead(self, found: Collection, home: Home) -> tuple[Step, ...]:
        """Give the functions of metadata that what is written to a target passes."""
        if found.beside is None or home != found.beside or not found.migration:
            return ()
        if found.migration not in self._steps:
            migration = self._documents.migration(found.migration)
            if migration.phase in CUT:
                return ()
            self._steps[found.migration] = migration.steps
        return self._steps[found.migration]

    def delete(self, ids: Iterable[str]) -> None:
        """Delete documents, those that are not there too.

        Raises:
            Unavailable: a store does not answer; to delete again is safe.
        """
        wanted = list(ids)
        buried: set[str] = set()

        def remove(found: Collection, home: Home) -> None:
            # First it is noted: a shard on its way that has read them already looks there after it
            # inserted them.
            if found.migration and found.migration not in buried:
                for at in range(0, len(wanted), 1_000):
                    self._documents.bury(found.migration, ids=wanted[at : at + 1_000])
                buried.add(found.migration)
            self._store(found).delete(home.place, wanted)

        if wanted:
            self._everywhere(remove)

    def _everywhere(
        self,
        act: Callable[[Collection, Home], None],
        *,
        prepare: Callable[[Collection, Home], None] | None = None,
    ) -> None:
        """Act on every home there is, and on those that came while it acted."""
        found = self._look()
        if prepare is not None:
            # A text one of the encoders refuses is written nowhere.
            for home in found.homes:
                prepare(found, home)
        done: list[Home] = []
        for _ in range(_ROUNDS):
            todo = [home for home in found.homes if home not in done]
            if not todo:
                return
            for home in todo:
                self._act(act, found, home)
                done.append(home)
            # A migration that began meanwhile may have read what was there before this write.
            found = self._look()
        raise Conflict(f"{self.name} changes faster than it can be written; try again")

    def _act(self, act: Callable[[Collection, Home], None], found: Collection, home: Home) -> None:
        try:
            act(found, home)
        except NotFound:
            # A place that is no longer written may be gone; one that is, may not.
            if home in self._look().homes:
                raise

    # --- reading ---

    def search(self, text: str, *, k: int = 10) -> list[Hit]:
        """Give the k documents nearest to a query, nearest first.

        The query is embedded as the documents it meets were, from one look at the register:
        during a cut-over by the old version or by the new one, never a mix.

        Raises:
            Invalid: the query cannot be embedded, or k is none.
            Conflict: nobody knows what the documents were embedded with.
        """
        return self._search(lambda encoder: encoder.embed_queries([text])[0], k)

    def search_by_vector(self, vector: Sequence[float], *, k: int = 10, space: str) -> list[Hit]:
        """Give the k documents nearest to a vector.

        Args:
            vector: embedded by the caller.
            k: how many.
            space: the fingerprint of the space it is in.

        Raises:
            Conflict: the collection is in another space.
        """
        found, _ = self._known()
        home = self._known_space(found)
        if home != space:
            raise Conflict(
                f"{self.name} is in the space {found.home.space}, the query is in {space[:12]}: "
                "their vectors cannot be compared; embed the query with the collection's encoder",
                field="space",
            )
        return self._store(found).search(found.home.place, vector, k=_count(k), space=space)

    def _search(self, embed: Callable[[Encoder], Any], k: int) -> list[Hit]:
        found, bridge = self._known()
        try:
            return self._found(found, bridge, embed, k)
        except NotFound:
            # What was known may have been retired since.
            epoch, (found, bridge) = found.epoch, self._known(fresh=True)
            if found.epoch == epoch:
                raise
            return self._found(found, bridge, embed, k)

    def _found(
        self, found: Collection, bridge: Bridge | None, embed: Callable[[Encoder], Any], k: int
    ) -> list[Hit]:
        space = self._known_space(found)
        if bridge is not None and bridge.onto == space:
            from herdbook.front.moving.bridging import mapped

            encoder = self._opener.encoder(bridge.encoder)
            require_space(encoder, bridge.encoder, bridge.space, self.name)
            vector = mapped(bridge, embed(encoder))
        else:
            vector = embed(self._encoder(found.home))
        return self._store(found).search(found.home.place, vector, k=_count(k), space=space)

    def get(self, ids: Sequence[str]) -> Batch:
        """Give those of the documents that are there."""
        found = self._look()
        return self._store(found).fetch(found.home.place, list(ids))

    def count(self) -> int:
        """Count the documents."""
        found = self._look()
        shape = self._store(found).look(found.home.place)
        return shape.documents if shape else 0

    # --- what is known ---

    @property
    def now(self) -> Collection:
        """The collection as it stands, asked of the register."""
        return self._look()

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


def _batch(
    texts: Sequence[str],
    ids: Sequence[str] | None,
    metadata: Sequence[Mapping[str, Any]] | None,
) -> Batch:
    if isinstance(texts, str):
        raise Invalid("give a list of texts, not one text", field="texts")
    held = list(texts)
    names: list[Any] = [uuid.uuid4().hex for _ in held] if ids is None else list(ids)
    about = [{} for _ in held] if metadata is None else [dict(each) for each in metadata]
    if not len(held) == len(names) == len(about):
        raise Invalid(
            f"there are {len(held)} texts, {len(names)} ids and metadata of {len(about)}; give one "
            "of each for every document",
            field="ids",
        )
    if len(set(names)) != len(names):
        raise Invalid("an id is given twice", field="ids")
    for id, text in zip(names, held, strict=True):
        if not isinstance(id, str) or not 1 <= len(id) <= 400:
            raise Invalid(f"{id!r:.60} is no id: a text of 1 to 400 characters", field="ids")
        reason = refusal(text, limit=TEXT_LIMIT)
        if reason:
            raise Invalid(f"{id!r:.60} cannot be embedded: {reason}", field="texts")
    own = [stamps.unstamped(each) for each in about]
    return Batch(names, list(held), own)


def _count(k: int) -> int:
    if type(k) is not int or not 1 <= k <= 10_000:
        raise Invalid(f"k is {k!r:.20}; ask for 1 to 10000 documents", field="k")
    return k
