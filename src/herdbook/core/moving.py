"""What the verbs of documents ask of a database; each sentence is a conformance test."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from herdbook.core.documents import Bridge, Collection
from herdbook.core.migrations import Migration, MigrationPhase, Outcome, SetAside, Shard
from herdbook.core.pages import Page


class Documents(Protocol):
    """Collections of documents, and their migrations."""

    def add(self, collection: Collection) -> None:
        """Add a collection; AlreadyExists when its name is taken."""

    def get(self, name: str) -> Collection:
        """Give a collection; NotFound, also when its model may not be seen."""

    def lock(self, name: str) -> Collection:
        """Give a collection and keep other writers of it waiting until this work ends."""

    def save(self, collection: Collection) -> None:
        """Write a collection over what was; its epoch must be the next or the same, StaleEpoch."""

    def remove(self, collection: Collection) -> None:
        """Remove a collection; its migrations stay as history, its name is free."""

    def page(self, *, model: str | None, size: int, page: str | None) -> Page[Collection]:
        """Give collections by name."""

    def in_store(self, store: str) -> Sequence[Collection]:
        """Give the collections in a store, also those the actor may not see."""

    def bridge(self, name: str) -> Bridge | None:
        """Give the bridge of a collection, or None."""

    def set_bridge(self, name: str, bridge: Bridge | None) -> None:
        """Keep the bridge of a collection, or none."""

    def begin(self, migration: Migration) -> Migration:
        """Add a migration and give it with its id."""

    def migration(self, key: str) -> Migration:
        """Give a migration by its id; NotFound."""

    def lock_migration(self, key: str) -> Migration:
        """Give a migration and keep other writers of it waiting until this work ends."""

    def save_migration(self, migration: Migration) -> None:
        """Write a migration over what was."""

    def migrations(
        self, *, collection: str | None, model: str | None, size: int, page: str | None
    ) -> Page[Migration]:
        """Give migrations, newest first."""

    def running(self, *, limit: int) -> Sequence[Migration]:
        """Give those that are neither retired nor rolled back, the ones begun last first.

        Those of deleted models are left out: their collections are not there.
        """

    def phases(self) -> Mapping[MigrationPhase, int]:
        """Count migrations by phase; those of deleted models are left out."""

    def cut(self, key: str, shards: Sequence[Shard]) -> int:
        """Add shards; those whose number is there stay as they are. Gives how many are new."""

    def uncut(self, key: str) -> None:
        """Remove the shards of a migration."""

    def shards(self, key: str, *, after: int, size: int) -> Sequence[Shard]:
        """Give shards that are not done, by number from the one after `after` on."""

    def settle(self, key: str, outcomes: Sequence[Outcome], *, at: datetime) -> Sequence[Outcome]:
        """Note what became of shards; gives those that had not been noted before."""

    def put_aside(self, key: str, found: Sequence[SetAside], *, at: datetime) -> int:
        """List documents that cannot be moved, once each; gives how many are new."""

    def take_back(self, key: str, ids: Sequence[str]) -> int:
        """Take documents off that list; gives how many were on it."""

    def set_aside(self, key: str, *, size: int, page: str | None) -> Page[SetAside]:
        """Give the list, by id."""

    def bury(self, key: str, ids: Sequence[str], *, first: int) -> None:
        """Note deletions under the numbers from `first` on; the migration is locked."""

    def buried(self, key: str, *, after: int, size: int) -> Sequence[tuple[int, str]]:
        """Give deletions, number and document, by number from the one after `after` on."""
