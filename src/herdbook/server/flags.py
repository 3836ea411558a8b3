"""Flags of OpenFeature: who gets which version, from a snapshot held while nothing changes.

Every change of the register is an event, so where the log stands tells whether what is held is
still true: it is the one thing an evaluation asks of the database.
"""

from dataclasses import dataclass, field
from typing import Final

from herdbook.core.access import Action, Actor, Grant, everything
from herdbook.core.assignment import Assignment, Plan, Snapshot, always
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION
from herdbook.errors import NotFound
from herdbook.protocols import ofrep
from herdbook.protocols.ofrep import Context, Fault, Json
from herdbook.server.transactions import Register
from herdbook.services import serving

LISTS_LIMIT: Final = 100
_SERVER: Final = everything("server")


@dataclass(frozen=True, slots=True)
class Held:
    """What was read in one state of the register.

    Args:
        seq: the number of the last event then.
        snapshot: what units of models with experiments get.
        champions: the champions of other models that were asked for.
        lists: the first champions by name, by what their reader may see.
    """

    seq: int
    snapshot: Snapshot
    champions: dict[str, str] = field(default_factory=dict)
    lists: dict[tuple[Grant, ...] | None, dict[str, str]] = field(default_factory=dict)

    def plan(self, model: str, number: str) -> Plan:
        """Give what decides about a model that has a champion."""
        return self.snapshot.plans.get(model) or always(Assignment(model=model, version=number))

    def evaluated(self, model: str, number: str, context: Context) -> Json:
        """Give a model's flag; Invalid when the context's unit is none.

        Args:
            model: the model.
            number: its champion; what experiments it has know theirs.
            context: whom it is for.
        """
        if context.unit is None:
            if model in self.snapshot.plans:
                return ofrep.keyless(model)
            return ofrep.success(Assignment(model=model, version=number), targeted=False)
        found = self.plan(model, number)(context.unit, context.attributes)
        return ofrep.success(found, targeted=found.experiment in self.snapshot.targeted)


class Flags:
    """Evaluates flags.

    Args:
        register: what they are about.
    """

    def __init__(self, register: Register) -> None:
        self._register = register
        self._held: Held | None = None

    async def one(self, by: Actor, model: str, context: Context) -> Json:
        """Evaluate the flag of one model; a failure when it has none, or not for them.

        Raises:
            Invalid: the targeting key is no unit.
        """
        held = await self._current()
        seen, tried = by.rank(model) >= Action.READ, model in held.snapshot.plans
        number = await self._champion(held, model) if seen and not tried else ""
        if not seen or not (tried or number):
            return ofrep.failure(model, Fault.FLAG_NOT_FOUND, ofrep.no_flag(model))
        return held.evaluated(model, number, context)

    async def every(self, by: Actor, context: Context) -> Json:
        """Evaluate the flags of all models that someone may see, by name.

        Those with experiments come first where there are more than are answered at once.

        Raises:
            Invalid: the targeting key is no unit.
        """
        held = await self._current()
        tried = [each for each in sorted(held.snapshot.plans) if by.rank(each) >= Action.READ]
        found = dict.fromkeys(tried, "") | await self._champions(held, by)
        chosen = sorted([*found][: ofrep.BULK_LIMIT])
        flags = [held.evaluated(model, found[model], context) for model in chosen]
        return ofrep.bulk(flags, left_out=len(found) > len(chosen))

    async def _current(self) -> Held:
        self._held = await self._register.read(_SERVER, self._looked)
        return self._held

    def _looked(self, work: Work) -> Held:
        # Read before the rest: what changes in between is found out by the next evaluation.
        seq, held = work.events.head().seq, self._held
        if held is not None and held.seq == seq:
            return held
        mark = held.snapshot.mark if held else ""
        routing = serving.routing(work, mark=mark)
        if held is not None and routing.mark == mark:
            return Held(seq, held.snapshot)
        return Held(seq, Snapshot(routing))

    async def _champion(self, held: Held, model: str) -> str:
        """Give the number of a model's champion, or "" when there is none."""
        known = held.champions.get(model)
        if known is None:
            known = await self._register.read(_SERVER, lambda work: _champion(work, model))
            # Names nobody has would be without end.
            if known:
                held.champions[model] = known
        return known

    async def _champions(self, held: Held, by: Actor) -> dict[str, str]:
        """Give the first champions that someone may see, one more than are answered at once."""
        seen = by.narrowed()
        if seen not in held.lists:
            if len(held.lists) >= LISTS_LIMIT:
                held.lists.clear()
            limit = ofrep.BULK_LIMIT + 1
            held.lists[seen] = await self._register.read(
                by, lambda work: dict(work.deployments.numbers(CHAMPION, limit=limit))
            )
        return held.lists[seen]


def _champion(work: Work, model: str) -> str:
    try:
        found = work.deployments.get(model, CHAMPION)
    except NotFound:
        return ""
    return found.number if found else ""
