"""Document migrations: moving a collection from one version's embeddings to another's.

    planned -> rehearsed -> target -> dual_write -> backfill -> catch_up -> verify -> verified
            -> cut_over -> observe -> retired
    and rolled_back from any of them but the last.

The state is kept in the register; whoever carries a migration out holds its lease, and may be
killed at any point.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from herdbook.core.documents import Home
from herdbook.core.numbers import Number
from herdbook.core.vectors import Range
from herdbook.errors import Conflict, Invalid

PREFIX: Final = "migration-"
# As a database's integers hold.
_MOST: Final = (1 << 63) - 1


class MigrationPhase(StrEnum):
    """How far a migration is."""

    PLANNED = "planned"
    REHEARSED = "rehearsed"
    TARGET = "target"
    DUAL_WRITE = "dual_write"
    BACKFILL = "backfill"
    CATCH_UP = "catch_up"
    VERIFY = "verify"
    VERIFIED = "verified"
    CUT_OVER = "cut_over"
    OBSERVE = "observe"
    RETIRED = "retired"
    ROLLED_BACK = "rolled_back"


_FORWARD: Final = tuple(MigrationPhase)[:-1]
OVER: Final = frozenset({MigrationPhase.RETIRED, MigrationPhase.ROLLED_BACK})
# Those in which readers are at the target.
CUT: Final = frozenset({MigrationPhase.CUT_OVER, MigrationPhase.OBSERVE})
# What a verification may be asked for again in: live writes go on after each of them.
_AGAIN: Final = {
    MigrationPhase.PLANNED: (MigrationPhase.TARGET,),
    MigrationPhase.VERIFY: (MigrationPhase.CATCH_UP,),
    MigrationPhase.VERIFIED: (MigrationPhase.CATCH_UP, MigrationPhase.VERIFY),
}


def allowed(phase: MigrationPhase) -> tuple[MigrationPhase, ...]:
    """Give what may follow a phase.

    Example:
        >>> [str(each) for each in allowed(MigrationPhase.VERIFY)]
        ['verified', 'rolled_back', 'catch_up']
    """
    if phase in OVER:
        return ()
    after = _FORWARD[_FORWARD.index(phase) + 1]
    return (after, MigrationPhase.ROLLED_BACK, *_AGAIN.get(phase, ()))


class Way(StrEnum):
    """What a step from a version to another does to a document."""

    METADATA = "metadata"
    IDENTITY = "identity"
    REEMBED = "reembed"
    ADAPTER = "adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a path, as it is kept: the code it runs is named, not held.

    Args:
        from_version: the number it begins at.
        to_version: the number it ends at.
        way: what it does.
        function: the function of its metadata, `module:name`, or "".
        fingerprint: of that function's code, or "".
    """

    from_version: str
    to_version: str
    way: Way
    function: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a migration is carried out.

    Args:
        shard: documents in a shard: what is done, and noted, at once; 0 for what takes about five
            seconds.
        rate: documents a second at most; 0 for as many as go.
        budget: what embedding may cost at most, in the currency of the encoder's price; 0 for no
            limit.
        text_limit: characters of a text at most; longer ones are set aside.
        field: whether the target is another vector field of the same collection.
    """

    shard: int = 0
    rate: float = 0.0
    budget: float = 0.0
    text_limit: int = 100_000
    field: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for name, least, most in (
            ("shard", 0, 10_000),
            ("rate", 0, 1e9),
            ("budget", 0, 1e12),
            ("text_limit", 1, 100_000_000),
        ):
            found = getattr(self, name)
            if not (math.isfinite(found) and least <= found <= most):
                raise Invalid(
                    f"{name} is {found!r:.30}; it must lie in {least:g} to {most:g}", field=name
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of a verification.

    Args:
        name: `ids`, `spaces`, `sample`, `set_aside`, `ndcg`, `recall`, `content`.
        passed: whether it holds.
        gate: whether the cut waits for it; neighbour overlap is only shown.
        says: what was found, in a sentence.
        numbers: the figures of it.
    """

    name: str
    passed: bool
    says: str
    gate: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found of a target before the cut.

    Args:
        at: when.
        checks: every condition.
    """

    at: datetime
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate holds; no gates at all is no."""
        gates = [check for check in self.checks if check.gate]
        return bool(gates) and all(check.passed for check in gates)

    @property
    def failed(self) -> tuple[str, ...]:
        """Name the gates that do not hold."""
        return tuple(check.name for check in self.checks if check.gate and not check.passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a dry run says a migration takes; from a timed sample.

    Args:
        documents: how many there are.
        sampled: how many of them were tried.
        tokens: of all, estimated from the sample.
        seconds: for all, estimated from the sample.
        cost: of all, in the currency of the encoder's price.
        space_bytes: what the new vectors take beside the old ones.
        missing_texts: documents without a text, counted among the sample.
        set_aside: how many of the sample cannot be moved, by reason.
        spaces: how many documents name each space, "" for none.
        examples: of ten documents, what each would become: `id`, `before`, `after`.
    """

    documents: int
    sampled: int
    tokens: int
    seconds: float
    cost: float
    space_bytes: int
    missing_texts: int = 0
    set_aside: Mapping[str, int] = field(default_factory=dict)
    spaces: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How much of a migration is done.

    Args:
        shards: how many there are; 0 until they are cut.
        shards_done: how many are.
        documents: how many there are in the shards.
        written: how many were carried, or were there already.
        set_aside: how many could not be moved, and are listed.
        tokens: that were embedded.
        cost: what that cost.
        seconds: how long carriers worked on it, together.
        buried: how many deletions were noted while it ran.
    """

    shards: int = 0
    shards_done: int = 0
    documents: int = 0
    written: int = 0
    set_aside: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    buried: int = 0

    @property
    def done(self) -> bool:
        """Whether every shard is."""
        return self.shards_done == self.shards


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A migration of a collection's documents.

    Args:
        id: such as `migration-12`; "" before it is begun.
        collection: its name.
        model: the model whose versions embed.
        from_version: the number the documents are at.
        to_version: the number they go to.
        steps: the path, one step after the other.
        source: where the documents are.
        target: where they go; its space is known once the encoder was opened.
        options: how it is carried out.
        phase: how far it is.
        paused: whether carrying is to wait.
        reason: why it is paused, was forced or rolled back; "" for none.
        progress: how much is done.
        estimate: what the dry run said.
        verification: what was found last.
        driver: who carries it out; "" for nobody.
        lease_until: until when that is believed.
        started_at: when it was begun.
        started_by: by whom.
        ended_at: when it was retired or rolled back.
    """

    id: str
    collection: str
    model: str
    from_version: str
    to_version: str
    steps: tuple[Step, ...]
    source: Home
    target: Home
    options: Options = field(default_factory=Options)
    phase: MigrationPhase = MigrationPhase.PLANNED
    paused: bool = False
    reason: str = ""
    progress: Progress = field(default_factory=Progress)
    estimate: Estimate | None = None
    verification: Verification | None = None
    driver: str = ""
    lease_until: datetime | None = None
    started_at: datetime
    started_by: str
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a path that does not lead from one number to the other."""
        ends = [self.from_version, *(step.to_version for step in self.steps)]
        begins = [*(step.from_version for step in self.steps), self.to_version]
        if not self.steps or [Number(e) for e in ends] != [Number(b) for b in begins]:
            raise Invalid(
                f"the steps do not lead from {self.from_version} to {self.to_version}",
                field="steps",
            )

        if any(step.way is Way.ADAPTER for step in self.steps):
            raise Invalid(
                "an adapter takes queries along, no documents: a document says which model really "
                "embedded it. Offer the map as a bridge (`herdbook documents bridge`)",
                field="steps",
            )

    @property
    def embeds(self) -> bool:
        """Whether documents are embedded anew; else their vectors are copied."""
        return any(step.way is Way.REEMBED for step in self.steps)

    @property
    def write(self) -> str:
        """What the stamps of documents it carried name as their write."""
        return self.id

    def check_open(self) -> None:
        """Refuse what is over.

        Raises:
            Conflict: it was retired or rolled back.
        """
        if self.phase in OVER:
            said = "retired" if self.phase is MigrationPhase.RETIRED else "rolled back"
            raise Conflict(f"{self.id} was {said}; start another migration", field="id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Documents that are carried, and noted, together; numbered 1, 2, 3 and on."""

    number: int
    within: Range

    def __post_init__(self) -> None:
        """Refuse what is no shard."""
        _whole(self.number, "number", least=1)
        _whole(self.within.documents, "documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A document that could not be moved.

    Args:
        id: the document's.
        reason: why, in a few words.
        shard: the shard it is of; 0 for none.
        at: when it was found.
    """

    id: str
    reason: str
    shard: int = 0
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a shard.

    Args:
        shard: its number.
        documents: how many were in it.
        written: how many are in the target now.
        tokens: that were embedded.
        seconds: that it took.
        set_aside: those that could not be moved.
    """

    shard: int
    documents: int
    written: int
    tokens: int = 0
    seconds: float = 0.0
    set_aside: tuple[SetAside, ...] = ()

    def __post_init__(self) -> None:
        """Refuse counts that are none."""
        for name in ("shard", "documents", "written", "tokens"):
            _whole(getattr(self, name), name)
        for each in self.set_aside:
            _whole(each.shard, "shard")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise Invalid(f"no shard takes {self.seconds!r:.30} seconds", field="seconds")


def _whole(given: int, field: str, *, least: int = 0) -> None:
    if type(given) is not int or not least <= given <= _MOST:
        raise Invalid(f"{field} is {given!r:.30}; it must be {least} or more", field=field)
