"""OFREP 0.3.0, the OpenFeature Remote Evaluation Protocol: assignments and refusals as its JSON.

A flag is a model and its value the number of the version that a unit gets; the request does not
say which type a program wants of it, so it is always text.

Specification: https://openfeature.dev/docs/reference/other-technologies/ofrep/
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from herdbook.core.assignment import Assignment, Reason
from herdbook.core.units import HASH_VERSION, Unit

# What a bulk evaluation answers at most; single ones have no limit.
BULK_LIMIT: Final = 1_000

Json = dict[str, object]


class Why(StrEnum):
    """Why a flag has its value, in OpenFeature's words."""

    STATIC = "STATIC"
    SPLIT = "SPLIT"
    TARGETING_MATCH = "TARGETING_MATCH"
    DISABLED = "DISABLED"


class Fault(StrEnum):
    """Why a flag has no value, in OpenFeature's words."""

    PARSE_ERROR = "PARSE_ERROR"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    GENERAL = "GENERAL"


@dataclass(frozen=True, slots=True)
class Context:
    """Whom a flag is evaluated for.

    Args:
        unit: the targeting key; None when none was given.
        attributes: everything else.
    """

    unit: Unit | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


def why(found: Assignment, *, targeted: bool) -> Why:
    """Give the reason of an assignment.

    Args:
        found: what the unit gets.
        targeted: whether only units of some attributes take part in its experiment.
    """
    if found.reason is Reason.SPLIT:
        return Why.TARGETING_MATCH if targeted else Why.SPLIT
    return Why.DISABLED if found.reason is Reason.PAUSED else Why.STATIC


def metadata(found: Assignment) -> dict[str, bool | int | float | str]:
    """Give what is said of an assignment beside its version; nothing outside experiments."""
    if not found.experiment:
        return {}
    return {
        "experiment": found.experiment,
        "phase": found.phase,
        "hash_version": HASH_VERSION,
    }


def success(found: Assignment, *, targeted: bool) -> Json:
    """Give an assignment as an evaluated flag."""
    return {
        "key": found.model,
        "value": found.version,
        "reason": why(found, targeted=targeted),
        # Optional by the specification, and a client of OpenFeature's own fails without it.
        "variant": found.variant,
        "metadata": metadata(found),
    }


def failure(key: str | None, fault: Fault, details: str) -> Json:
    """Give a refusal: of one flag, or without a key of a bulk evaluation."""
    said: Json = {} if key is None else {"key": key}
    return {**said, "errorCode": fault, "errorDetails": details}


def keyless(key: str) -> Json:
    """Give the refusal of a model whose experiment cannot be decided without a unit."""
    return failure(key, Fault.TARGETING_KEY_MISSING, no_key(key))


def no_key(model: str) -> str:
    """Say that a unit is needed."""
    return f"{model} has an experiment: give targetingKey, the id of a user, a session, a machine"


def no_flag(key: str) -> str:
    """Say that there is nothing to give."""
    return f"{key[:200]!r} is no model that has a champion or an experiment"


def bulk(flags: Iterable[Json], *, left_out: bool) -> Json:
    """Give evaluated and refused flags as one answer.

    Args:
        flags: in their order.
        left_out: whether there are more than are answered at once.
    """
    said: Json = {"flags": list(flags)}
    return {**said, "metadata": {"left_out": True}} if left_out else said


def refusal(key: str | None, status: int, details: str, *, field: str = "") -> tuple[int, Json]:
    """Give a problem of the server in OFREP's words, and its status there.

    Args:
        key: the flag; None for a bulk evaluation.
        status: the HTTP status of the problem.
        details: what it says.
        field: the part of the request at fault.
    """
    if status in {404, 410}:
        return 404, failure(key, Fault.FLAG_NOT_FOUND, details)
    if status in {400, 415, 422}:
        about_context = field.partition(".")[0] in {"context", "unit"}
        fault = Fault.INVALID_CONTEXT if about_context else Fault.PARSE_ERROR
        return 400, failure(key, fault, details)
    return status, failure(key, Fault.GENERAL, details)
