"""`book.documents`, as far as it asks the register; what moves documents is in `front.moving`."""

from collections.abc import Sequence

from herdbook.core.documents import Bridge, Collection
from herdbook.core.migrations import (
    Estimate,
    Migration,
    MigrationPhase,
    Options,
    Outcome,
    Progress,
    SetAside,
    Shard,
    Step,
    Verification,
)
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import Place
from herdbook.front.door import Door


class Documents:
    """Collections of documents, and their migrations."""

    def __init__(self, door: Door) -> None:
        self._door = door

    # --- collections ---

    def register(
        self,
        name: str,
        *,
        model: str,
        store: str,
        place: Place,
        encoder: EncoderSpec | None = None,
        space: Space | None = None,
    ) -> Collection:
        """Register a collection; `create` and `adopt` do so with the store at hand.

        Args:
            name: unique in the register.
            model: the model whose versions embed it.
            store: the address of its vector store, without secrets.
            place: where in it the vectors lie.
            encoder: how what embeds is opened; None for vectors of which nobody knows.
            space: what they are in, as measured from the encoder.

        Raises:
            AlreadyExists: the name is taken.
            NotFound: there is no such version.
        """
        return self._door.call(
            Collection,
            "documents.register",
            name=name,
            model=model,
            store=store,
            place=place,
            encoder=encoder,
            space=space,
        )

    def identify(
        self, name: str, *, encoder: EncoderSpec, space: Space, replace_known: bool = False
    ) -> Collection:
        """Say what embedded a collection, once a sample has proven it; `stamp` does both.

        Raises:
            Conflict: it is known to be in another space, or a migration is under way.
        """
        return self._door.call(
            Collection,
            "documents.identify",
            name=name,
            encoder=encoder,
            space=space,
            replace_known=replace_known,
        )

    def get(self, name: str) -> Collection:
        """Give a collection: where it lies, and what embeds its queries."""
        return self._door.call(Collection, "documents.get", name=name)

    def page(
        self, *, model: str | None = None, size: int = PAGE_DEFAULT, page: str | None = None
    ) -> Page[Collection]:
        """Give collections by name; `model` for only those its versions embed."""
        return self._door.page(Collection, "documents.page", model=model, size=size, page=page)

    def remove(self, name: str) -> Collection:
        """Take a collection out of the register; what is in the store stays as it is.

        Raises:
            Conflict: a migration of it is under way.
        """
        return self._door.call(Collection, "documents.remove", name=name)

    def bridging(self, name: str) -> Bridge | None:
        """Give the bridge of a collection while it is in use and not expired, else None."""
        found = self._door.page(Bridge, "documents.bridging", name=name)
        return found.items[0] if found.items else None

    def bridge(self, name: str, bridge: Bridge) -> Collection:
        """Let queries of a newer version pass a map to the vectors that are there.

        Raises:
            Conflict: the vectors are in another space than it leads to.
            Invalid: it is expired, or its scores do not say that it is better.
        """
        return self._door.call(Collection, "documents.bridge", name=name, bridge=bridge)

    def unbridge(self, name: str) -> Collection:
        """Take the bridge of a collection away; queries are embedded as its documents are."""
        return self._door.call(Collection, "documents.unbridge", name=name)

    # --- migrations ---

    def start(  # noqa: PLR0913 - what a migration is
        self,
        collection: str,
        *,
        to_version: str,
        steps: Sequence[Step] = (),
        encoder: EncoderSpec | None = None,
        options: Options | None = None,
        place: Place | None = None,
        dry_run: bool = False,
    ) -> Migration:
        """Begin a migration: it is planned, nothing is moved yet.

        Args:
            collection: whose documents are moved.
            to_version: the version that is to embed them: a number or an alias as `@champion`.
            steps: the path to it; left out, one step that embeds anew.
            encoder: how what embeds is opened; left out, the version's own files.
            options: how it is carried out.
            place: where the documents go; left out, named after the version.
            dry_run: check everything and write nothing.

        Raises:
            Conflict: another migration of the collection is under way, or it is there already.
            NotFound: there is no such version.
        """
        return self._door.call(
            Migration,
            "documents.start",
            collection=collection,
            to_version=to_version,
            steps=tuple(steps),
            encoder=encoder,
            options=options,
            place=place,
            dry_run=dry_run,
        )

    def request_migration(
        self,
        model: str,
        *,
        from_version: str,
        to_version: str,
        collection: str | None = None,
        dry_run: bool = False,
    ) -> Migration:
        """Begin the migration of a model's documents from a version to another: it is planned.

        The register runs no encoders: `herdbook documents migrate` carries the migration out,
        where the store and the models are.

        Args:
            model: whose versions embed.
            from_version: the version the documents are at: a number, by value, or as `@champion`.
            to_version: the version that is to embed them, likewise.
            collection: which collection, where several are at that version.
            dry_run: check everything and write nothing.

        Raises:
            NotFound: no collection of the model is at that version, or there is no such version.
            Conflict: several collections are, or a migration of the one is under way.
        """
        return self._door.call(
            Migration,
            "documents.migrate",
            model=model,
            from_version=from_version,
            to_version=to_version,
            collection=collection,
            dry_run=dry_run,
        )

    def migration(self, migration: str) -> Migration:
        """Give a migration as it stands."""
        return self._door.call(Migration, "documents.migration", migration=migration)

    def migrations(
        self,
        *,
        collection: str | None = None,
        model: str | None = None,
        size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Migration]:
        """Give migrations, newest first; of one collection, or of a model's collections."""
        return self._door.page(
            Migration,
            "documents.migrations",
            collection=collection,
            model=model,
            size=size,
            page=page,
        )

    def pause(self, migration: str, *, reason: str = "") -> Migration:
        """Let the carrying of a migration wait, after the shards that are on their way."""
        return self._door.call(Migration, "documents.pause", migration=migration, reason=reason)

    def resume(self, migration: str, *, budget: float | None = None) -> Migration:
        """Let the carrying of a migration go on.

        Args:
            migration: its id.
            budget: what embedding may cost at most from now on, what was spent included; None for
                as before.
        """
        return self._door.call(Migration, "documents.resume", migration=migration, budget=budget)

    def cut_over(self, migration: str, *, force: str = "") -> Migration:
        """Let readers search the target from now on, with its own encoder.

        Args:
            migration: its id; it is verified.
            force: why it is cut over although it is not; recorded.

        Raises:
            Refused: it is not verified, and no reason to force it was given.
            Conflict: not everything was carried; that cannot be forced.
        """
        return self._door.call(Migration, "documents.cut_over", migration=migration, force=force)

    def roll_back(self, migration: str, *, reason: str = "") -> Migration:
        """Go back: before the cut the target is given up, after it the source is searched again.

        Raises:
            Conflict: it was retired, so that there is nothing to go back to.
        """
        return self._door.call(Migration, "documents.roll_back", migration=migration, reason=reason)

    def retire(self, migration: str) -> Migration:
        """Write the source no more; there is no way back after it.

        Raises:
            Conflict: it was not cut over, or the store's alias does not follow yet.
        """
        return self._door.call(Migration, "documents.retire", migration=migration)

    def set_aside(
        self, migration: str, *, size: int = PAGE_DEFAULT, page: str | None = None
    ) -> Page[SetAside]:
        """Give the documents that could not be moved, by id."""
        return self._door.page(
            SetAside, "documents.set_aside", migration=migration, size=size, page=page
        )

    # --- what who carries a migration out needs ---

    def claim(
        self, migration: str, *, driver: str, lease_seconds: float = 30.0, dead: str = ""
    ) -> Migration:
        """Take, or keep, the lease of a migration: only who has it carries it out.

        Args:
            migration: its id.
            driver: names the process; the same name keeps the lease.
            lease_seconds: how long it is believed without being kept, 1 to 3600.
            dead: a driver the caller knows to have ended; its lease is not waited for.

        Raises:
            Conflict: somebody else has it, or the migration is over.
        """
        return self._door.call(
            Migration,
            "documents.claim",
            migration=migration,
            driver=driver,
            lease_seconds=lease_seconds,
            dead=dead,
        )

    def leave(self, migration: str, *, driver: str) -> Migration:
        """Give the lease back."""
        return self._door.call(Migration, "documents.leave", migration=migration, driver=driver)

    def advance(
        self,
        migration: str,
        *,
        driver: str,
        to: MigrationPhase,
        space: Space | None = None,
        estimate: Estimate | None = None,
        verification: Verification | None = None,
    ) -> Migration:
        """Take a migration to its next phase; what it was taken to already stays.

        Raises:
            Conflict: somebody else has the lease, or the phase cannot follow.
            Refused: vectors cannot be copied between the two spaces.
        """
        return self._door.call(
            Migration,
            "documents.advance",
            migration=migration,
            driver=driver,
            to=to,
            space=space,
            estimate=estimate,
            verification=verification,
        )

    def cut(self, migration: str, *, driver: str, shards: Sequence[Shard]) -> Progress:
        """Add shards to a migration; those that are there stay."""
        return self._door.call(
            Progress, "documents.cut", migration=migration, driver=driver, shards=tuple(shards)
        )

    def shards(self, migration: str, *, after: int = 0, size: int = PAGE_DEFAULT) -> Page[Shard]:
        """Give shards that are not done, by number from the one after `after` on."""
        return self._door.page(
            Shard, "documents.shards", migration=migration, after=after, size=size
        )

    def settle(self, migration: str, *, driver: str, outcomes: Sequence[Outcome]) -> Migration:
        """Note what became of shards, each once, after the store acknowledged them."""
        return self._door.call(
            Migration,
            "documents.settle",
            migration=migration,
            driver=driver,
            outcomes=tuple(outcomes),
        )

    def take_back(self, migration: str, *, driver: str, ids: Sequence[str]) -> Migration:
        """Take documents off the list of what could not be moved: they were, or are gone."""
        return self._door.call(
            Migration, "documents.take_back", migration=migration, driver=driver, ids=list(ids)
        )

    def bury(self, migration: str, *, ids: Sequence[str]) -> Progress:
        """Note that documents are about to be deleted, so that no shard on its way revives them."""
        return self._door.call(Progress, "documents.bury", migration=migration, ids=list(ids))

    def buried(self, migration: str, *, after: int = 0, size: int = PAGE_DEFAULT) -> Page[str]:
        """Give the documents that were deleted while they were moved, in the order of that."""
        return self._door.page(str, "documents.buried", migration=migration, after=after, size=size)

    def observe(self, migration: str) -> Migration:
        """Say that the store's alias follows the cut; `cut_over` does it."""
        return self._door.call(Migration, "documents.observe", migration=migration)
