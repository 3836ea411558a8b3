"""Drive a migration: from where it stands through its phases, until it is verified."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from herdbook.core.engines import Engine
from herdbook.core.migrations import Migration, MigrationPhase, Outcome, Shard
from herdbook.core.spaces import Encoder
from herdbook.core.vectors import Vectors
from herdbook.errors import Conflict, HerdbookError, NotFound, Unavailable
from herdbook.front.documents import Documents
from herdbook.front.door import every
from herdbook.front.moving import aiming, proving, rehearsing
from herdbook.front.moving.carrying import Carrier
from herdbook.front.moving.catching_up import Comparison
from herdbook.front.moving.leasing import Lease
from herdbook.front.moving.opening import Opener
from herdbook.front.moving.strategies import Strategies
from herdbook.front.moving.telling import News, Pace, Said, Ticker, unsaid

SHARD_SECONDS: Final = 5.0
SHARDS: Final = (32, 1_000)
# Shards that could not be carried are given again so often, each time after twice as long.
TRIES: Final = 5
_ROUNDS: Final = 5
_SETTLE_SECONDS: Final = 0.5
_SETTLE_COUNT: Final = 100

Make = Callable[[], Callable[[Shard], Outcome]]
MakeFor = Callable[[Migration], Make]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a driver works with.

    Args:
        documents: asks the register.
        opener: opens the store and the encoders.
        strategies: the functions of metadata.
        engine: runs carriers.
        make: gives what makes one in a worker; None for carriers of this process.
        said: told how it goes.
    """

    documents: Documents
    opener: Opener
    strategies: Strategies
    engine: Engine
    make: MakeFor | None = None
    said: Said = unsaid


