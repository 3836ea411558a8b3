"""Give each unit its version from memory, the same in every process.

What the register says of experiments is held as a snapshot and looked at again in the background
every `interval` seconds. While the register cannot be reached, what is held stays, so that units
keep their versions; `staleness` says how old it is.
"""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final

from herdbook.core import assignment
from herdbook.core.assignment import Assignment, Attributes, Plan, Snapshot
from herdbook.core.models import Version
from herdbook.core.routing import Routing
from herdbook.core.units import Unit
from herdbook.errors import HerdbookError, Invalid, NotFound
from herdbook.front.door import Door

INTERVAL_SECONDS: Final = 1.0
NOTHING: Final = Snapshot(Routing(mark="", champions={}, experiments=()))
# What was assigned last in a context, and to which unit.
last: Final[ContextVar[tuple[Assignment, Unit] | None]] = ContextVar("herdbook_last", default=None)
_remember: Final = last.set


def forget(model: str) -> None:
    """Remember no unit of a model whose last one takes no part: its results are nobody's."""
    found = last.get()
    if found is not None and found[0].model == model:
        _remember(None)


class Assigner:
    """Gives units their versions.

    Args:
        door: where to look.
        resolver: gives the champion of a model without experiments.
        interval: seconds between looks, above 0.
    """

    def __init__(
        self,
        door: Door,
        resolver: Callable[[str], Version],
        *,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self._door = door
        self._resolver = resolver
        self._interval = interval
        self._snapshot = NOTHING
        self._looked: float | None = None
        # Of models that were asked for; replaced whole when anything changes. A plain dict: asking
        # a read-only view of one takes 50 ns more.
        self.plans: dict[str, Plan] = {}
        self._starting = threading.Lock()
        self._looking = False
        self._stop = threading.Event()
        _ALL.add(self)

    def assign_variant(
        self,
        model: str,
        unit: Unit | None = None,
        *,
        user_id: Unit | None = None,
        attributes: Attributes | None = None,
    ) -> Assignment:
        """Give what a unit gets, and remember it in this context for results that name no unit.

        Args:
            model: its name.
            unit: the id of a user, a session, a machine: text, or a whole number for its digits.
            user_id: another name of it; give one of the two.
            attributes: what experiments may target.

        Raises:
            Invalid: it is no unit.
            NotFound: the model has neither an experiment nor a champion.
        """
        if user_id is not None:
            unit = _one(unit, user_id)
        try:
            plan = self.plans[model]
        except KeyError:
            plan = self.first(model)
        found = plan(unit, attributes)  # type: ignore[arg-type] # None is Invalid there
        if found.experiment:
            _remember((found, unit))  # type: ignore[arg-type] # it was assigned
        else:
            forget(model)
        return found

    def get_version_for_request(
        self, model: str, user_id: Unit, *, attributes: Attributes | None = None
    ) -> str:
        """Give the number of a unit's version."""
        return self.assign_variant(model, user_id, attributes=attributes).version

    def assign_many(
        self, model: str, units: Any, *, attributes: Sequence[Attributes] | None = None
    ) -> Any:
        """Give what each of many units gets, by one snapshot.

        Args:
            model: its name.
            units: a list or another iterable, or a numpy array of text or whole numbers.
            attributes: those of each unit, in the same order.

        Returns:
            Assignments in their order: a list, or for an array an array of its shape.
        """
        self._start()
        plan = self._snapshot.plans.get(model)
        # Not the plan of single units, which asks anew for each of them.
        plan = plan or assignment.always(_champion(model, self._resolver))
        return assignment.many(plan, units, attributes)

    def get_versions_for_requests(
        self, model: str, user_ids: Any, *, attributes: Sequence[Attributes] | None = None
    ) -> Any:
        """Give the numbers of many units' versions: a list, or for an array one of text."""
        return assignment.numbers(self.assign_many(model, user_ids, attributes=attributes))

    def holds(self, model: str) -> bool:
        """Whether assigning a model's units looks at nothing but memory."""
        return model in self.plans

    def prepare(self, model: str) -> None:
        """Look at the register now, so that no unit has to wait for it; NotFound."""
        self.first(model)
        # What everyone gets on the day the model's experiments are over.
        with contextlib.suppress(NotFound):
            _champion(model, self._resolver)

    def champion(self, model: str) -> str:
        """Give the number of a model's champion; NotFound when it has none."""
        if not self._looking:
            self._start()
        return self._snapshot.champions.get(model) or self._resolver(f"{model}@champion").number

    def phase(self, experiment: str) -> int:
        """Give the phase a live experiment is in; 1 for any other."""
        if not self._looking:
            self._start()
        return self._snapshot.phases.get(experiment, 1)

    @property
    def snapshot(self) -> Snapshot:
        """What units are assigned from, as the register said it last."""
        if not self._looking:
            self._start()
        return self._snapshot

    @property
    def staleness(self) -> float:
        """Seconds since what is held was last known to be true; 0 when nothing is held."""
        return 0.0 if self._looked is None else time.monotonic() - self._looked

    def refresh(self) -> None:
        """Look now."""
        began = time.monotonic()
        mark = self._snapshot.mark
        routing = self._door.call(Routing, "experiments.routing", mark=mark)
        # What was compiled stays while nothing changed; only a change is worth the work.
        changed = routing.mark != mark or self._looked is None
        snapshot = Snapshot(routing) if changed else self._snapshot
        with self._starting:
            if self._looked is not None and began < self._looked:
                return  # a look that began later came back first
            self._looked = began
            if changed:
                self._snapshot = snapshot
                self.plans = dict(snapshot.plans) if self._looking else {}

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def first(self, model: str) -> Plan:
        """Give the plan of a model: of its experiments, or its champion for everyone."""
        self._start()
        # Whoever replaces them meanwhile knows better than this.
        plans = self.plans
        if model not in plans:
            _champion(model, self._resolver)  # what has none is not held
            plans[model] = _of_champion(model, self._resolver)
        return plans[model]

    def _start(self) -> None:
        if self._looking:
            return
        if self._looked is None:
            self.refresh()
        elif self.staleness > self._interval:
            # Forked some time ago: what is held has aged since, and is still better than nothing.
            with contextlib.suppress(HerdbookError):
                self.refresh()
        with self._starting:
            if self._looking:
                return
            self._looking = True
            self.plans = dict(self._snapshot.plans)
            threading.Thread(
                target=_look,
                args=(weakref.ref(self), self._stop, self._interval),
                name="herdbook-assigning",
                daemon=True,
            ).start()

    def _forked(self) -> None:
        # A lock or an event may have been held by a thread that is not here.
        self._starting, stopped = threading.Lock(), self._stop.is_set()
        self._stop = threading.Event()
        if stopped:
            self._stop.set()
        self._looking, self.plans = False, {}


def _champion(model: str, resolver: Callable[[str], Version]) -> Assignment:
    return Assignment(model=model, version=resolver(f"{model}@champion").number)


def _of_champion(model: str, resolver: Callable[[str], Version]) -> Plan:
    """Give the plan of a model without experiments: its champion of that moment."""
    ref = f"{model}@champion"
    held: dict[str, Plan] = {}

    def plan(unit: Unit, attributes: Attributes | None) -> Assignment:
        number = resolver(ref).number
        known = held.get(number)
        if known is None:
            held.clear()
            known = held[number] = assignment.always(Assignment(model=model, version=number))
        return known(unit, attributes)

    return plan


def _one(unit: Unit | None, user_id: Unit) -> Unit:
    if unit is not None:
        raise Invalid("unit and user_id are the same; give one of them", field="unit")
    return user_id


def _look(assigner: "weakref.ref[Assigner]", stop: threading.Event, interval: float) -> None:
    while not stop.wait(interval):
        alive = assigner()
        if alive is None:
            return
        # When the register cannot be reached, what is held stays and `staleness` grows.
        with contextlib.suppress(HerdbookError):
            alive.refresh()
        del alive


_ALL: Final["weakref.WeakSet[Assigner]"] = weakref.WeakSet()


def _after_fork() -> None:
    for assigner in list(_ALL):
        assigner._forked()


# Asking for the process's number at every call would cost a third of the call.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
