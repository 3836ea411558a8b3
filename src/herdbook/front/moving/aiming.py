"""Places in stores: whose they are, before anything is made, switched to or removed there."""

from collections.abc import Sequence

from herdbook.core.documents import Collection, Home
from herdbook.core.migrations import CUT, Migration, MigrationPhase, Options, Step
from herdbook.core.vectors import Place, Traits, Vectors
from herdbook.errors import Conflict
from herdbook.front.documents import Documents
from herdbook.front.door import every


def owner(documents: Documents, address: str, place: Place) -> str:
    """Name the registered collection that has a place, or is being moved there; "" for none."""
    found: Collection
    for found in every(documents.page, size=1_000):
        if found.store == address and place in _places(documents, found):
            return found.name
    return ""


def _places(documents: Documents, found: Collection) -> list[Place]:
    places = [home.place for home in found.homes]
    if found.migration and found.beside is None:
        target = documents.migration(found.migration).target
        # Until it is aimed at, it is only a name.
        places += [target.place] if target.space is not None else []
    return places


def require_free(documents: Documents, address: str, place: Place) -> None:
    """Refuse a place that is a registered collection's: two would write over one another.

    Raises:
        Conflict: names the collection.
    """
    taken = owner(documents, address, place)
    if taken:
        raise Conflict(
            f"{place} in {address} is the collection {taken} already; open that, or choose another "
            "place",
            field="collection",
        )


def require_absent(store: Vectors, place: Place) -> None:
    """Refuse a target that is in the store already: what is there is somebody else's.

    Raises:
        Conflict: says what mends it.
    """
    if store.look(place) is not None:
        raise Conflict(
            f"{place} is in {store.address} already, and documents moved there would mix with what "
            "it holds: rename it or take it away. Where a migration that was rolled back or "
            "retired left it, roll back or retire that one once more",
            field="place",
        )


def require_own(store: Vectors, migration: Migration) -> None:
    """Refuse a target somebody else filled before anything was carried there."""
    shape = store.look(migration.target.place)
    if shape is not None and shape.documents:
        raise Conflict(
            f"{migration.target.place} holds {shape.documents:,} documents that {migration.id} did "
            "not bring there; take them away, or roll it back",
            field="place",
        )


def require_there(store: Vectors, home: Home, otherwise: str) -> None:
    """Refuse to rely on a place that is gone from the store.

    Raises:
        Conflict: it is; with what to do instead.
    """
    if store.look(home.place) is None:
        raise Conflict(f"{home.place} is gone from {store.address}; {otherwise}", field="place")


def require_not_lost(store: Vectors, migration: Migration) -> None:
    """Refuse to remove the source when the target was emptied: it may be all there is."""
    source, target = (store.look(each.place) for each in (migration.source, migration.target))
    if source is not None and source.documents and (target is None or not target.documents):
        raise Conflict(
            f"{migration.target.place} holds nothing, {migration.source.place} holds "
            f"{source.documents:,} documents: roll {migration.id} back instead, or retire it with "
            "`keep`",
            field="place",
        )


def require_field(traits: Traits, options: Options | None, steps: Sequence[Step]) -> None:
    """Refuse another vector field where it cannot hold what is asked.

    Raises:
        Conflict: the store has one field only, or the path changes metadata, which all share.
    """
    if options is None or not options.field:
        return
    if not traits.fields:
        raise Conflict(
            f"a collection of {traits.kind} has one vector field; migrate without `field`",
            field="field",
        )
    named = [step.function for step in steps if step.function]
    if named:
        raise Conflict(
            f"{named[0]} changes metadata, which all vector fields of a collection share: the "
            "source would change with it. Migrate without `field`",
            field="field",
        )


def is_left(documents: Documents, store: Vectors, begun: Migration, home: Home) -> bool:
    """Whether a place that a migration needs no more is its own, so that it may be removed.

    Args:
        documents: asks the register.
        store: holds the place.
        begun: the migration, as it was before it ended.
        home: its target when it is rolled back, its source when it is retired.
    """
    if home.space is None or owner(documents, store.address, home.place):
        return False
    carried = begun.phase in CUT or begun.phase in (
        MigrationPhase.DUAL_WRITE,
        MigrationPhase.BACKFILL,
        MigrationPhase.CATCH_UP,
        MigrationPhase.VERIFY,
        MigrationPhase.VERIFIED,
    )
    if carried:
        return True
    # Before, nothing was written there; once it is over, somebody else may have made it anew.
    if store.look(home.place) is None:
        return False
    return {space for space, count in store.spaces(home.place).items() if count} <= {
        home.space.fingerprint
    }
