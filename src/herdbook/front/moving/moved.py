"""`book.documents`: collections that are open, and their migrations, carried out from here."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from herdbook.core.documents import Collection
from herdbook.core.migrations import (
    CUT,
    PREFIX,
    Estimate,
    Migration,
    MigrationPhase,
    Options,
    Step,
    Way,
)
from herdbook.core.refs import version_ref
from herdbook.core.spaces import Encoder, EncoderSpec
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.moving import aiming, rehearsing
from herdbook.front.moving.carrying import Carriage
from herdbook.front.moving.choosing import Named, require_same, spec_of
from herdbook.front.moving.driving import Driver, MakeFor, Means
from herdbook.front.moving.holding import HeldDocuments
from herdbook.front.moving.leasing import LEASE_SECONDS, Lease, driver_name
from herdbook.front.moving.proving import Demands
from herdbook.front.moving.telling import Said, unsaid

_NO_DEMANDS: Final = Demands()
# Everything was carried.
_LOOKED_AT: Final = (MigrationPhase.CATCH_UP, MigrationPhase.VERIFY, MigrationPhase.VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrying:
    """How a migration is carried out here.

    Args:
        engine: `local`, `ray`, or the address of a Ray cluster.
        workers: processes; 0 for this one.
        said: told how it goes.
        lease_seconds: how long another process waits after this one was killed.
    """

    engine: str = "local"
    workers: int = 0
    said: Said = unsaid
    lease_seconds: float = LEASE_SECONDS


_HERE: Final = Carrying()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a migration would be, and take; nothing was written."""

    migration: Migration
    estimate: Estimate


