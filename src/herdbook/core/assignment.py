"""Which version a unit gets: the same in every process, language and call, and cheap.

A unit is hashed four times at most, each time under a name and a salt of its own, so that who
takes part, who is held out, and which version one gets do not depend on each other. The rules and
the hash are specified in docs/assignment.md.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Final

from herdbook.core.routing import Routed, Routing
from herdbook.core.units import HASH_VERSION, Part, Unit, bytes_of, digest, limit, prefix
from herdbook.errors import Invalid, NotFound

CHAMPION: Final = "champion"

Attributes = Mapping[str, object]


class Reason(StrEnum):
    """Why a unit gets what it gets."""

    SPLIT = "split"
    CHAMPION = "champion"
    EXCLUDED = "excluded"
    HOLDOUT = "holdout"
    TARGETING = "targeting"
    COVERAGE = "coverage"
    PAUSED = "paused"
    HASH_VERSION = "hash_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a unit gets.

    Args:
        model: the model.
        version: the number to serve.
        variant: the arm that is served, or `champion` outside every experiment.
        experiment: the experiment the unit takes part in, or "": nothing is recorded for one.
        phase: the number of its phase, or 0.
        reason: why.
        shadow: the arm called beside the one served, or "".
        shadow_version: the number to call beside it, or "".
    """

    model: str
    version: str
    variant: str = CHAMPION
    experiment: str = ""
    phase: int = 0
    reason: Reason = Reason.CHAMPION
    shadow: str = ""
    shadow_version: str = ""

    @property
    def counted(self) -> str:
        """The arm whose results are recorded, or "": a shadow's in place of the served one's."""
        return (self.shadow or self.variant) if self.experiment else ""


Plan = Callable[[Unit, Attributes | None], Assignment]


class Snapshot:
    """The plans of the models that have experiments, made once from a routing.

    Args:
        routing: what the register says.
    """

    __slots__ = ("champions", "mark", "phases", "plans", "targeted")

    def __init__(self, routing: Routing) -> None:
        self.mark: Final = routing.mark
        self.champions: Final = MappingProxyType(dict(routing.champions))
        self.phases: Final = MappingProxyType({r.experiment: r.phase for r in routing.experiments})
        # The experiments that only those of some attributes take part in.
        self.targeted: Final = frozenset(r.experiment for r in routing.experiments if r.targeting)
        self.plans: Final[Mapping[str, Plan]] = MappingProxyType(_plans(routing))

    def assign(self, model: str, unit: Unit, attributes: Attributes | None = None) -> Assignment:
        """Give what a unit gets.

        Raises:
            Invalid: it is no unit.
            NotFound: the model has no experiment.
        """
        try:
            plan = self.plans[model]
        except KeyError:
            raise NotFound(f"{model} has no experiment") from None
        return plan(unit, attributes)


def always(assignment: Assignment) -> Plan:
    """Give the plan by which every unit gets the same."""

    def plan(unit: Unit, _attributes: Attributes | None) -> Assignment:
        bytes_of(unit)  # what is no unit here would be none on the day an experiment starts
        return assignment

    return plan


def _plans(routing: Routing) -> dict[str, Plan]:
    by_model: dict[str, list[Routed]] = {}
    for routed in routing.experiments:
        by_model.setdefault(routed.model, []).append(routed)
    return {
        model: _of_model(found, routing.champions.get(model) or found[0].arms[0].number)
        for model, found in by_model.items()
    }


def _of_model(experiments: Sequence[Routed], champion: str) -> Plan:
    """Give the plan of a model: its experiments', each for the units of its part.

    The register sees to it that live experiments of one model are of one group.
    """
    model = experiments[0].model
    outside = {
        reason: Assignment(model=model, version=champion, reason=reason) for reason in Reason
    }
    plans = [_of_experiment(routed, outside) for routed in experiments]
    if len(plans) == 1 and experiments[0].low <= 0 and experiments[0].high >= 1:
        return plans[0]
    return _of_parts(plans, experiments, outside[Reason.EXCLUDED])


def _of_parts(plans: Sequence[Plan], experiments: Sequence[Routed], excluded: Assignment) -> Plan:
    """Give the plan of experiments that have parts of a group's units, of one group.

    That a unit is not covered yet, held out, or its experiment paused passes it on to no other:
    widening or resuming one experiment takes no unit from another.
    """
    parts = sorted(
        (
            (limit(each.low), limit(each.high), plan)
            for each, plan in zip(experiments, plans, strict=True)
        ),
        key=lambda part: part[:2],
    )
    edges = [edge for low, high, _ in parts for edge in (low, high)]
    # Parts do not overlap: between two edges lies nobody's, then somebody's, then nobody's…
    owners = [None, *(owner for _, _, plan in parts for owner in (plan, None))]
    before = prefix(experiments[0].group, Part.EXCLUSION)

    def plan(unit: Unit, attributes: Attributes | None) -> Assignment:
        owner = owners[bisect_right(edges, digest(before + bytes_of(unit)))]
        return excluded if owner is None else owner(unit, attributes)

    return plan