class Driver:
    """Carries a migration out, while it has its lease.

    Args:
        means: what it works with.
        lease: of the migration.
        demands: what is asked of the target.
    """

    def __init__(self, means: Means, lease: Lease, demands: proving.Demands) -> None:
        self._means = means
        self._lease = lease
        self._demands = demands
        self._documents = means.documents
        self._said = means.said
        self._id = lease.found.id
        self._pace = Pace()
        self._spent = 0.0
        self._marks: dict[int, int] = {}
        collection = self._documents.get(lease.found.collection)
        self._store: Vectors = means.opener.store(collection.store)

    def run(self) -> Migration:
        """Go on until the target is verified, or found not good enough.

        Raises:
            Conflict: the lease is lost, the migration was rolled back meanwhile, or documents keep
                changing without passing Herdbook.
            Unavailable: the store or the encoder does not answer, after several tries; to run it
                again goes on where it was.
        """
        steps = {
            MigrationPhase.PLANNED: self._rehearse,
            MigrationPhase.REHEARSED: self._aim,
            MigrationPhase.TARGET: self._cut,
            MigrationPhase.DUAL_WRITE: self._begin,
            MigrationPhase.BACKFILL: self._fill,
            MigrationPhase.CATCH_UP: self._catch_up,
            MigrationPhase.VERIFY: self._verify,
        }
        found = self._documents.migration(self._id)
        if found.phase in (MigrationPhase.VERIFY, MigrationPhase.VERIFIED):
            # What changed since, also behind Herdbook's back, is brought over first.
            found = self._to(MigrationPhase.CATCH_UP)
        while found.phase in steps:
            self._said(News(phase=found.phase, total=found.progress.documents))
            before = found.phase
            found = self._taken(steps[before], found)
            if before is MigrationPhase.VERIFY and found.phase is MigrationPhase.VERIFY:
                break  # it failed
        return found

    def _taken(self, step: Callable[[Migration], Migration], found: Migration) -> Migration:
        try:
            return step(found)
        except NotFound:
            # Who rolled it back meanwhile has removed its target: that is what went wrong.
            self._documents.migration(self._id).check_open()
            raise

    def _to(self, phase: MigrationPhase) -> Migration:
        return self._documents.advance(self._id, driver=self._lease.driver, to=phase)

    # --- before anything is moved ---

    def _rehearse(self, found: Migration) -> Migration:
        estimate = rehearsing.rehearsed(
            self._store, found, self._new(found), self._means.strategies
        )
        return self._documents.advance(
            self._id, driver=self._lease.driver, to=MigrationPhase.REHEARSED, estimate=estimate
        )

    def _aim(self, found: Migration) -> Migration:
        encoder = self._new(found) or self._as_new(found)
        aiming.require_absent(self._store, found.target.place)
        return self._documents.advance(
            self._id, driver=self._lease.driver, to=MigrationPhase.TARGET, space=encoder.space
        )

    def _new(self, found: Migration) -> Encoder | None:
        """Open what embeds for the target, where it does."""
        if not found.embeds or found.target.encoder is None:
            return None
        return self._means.opener.encoder(found.target.encoder)

    def _as_new(self, found: Migration) -> Encoder:
        """Open what embeds queries of a target whose vectors are copied."""
        if found.target.encoder is None:
            raise Conflict(f"{found.id} names no encoder for its queries", field="encoder")
        return self._means.opener.encoder(found.target.encoder)

    def _cut(self, found: Migration) -> Migration:
        space = found.target.space
        assert space is not None  # noqa: S101 - a target has one
        source = self._store.look(found.source.place)
        if source is None:
            raise Conflict(f"{found.source.place} is gone from the store", field="place")
        self._store.create(found.target.place, dimension=space.dimension, metric=source.metric)
        aiming.require_own(self._store, found)
        size = found.options.shard or _shard_size(found)
        pending: list[Shard] = []
        for number, within in enumerate(self._store.ranges(found.source.place, size=size), 1):
            pending.append(Shard(number=number, within=within))
            if len(pending) == 1_000:
                self._add(pending)
                pending = []
        self._add(pending)
        return self._to(MigrationPhase.DUAL_WRITE)

    def _add(self, shards: list[Shard]) -> None:
        if shards:
            self._documents.cut(self._id, driver=self._lease.driver, shards=shards)

    # --- moving ---

    def _begin(self, _: Migration) -> Migration:
        return self._to(MigrationPhase.BACKFILL)

    def _fill(self, found: Migration) -> Migration:
        for tried in range(TRIES):
            failed = self._filled(found)
            found = self._documents.migration(self._id)
            if found.progress.done:
                break
            if failed is None or tried == TRIES - 1:
                raise failed or Unavailable(f"{found.id}: shards were left over; run it again")
            if failed.code not in ("unavailable", "throttled", "task_failed"):
                raise failed
            self._wait(2.0**tried, f"{failed.message[:200]}; trying again")
        self._store.index(found.target.place)
        return self._to(MigrationPhase.CATCH_UP)

    def _filled(self, found: Migration) -> HerdbookError | None:
        """Carry the shards that are not done; gives the last error."""
        failed: HerdbookError | None = None
        far = self._means.make
        make: Make = far(found) if far else lambda: self._carrier(found)
        done: list[Outcome] = []
        self._marks.clear()
        self._pace = Pace(rate=found.options.rate)
        settled_at = time.monotonic()
        results = self._means.engine.run(make, self._shards())
        try:
            for result in results:
                if result.error is not None:
                    failed = result.error
                elif result.result is not None:
                    done.append(result.result)
                    self._pace.add(result.result.documents)
                late = time.monotonic() - settled_at > _SETTLE_SECONDS
                # Where money is counted, it is counted before more is spent.
                late = late or bool(found.options.budget)
                if done and (late or len(done) >= _SETTLE_COUNT):
                    self._settle(done)
                    done, settled_at = [], time.monotonic()
        finally:
            if done:
                self._settle(done)
            close = getattr(results, "close", None)
            if close is not None:
                close()
        return failed

    def _carrier(self, found: Migration) -> Carrier:
        return Carrier(found, self._store, self._means.opener, self._means.strategies)

    def _shards(self) -> Iterator[Shard | None]:
        """Give shards that are not done; None while it is not time for the next."""
        after = 0
        while True:
            page = self._documents.shards(self._id, after=after, size=100)
            for shard in page.items:
                while self._held_back(shard):
                    yield None
                # What was deleted before this may be in the source no more when it is read.
                self._marks[shard.number] = self._lease.found.progress.buried
                yield shard
            if page.next is None:
                return
            after = int(page.next)

    def _held_back(self, shard: Shard) -> bool:
        """Whether to wait: for a pause, the budget, or the rate."""
        found = self._lease.found
        if self._is_spent(found) and not found.paused:
            # Somebody may have raised the budget since the lease was kept last.
            found = self._lease.look()
            if self._is_spent(found) and not found.paused:
                budget = found.options.budget
                self._documents.pause(self._id, reason=f"the budget of {budget:g} is spent")
                found = self._lease.look()
        waiting = (found.reason or "paused") if found.paused else ""
        if waiting:
            self._tell(found, waiting)
            return True
        return not self._pace.may(shard.within.documents)

    def _is_spent(self, found: Migration) -> bool:
        # What the lease brought is about a second old; what was settled here is not.
        spent = max(found.progress.cost, self._spent)
        return 0 < found.options.budget <= spent

    def _settle(self, done: list[Outcome]) -> None:
        self._unbury(min(self._marks.pop(outcome.shard, 0) for outcome in done))
        found = self._documents.settle(self._id, driver=self._lease.driver, outcomes=done)
        self._spent = found.progress.cost
        self._tell(found, "")

    def _unbury(self, mark: int) -> None:
        """Remove what was inserted of documents that were deleted while they were on their way.

        Only what this migration wrote: who writes such a document anew keeps it.
        """
        found = self._documents.migration(self._id)
        while mark < found.progress.buried:
            page = self._documents.buried(self._id, after=mark, size=1_000)
            ids = list(page.items)
            self._store.delete(found.target.place, ids, write=found.write)
            mark += len(ids)
            if not ids:
                return

    def _tell(self, found: Migration, waiting: str) -> None:
        progress = found.progress
        self._said(
            News(
                phase=found.phase,
                # Those that were added since the shards were cut are carried by catching up.
                done=min(progress.written + progress.set_aside, progress.documents),
                total=progress.documents,
                rate=self._pace.recent,
                cost=progress.cost,
                set_aside=progress.set_aside,
                waiting=waiting,
            )
        )

    def _wait(self, seconds: float, why: str) -> None:
        until = time.monotonic() + seconds
        self._tell(self._lease.found, why)
        while time.monotonic() < until:
            time.sleep(0.1)
            self._lease.found  # noqa: B018 - raises when the lease is lost

    # --- catching up, and looking at what came of it ---

    def _catch_up(self, found: Migration) -> Migration:
        for _ in range(_ROUNDS):
            mark = self._documents.migration(self._id).progress.buried
            aside = self._aside()
            comparison = Comparison(self._store, found, set(aside))
            tick = Ticker(
                self._said, MigrationPhase.CATCH_UP, found.progress.documents, self._lease
            )
            caught = comparison.mend(self._carrier(found), embeds=found.embeds, tick=tick)
            self._unbury(mark)
            fresh = [
                replace(
                    outcome,
                    set_aside=tuple(x for x in outcome.set_aside if x.id not in aside),
                )
                for outcome in caught.outcomes
            ]
            new = sum(len(outcome.set_aside) for outcome in fresh)
            if fresh:
                self._documents.settle(self._id, driver=self._lease.driver, outcomes=fresh)
            gone = [*caught.back, *self._no_longer(found, aside)]
            for at in range(0, len(gone), 1_000):
                self._documents.take_back(
                    self._id, driver=self._lease.driver, ids=gone[at : at + 1_000]
                )
            if not caught.count and not new:
                return self._to(MigrationPhase.VERIFY)
        raise Conflict(
            f"documents of {found.collection} keep changing without passing Herdbook; let every "
            "writer use book.documents.open, or stop them for a while",
            field="collection",
        )

    def _aside(self) -> dict[str, str]:
        listed = every(self._documents.set_aside, migration=self._id, size=1_000)
        return {each.id: each.reason for each in listed}

    def _no_longer(self, found: Migration, aside: dict[str, str]) -> list[str]:
        """Give what was set aside and is no longer in the source."""
        ids = list(aside)
        there: set[str] = set()
        for at in range(0, len(ids), 500):
            there.update(self._store.fetch(found.source.place, ids[at : at + 500]).ids)
        return [id for id in ids if id not in there]

    def _verify(self, found: Migration) -> Migration:
        verification = proving.verified(
            self._store,
            found,
            old=self._old(found),
            new=self._as_new(found) if found.embeds or self._demands.queries else None,
            aside=set(self._aside()),
            demands=self._demands,
            tick=Ticker(self._said, MigrationPhase.VERIFY, found.progress.documents, self._lease),
        )
        return self._documents.advance(
            self._id,
            driver=self._lease.driver,
            to=MigrationPhase.VERIFIED,
            verification=verification,
        )

    def _old(self, found: Migration) -> Encoder | None:
        spec = found.source.encoder
        wanted = self._demands.queries and spec is not None
        return self._means.opener.encoder(spec) if wanted and spec is not None else None


def _shard_size(found: Migration) -> int:
    """Choose how many documents a shard has: as many as take about five seconds."""
    estimate = found.estimate
    least, most = SHARDS
    if estimate is None or estimate.seconds <= 0 or not estimate.documents:
        return most
    rate = estimate.documents / estimate.seconds
    return max(least, min(most, round(rate * SHARD_SECONDS)))
