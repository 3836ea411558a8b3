"""Prometheus' rules as YAML: what it computes beside what it scrapes, and when it raises alerts."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Recorded:
    """A series that Prometheus computes.

    Args:
        name: of the series, `level:metric:operations`.
        expr: in PromQL.
    """

    name: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """When somebody is to be told.

    Args:
        name: in capital words.
        expr: in PromQL; each series that comes of it is an alert.
        lasts: how long it must hold, such as `5m`; "" for at once.
        severity: `critical`, `warning` or `info`.
        summary: what happened, in Prometheus' template language.
        description: what to do, likewise.
    """

    name: str
    expr: str
    lasts: str = ""
    severity: str
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[Recorded | Alert, ...]


def rules(groups: Sequence[Group]) -> dict[str, Any]:
    """Give rules as the object that Prometheus reads."""
    return {
        "groups": [
            {"name": group.name, "rules": [_rule(rule) for rule in group.rules]} for group in groups
        ]
    }


def rules_text(groups: Sequence[Group], *, heading: str = "") -> str:
    """Give rules as YAML.

    Args:
        groups: the rules.
        heading: a comment before them.

    Example:
        >>> print(rules_text([Group("drift", (Recorded("version:drift:avg", "avg(drift)"),))]))
        groups:
          - name: "drift"
            rules:
              - record: "version:drift:avg"
                expr: "avg(drift)"
        <BLANKLINE>
    """
    lines = [f"# {line}" for line in heading.splitlines()]
    return "\n".join([*lines, *_mapping(rules(groups))]) + "\n"


def _rule(rule: Recorded | Alert) -> dict[str, Any]:
    if isinstance(rule, Recorded):
        return {"record": rule.name, "expr": rule.expr}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **({"for": rule.lasts} if rule.lasts else {}),
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "description": rule.description},
    }


def _mapping(value: dict[str, Any]) -> Iterator[str]:
    for name, held in value.items():
        if isinstance(held, dict):
            yield f"{name}:"
            yield from (f"  {line}" for line in _mapping(held))
        elif isinstance(held, list):
            yield f"{name}:"
            yield from (f"  {line}" for line in _sequence(held))
        else:
            yield from _scalar(name, str(held))


def _scalar(name: str, text: str) -> Iterator[str]:
    if "\n" in text:
        yield f"{name}: |-"
        yield from (f"  {line}" for line in text.splitlines())
    else:
        # A JSON string is a YAML string, whatever is in it.
        yield f"{name}: {json.dumps(text, ensure_ascii=False)}"


def _sequence(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        for at, line in enumerate(_mapping(item)):
            yield f"{'  ' if at else '- '}{line}"
