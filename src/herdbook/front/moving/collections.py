"""A collection that is open: written and searched by a service while it is being migrated.

Every write goes to all the register says, home and what is beside it, and looks again after it:
what began meanwhile is written too. So nobody has to wait for writers to notice.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from herdbook.core import stamps
from herdbook.core.documents import Bridge, Collection, Home
from herdbook.core.migrations import Step
from herdbook.core.spaces import Encoder, Space
from herdbook.core.stamps import Metadata, Stamper
from herdbook.core.vectors import Batch, Hit
from herdbook.errors import Conflict, NotFound
from herdbook.front.documents import Documents
from herdbook.front.moving.agreeing import agreed
from herdbook.front.moving.carrying import picked
from herdbook.front.moving.given import batch_of, count_of, vectors_of
from herdbook.front.moving.knowing import FRESH_SECONDS, KnownCollection
from herdbook.front.moving.opening import Opener, require_space
from herdbook.front.moving.strategies import Strategies

# Each time round another migration must have begun or ended in between.
_ROUNDS: Final = 8


class OpenCollection(KnownCollection):
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
        super().__init__(name, documents=documents, opener=opener, fresh_seconds=fresh_seconds)
        self._strategies = strategies

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
        return self._write(batch_of(texts, ids, metadata), {})

    def add_vectors(
        self,
        texts: Sequence[str],
        vectors: Any,
        *,
        space: str,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str]:
        """Write documents that are embedded already.

        While they are moved, the texts are embedded here for the other place.

        Args:
            texts: what was embedded.
            vectors: of each; shape (texts, dimension).
            space: the fingerprint of the space they are in.
            ids: as for `add`.
            metadata: as for `add`.

        Raises:
            Conflict: the collection is in another space, or the vectors are not of that one.
            Invalid: a vector or a text cannot be kept; nothing was written.
        """
        batch = batch_of(texts, ids, metadata)
        found = self._look()
        known = {home.space.fingerprint: home.space for home in found.homes if home.space}
        if space not in known:
            raise Conflict(
                f"{self.name} is in the space {found.home.space}, the vectors are in "
                f"{space[:12]}: they cannot be compared; embed them with the collection's "
                "encoder, or leave that to `add`",
                field="space",
            )
        return self._write(batch, {space: vectors_of(vectors, len(batch), known[space])})

    def _write(self, batch: Batch, given: Mapping[str, Any]) -> list[str]:
        """Write everywhere; `given` has vectors by the space they are in."""
        write = uuid.uuid4().hex
        ready: dict[str, Batch] = {}

        def put(found: Collection, home: Home) -> None:
            key = str(home.place)
            if key not in ready:
                prepare(found, home)
            self._store(found).upsert(home.place, ready[key])

        def prepare(found: Collection, home: Home) -> None:
            space, vectors = self._embedded(home, batch, given)
            ready[str(home.place)] = self._ready(found, home, batch, space, vectors, write)

        def again(found: Collection, ids: Sequence[str]) -> None:
            places = {id: at for at, id in enumerate(batch.ids)}
            wanted = [places[id] for id in ids]

            def write_part(found: Collection, home: Home) -> None:
                if str(home.place) not in ready:
                    prepare(found, home)
                self._store(found).upsert(home.place, picked(ready[str(home.place)], wanted))

            self._acted(write_part, found)

        self._everywhere(put, prepare=prepare, again=again, ids=batch.ids)
        return batch.ids

    def _embedded(self, home: Home, batch: Batch, given: Mapping[str, Any]) -> tuple[Space, Any]:
        if home.space is not None and home.space.fingerprint in given:
            return home.space, given[home.space.fingerprint]
        encoder = self._encoder(home)
        return encoder.space, encoder.embed([text or "" for text in batch.texts])

    def _ready(
        self,
        found: Collection,
        home: Home,
        batch: Batch,
        space: Space,
        vectors: Any,
        write: str,
    ) -> Batch:
        """Stamp for one home."""
        steps = self._ahead(found, home)
        stamper = Stamper(
            space=space,
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
        if not found.migration:
            return ()
        migration = self._migration(found.migration)
        return migration.steps if home.place == migration.target.place != found.home.place else ()

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

        def again(found: Collection, ids: Sequence[str]) -> None:
            self._acted(lambda f, h: self._store(f).delete(h.place, ids), found)

        if wanted:
            self._everywhere(remove, again=again, ids=wanted)

    def _everywhere(
        self,
        act: Callable[[Collection, Home], None],
        *,
        again: Callable[[Collection, Sequence[str]], None],
        ids: Sequence[str],
        prepare: Callable[[Collection, Home], None] | None = None,
    ) -> None:
        """Act on every home there is, on those that came meanwhile, and until all say the same."""
        found = self._look()
        if prepare is not None:
            # A text one of the encoders refuses is written nowhere.
            for home in found.homes:
                prepare(found, home)
        with self._opener.turn(self.name) if len(found.homes) > 1 else nullcontext():
            found = self._acted(act, found)
            if len(found.homes) > 1:
                # Others may have written the same at one place before this and at one after.
                places = [home.place for home in found.homes]
                agreed(self._store(found), places, ids, lambda left: again(found, left))

    def _acted(self, act: Callable[[Collection, Home], None], found: Collection) -> Collection:
        done: list[Home] = []
        for _ in range(_ROUNDS):
            todo = [home for home in found.homes if home not in done]
            if not todo:
                return found
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
        return self._store(found).search(found.home.place, vector, k=count_of(k), space=space)

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
        return self._store(found).search(found.home.place, vector, k=count_of(k), space=space)

    def get(self, ids: Sequence[str]) -> Batch:
        """Give those of the documents that are there."""
        found = self._look()
        return self._store(found).fetch(found.home.place, list(ids))

    def batches(self, *, size: int = 1_000) -> Iterator[Batch]:
        """Give every document, in the order of the store's ids and in bounded memory."""
        found = self._look()
        store = self._store(found)
        for within in store.ranges(found.home.place, size=size):
            yield store.read(found.home.place, within)

    def count(self) -> int:
        """Count the documents."""
        found = self._look()
        shape = self._store(found).look(found.home.place)
        return shape.documents if shape else 0
