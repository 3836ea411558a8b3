"""Collections of documents and their migrations for tests, at whatever phase is wanted."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from herdbook.core.documents import Collection
from herdbook.core.migrations import (
    Check,
    Migration,
    MigrationPhase,
    Outcome,
    SetAside,
    Shard,
    Verification,
)
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import Place, Range
from herdbook.services import documents, ledger, migrating, switching

MODEL = "deepset/gbert-base"
DRIVER = "driver-1"
# Runs a verb in a transaction of its own.
Ask = Callable[..., Any]


def space(number: str = "v1", **said: Any) -> Space:
    """What a version of the model embeds into."""
    digest = f"sha256:{sha256(number.encode()).hexdigest()}"
    given: dict[str, Any] = {"model": MODEL, "number": number, "dimension": 8, "digest": digest}
    return Space(**(given | said))


def encoder(number: str = "v1", **said: Any) -> EncoderSpec:
    """What embeds for a version of the model."""
    given: dict[str, Any] = {"model": MODEL, "number": number, "price_per_million_tokens": 0.5}
    return EncoderSpec(**(given | {"source": "python:rag.embedding:embed"} | said))


def registered(ask: Ask, name: str = "handbook", number: str = "v1", **said: Any) -> Collection:
    """A collection whose documents are at a version."""
    known = {"encoder": encoder(number), "space": space(number)}
    given = {"model": MODEL, "store": "lancedb:/vectors", "place": Place(collection=name)}
    made: Collection = ask(documents.register, name, **(given | known | said))
    return made


def begun(ask: Ask, name: str = "handbook", to: str = "v2", **said: Any) -> Migration:
    """A migration that was just started, and claimed by the driver."""
    given = {"to_version": to, "encoder": encoder(to)} | said
    made = ask(migrating.start, name, **given)
    held: Migration = ask(migrating.claim, made.id, driver=DRIVER)
    return held


def shards(count: int = 2, *, first: int = 1) -> list[Shard]:
    """Shards of ten documents each."""
    return [
        Shard(
            number=at, within=Range(after=f"d{at:03}0" if at > 1 else "", upto=f"d{at:03}9",
                                    documents=10)
        )
        for at in range(first, first + count)
    ]  # fmt: skip


def outcome(shard: int, *aside: str, **said: Any) -> Outcome:
    """A shard of ten documents that were carried, but for some."""
    given: dict[str, Any] = {
        "documents": 10,
        "written": 10 - len(aside),
        "tokens": 1_000,
        "seconds": 0.5,
    }
    found = tuple(SetAside(id=each, reason="no text", shard=shard) for each in aside)
    return Outcome(**(given | {"shard": shard, "set_aside": found} | said))


def verification(*failed: str) -> Verification:
    """What was found of a target."""
    names = ("ids", "spaces", "sample")
    checks = [Check(name=name, passed=name not in failed, says="looked at") for name in names]
    overlap = Check(name="overlap", passed=False, gate=False, says="0.3 of neighbours")
    at = datetime(2026, 1, 14, 12, tzinfo=UTC)
    return Verification(at=at, checks=(*checks, overlap))


_ADVANCED = (
    MigrationPhase.REHEARSED,
    MigrationPhase.TARGET,
    MigrationPhase.DUAL_WRITE,
    MigrationPhase.BACKFILL,
    MigrationPhase.CATCH_UP,
    MigrationPhase.VERIFY,
    MigrationPhase.VERIFIED,
)


def brought(ask: Ask, key: str, to: MigrationPhase, *, number: str = "v2") -> Migration:
    """Bring a migration that was just begun to a phase, through all before it."""
    for phase in _ADVANCED:
        if _order(phase) <= _order(to):
            said: dict[str, Any] = (
                {"space": space(number)} if phase is MigrationPhase.TARGET else {}
            )
            said |= {"verification": verification()} if phase is MigrationPhase.VERIFIED else {}
            if phase is MigrationPhase.CATCH_UP:
                carried(ask, key)
            ask(migrating.advance, key, driver=DRIVER, to=phase, **said)
    for phase, verb in (
        (MigrationPhase.CUT_OVER, switching.cut_over),
        (MigrationPhase.OBSERVE, switching.observe),
        (MigrationPhase.RETIRED, switching.retire),
    ):
        if _order(phase) <= _order(to):
            ask(verb, key)
    found: Migration = ask(migrating.get, key)
    return found


def carried(ask: Ask, key: str, given: Sequence[Shard] | None = None) -> Migration:
    """Cut a migration into shards and carry all of them."""
    given = shards() if given is None else given
    ask(ledger.cut, key, driver=DRIVER, shards=given)
    done = [outcome(shard.number) for shard in given]
    found: Migration = ask(ledger.settle, key, driver=DRIVER, outcomes=done)
    return found


def _order(phase: MigrationPhase) -> int:
    return list(MigrationPhase).index(phase)