class MovedDocuments(HeldDocuments):
    """Collections of documents, and their migrations."""

    def rehearse(
        self,
        name: str,
        *,
        to: str,
        encoder: Named = None,
        options: Options | None = None,
        sampled: int = rehearsing.SAMPLED,
        **more: Any,
    ) -> Rehearsal:
        """Say what a migration would be and take, from a timed sample; nothing is written.

        Args:
            name: the collection.
            to: the version: a number, or an alias as `@champion`.
            encoder: as for `create`.
            options: how it would be carried out.
            sampled: how many documents are tried.
            more: of the encoder.
        """
        found = self.get(name)
        planned = self._start(found, to, encoder, options, more, dry_run=True)
        made = self._new_encoder(planned)
        estimate = rehearsing.rehearsed(
            self._opener.store(found.store), planned, made, self, sampled=sampled
        )
        return Rehearsal(migration=planned, estimate=estimate)

    def move(
        self,
        name: str,
        *,
        to: str = "",
        encoder: Named = None,
        options: Options | None = None,
        demands: Demands = _NO_DEMANDS,
        carrying: Carrying = _HERE,
        **more: Any,
    ) -> Migration:
        """Begin a migration of a collection, or go on with the one under way, until it is verified.

        May be interrupted, or killed, at any point; the same call goes on where it was.

        Args:
            name: the collection.
            to: the version, as for `rehearse`; left out to go on.
            encoder: as for `create`.
            options: how it is carried out.
            demands: what is asked of the target.
            carrying: where the work is done.
            more: of the encoder.

        Raises:
            Conflict: another process carries it out, or it goes to another version.
            Unavailable: a store or an encoder does not answer, after several tries.
        """
        found = self.get(name)
        if found.migration:
            begun = self.migration(found.migration)
            self._check_same(begun, to, found)
            require_same(begun, encoder)
        elif not to:
            raise Invalid(f"no migration of {name} is under way; say where to: --to", field="to")
        else:
            begun = self._start(found, to, encoder, options, more, dry_run=False)
        if begun.phase in CUT:
            raise Conflict(
                f"{begun.id} was cut over; retire it, or roll it back", field="migration"
            )
        self._give(begun, encoder)
        return self._driven(begun, found, demands, carrying)

    def _give(self, begun: Migration, encoder: Named) -> None:
        spec = begun.target.encoder
        local = callable(encoder) and not isinstance(encoder, EncoderSpec)
        if local and spec is not None and spec.source.startswith("python:here:"):
            self._opener.give(spec, encoder)

    def _check_same(self, begun: Migration, to: str, found: Collection) -> None:
        if not to:
            return
        said = f"{found.model}{to}" if to.startswith("@") else f"{found.model}:{to}"
        if self._numbered(version_ref(said)).number != begun.to_version:
            raise Conflict(
                f"{begun.id} of {found.name} to {begun.to_version} is under way; finish it or roll "
                "it back first",
                field="to",
            )

    def _start(
        self,
        found: Collection,
        to: str,
        encoder: Named,
        options: Options | None,
        more: dict[str, Any],
        *,
        dry_run: bool,
    ) -> Migration:
        said = f"{found.model}{to}" if to.startswith("@") else f"{found.model}:{to}"
        version = self._numbered(version_ref(said))
        spec = spec_of(encoder, version, self._opener, **more)
        home = found.home.space
        steps = self._path(found.model, home.number, version.number) if home else ()
        if not encoder and steps and not _embeds(steps) and found.home.encoder is not None:
            # One space: what embeds its queries goes on doing so, under the new number.
            spec = _as_before(found.home.encoder, version.number)
            self._opener.give_as(found.home.encoder, spec)
            self._opener.share(spec, found.home.encoder)
        store = self._opener.store(found.store)
        aiming.require_field(store.traits, options, steps)
        begin = functools.partial(
            self.start,
            found.name,
            to_version=version.number,
            steps=steps,
            encoder=spec,
            options=options,
        )
        planned = begin(dry_run=True)
        aiming.require_absent(store, planned.target.place)
        return planned if dry_run else begin(dry_run=False)

    def _path(self, model: str, from_version: str, to_version: str) -> tuple[Step, ...]:
        """Give the registered way; where nothing is registered, one step that embeds anew."""
        if all(edge.way is Way.ADAPTER for edge in self.edges(model)):
            return ()
        return self.find_migration_path(model, from_version, to_version)

    def _new_encoder(self, migration: Migration) -> Encoder | None:
        if not migration.embeds or migration.target.encoder is None:
            return None
        return self._opener.encoder(migration.target.encoder)

    def _driven(
        self, begun: Migration, found: Collection, demands: Demands, carrying: Carrying
    ) -> Migration:
        from herdbook import engines

        make = self._make(begun, found, carrying)
        # Code that is not there any more is found out before anything is done with the rest.
        for step in begun.steps:
            if step.function:
                self.function(step)
        engine = engines.opened(carrying.engine, workers=carrying.workers)
        try:
            held = Lease(self, begun.id, driver=driver_name(), seconds=carrying.lease_seconds)
            with held as lease:
                means = Means(
                    documents=self,
                    opener=self._opener,
                    strategies=self,
                    engine=engine,
                    make=make,
                    said=carrying.said,
                )
                return Driver(means, lease, demands).run()
        finally:
            engine.close()

    def _make(self, begun: Migration, found: Collection, carrying: Carrying) -> MakeFor | None:
        """Give what makes carriers in other processes; None when this one carries."""
        if carrying.engine == "local" and carrying.workers == 0:
            return None
        store = self._opener.store(found.store)
        spec = begun.target.encoder
        wrong = ""
        if not store.traits.shared:
            wrong = (
                f"{found.store} may be open in one process only; use a server of it, or --workers 0"
            )
        elif begun.embeds and spec is not None and not self._opener.is_portable(spec):
            wrong = f"{spec.source} is a function nothing else can import; put it into a module"
        elif self.names(begun.steps):
            wrong = f"{self.names(begun.steps)[0]} cannot be imported; put it into a module"
        elif self._again is None:
            wrong = "this register cannot be opened again by other processes"
        if wrong:
            raise Conflict(f"workers cannot do this: {wrong}", field="workers")
        assert self._again is not None  # noqa: S101 - it was looked at
        again, address = self._again, found.store
        return lambda migration: Carriage(address, migration, again)

    def verify(
        self, name: str, *, demands: Demands = _NO_DEMANDS, carrying: Carrying = _HERE
    ) -> Migration:
        """Look at the target of the migration under way, once more if need be; see `move`."""
        begun = self._under_way(name)
        if begun.phase not in _LOOKED_AT:
            raise Conflict(
                f"{begun.id} is at {begun.phase}; there is nothing to verify yet, or any more",
                field="migration",
            )
        return self._driven(begun, self.get(begun.collection), demands, carrying)

    def cut_over(self, migration: str, *, force: str = "") -> Migration:
        """Let readers search the target from now on; the store's alias follows.

        Args:
            migration: its id, or the collection's name.
            force: why it is cut over although it is not verified; recorded.

        Raises:
            Refused: it is not verified, and no reason to force it was given.
            Conflict: not everything was carried; that cannot be forced.
        """
        begun = self._under_way(migration)
        if begun.phase in _LOOKED_AT:
            store = self._opener.store(self.get(begun.collection).store)
            aiming.require_there(store, begun.target, f"roll {begun.id} back")
        done = super().cut_over(begun.id, force=force)
        found = self.get(done.collection)
        self._follow(found.name, self._opener.store(found.store), done.target.place)
        return self.observe(done.id)

    def roll_back(self, migration: str, *, reason: str = "", keep: bool = False) -> Migration:
        """Go back to the source, and remove the target.

        Args:
            migration: its id, or the collection's name.
            reason: why; recorded.
            keep: leave the target in the store.

        Raises:
            Conflict: it was retired, so that there is nothing to go back to.
        """
        begun = self._under_way(migration)
        store = self._opener.store(self.get(begun.collection).store)
        if begun.phase in CUT:
            aiming.require_there(
                store, begun.source, f"{begun.id} cannot be rolled back, retire it"
            )
        done = super().roll_back(begun.id, reason=reason)
        if begun.phase is not MigrationPhase.ROLLED_BACK:
            self._follow(done.collection, store, done.source.place)
        if not keep and aiming.is_left(self, store, begun, done.target):
            store.drop(done.target.place)
        return done

    def retire(self, migration: str, *, keep: bool = False) -> Migration:
        """Write the source no more, and remove it: there is no way back.

        Args:
            migration: its id, or the collection's name.
            keep: leave the source in the store.

        Raises:
            Conflict: it was not cut over.
        """
        begun = self._under_way(migration)
        if begun.phase is MigrationPhase.CUT_OVER:
            begun = self.cut_over(begun.id)
        store = self._opener.store(self.get(begun.collection).store)
        if begun.phase in CUT and not keep:
            aiming.require_not_lost(store, begun)
        done = super().retire(begun.id)
        if not keep and aiming.is_left(self, store, begun, done.source):
            store.drop(done.source.place)
        return done

    def status(self, name: str) -> Migration:
        """Give the migration under way, or the last one, of a collection or by its id."""
        return self._under_way(name)

    def _under_way(self, name: str) -> Migration:
        if name.startswith(PREFIX):
            return self.migration(name)
        found = self.get(name)
        if found.migration:
            return self.migration(found.migration)
        last = self.migrations(collection=name, size=1).items
        if not last:
            raise NotFound(f"{name} was never migrated", field="migration")
        return last[0]


def _as_before(spec: EncoderSpec, number: str) -> EncoderSpec:
    """Give the spec of a version that embeds as the one before: only its metadata is another."""
    return replace(spec, number=number, embeds_as=spec.embeds_as or spec.number)


def _embeds(steps: Sequence[Step]) -> bool:
    return any(step.way == "reembed" for step in steps)