Outside = Mapping[Reason, Assignment]


def _of_experiment(routed: Routed, outside: Outside) -> Plan:
    """Give the plan of an experiment for the units of its part."""
    if routed.hash_version != HASH_VERSION:
        # Taking part by another hash than other processes would mix the arms.
        return always(outside[Reason.HASH_VERSION])
    held, untargeted = outside[Reason.HOLDOUT], outside[Reason.TARGETING]
    uncovered = outside[Reason.COVERAGE if routed.running else Reason.PAUSED]
    below, covered = limit(routed.holdout), limit(routed.coverage) if routed.running else 0
    everyone = covered >= limit(1.0)
    before_holdout = prefix(routed.model, Part.HOLDOUT)
    before_coverage = prefix(routed.salt, Part.COVERAGE)
    before_variant = prefix(routed.salt, Part.VARIANT)
    targeting = {name: frozenset(values) for name, values in routed.targeting.items()}
    control, *treatments = _served(routed)
    # Treatments come first and control has the rest, whatever the coverage.
    bounds = [limit(share) for share in accumulate(arm.share for arm in routed.arms[1:])]
    last = bounds[-1]

    def plan(unit: Unit, attributes: Attributes | None) -> Assignment:
        # A call costs as much as a hash: the usual unit is encoded here, and nothing called twice.
        try:
            raw = unit.encode() if type(unit) is str and unit else bytes_of(unit)
        except UnicodeEncodeError:
            raw = bytes_of(unit)
        if below and digest(before_holdout + raw) < below:
            return held
        if targeting and not _targeted(targeting, attributes or {}):
            return untargeted
        if not everyone and digest(before_coverage + raw) >= covered:
            return uncovered
        hashed = digest(before_variant + raw)
        return control if hashed >= last else treatments[bisect_right(bounds, hashed)]

    return plan


def _served(routed: Routed) -> list[Assignment]:
    """Give what each arm's units get, control's first."""
    control = Assignment(
        model=routed.model,
        version=routed.arms[0].number,
        variant=routed.arms[0].name,
        experiment=routed.experiment,
        phase=routed.phase,
        reason=Reason.SPLIT,
    )
    if routed.shadow:
        beside = [
            replace(control, shadow=arm.name, shadow_version=arm.number) for arm in routed.arms[1:]
        ]
    else:
        beside = [replace(control, variant=arm.name, version=arm.number) for arm in routed.arms[1:]]
    return [control, *beside]


def _targeted(targeting: Mapping[str, frozenset[str]], attributes: Attributes) -> bool:
    return all(_text(attributes.get(name)) in values for name, values in targeting.items())


def _text(value: object) -> str | None:
    """Give an attribute as a plan writes it: `true`, `3`, `de`; None for what it cannot write."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


# --- batches ---


def many(plan: Plan, units: Any, attributes: Sequence[Attributes] | None = None) -> Any:
    """Give what each of many units gets.

    Args:
        plan: the model's.
        units: a list or another iterable, or a numpy array of text or whole numbers.
        attributes: those of each unit, in the same order.

    Returns:
        Assignments in their order: a list, or for an array an array of objects of its shape.
    """
    if isinstance(units, str | bytes):
        raise Invalid("units is one text; give a list of units", field="units")
    if not _is_array(units):
        return _each(plan, units, attributes)
    # Numpy comes with the array: nothing here imports it.
    flat = units.reshape(-1)
    given = flat.astype(object)
    given[:] = _each(plan, flat.tolist(), attributes)
    return given.reshape(units.shape)


def numbers(assignments: Any) -> Any:
    """Give the versions' numbers of what `many` gave: a list, or an array of text."""
    if not _is_array(assignments):
        return [each.version for each in assignments]
    given = assignments.reshape(-1).copy()
    given[:] = [each.version for each in given.tolist()]
    return given.astype(str).reshape(assignments.shape)


def _each(
    plan: Plan, units: Iterable[Unit], attributes: Sequence[Attributes] | None
) -> list[Assignment]:
    if attributes is None:
        return [plan(unit, None) for unit in units]
    listed = list(units)
    if len(attributes) != len(listed):
        raise Invalid(
            f"attributes has {len(attributes)} entries for {len(listed)} units; give one for each",
            field="attributes",
        )
    return [plan(unit, own) for unit, own in zip(listed, attributes, strict=True)]


def _is_array(units: Any) -> bool:
    kind = getattr(getattr(units, "dtype", None), "kind", "")
    if not kind or not hasattr(units, "reshape"):
        return False
    if kind not in "UTiuO":
        raise Invalid(
            f"units is an array of {units.dtype}; give one of text or whole numbers", field="units"
        )
    return True
