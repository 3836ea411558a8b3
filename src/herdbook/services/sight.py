"""What of a version an actor is shown: parents in models they may not read are left out.

The digest stays that of all the facts: whoever may not read every parent cannot recompute it.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from herdbook.core.access import Action, Actor
from herdbook.core.models import Version
from herdbook.core.ports import Work
from herdbook.core.wire import dumps


def shown(work: Work, version: Version) -> Version:
    """Give a version as the actor may see it."""
    seen = tuple(p for p in version.facts.parents if _may(work.by, p.model))
    if len(seen) == len(version.facts.parents):
        return version
    return replace(version, facts=replace(version.facts, parents=seen))


def shown_text(work: Work, text: str) -> str:
    """Give the same from and as JSON text; decoded only for actors who do not see all."""
    if work.by.sees_all():
        return text
    return _without(work.by, text)


def _without(by: Actor, text: str) -> str:
    found = json.loads(text)
    return dumps(shown_body(by, found)) if _hides(by, found) else text


def shown_body(by: Actor, body: Mapping[str, object]) -> dict[str, Any]:
    """Give an object that holds facts somewhere, such as an event's body, likewise."""
    return {name: _shown(by, name, value) for name, value in body.items()}


def _shown(by: Actor, name: str, value: object) -> object:
    if name == "metadata":
        return value
    if name == "parents" and isinstance(value, list):
        return [parent for parent in value if _may(by, parent["model"])]
    return shown_body(by, value) if isinstance(value, Mapping) else value


def _hides(by: Actor, version: Mapping[str, Any]) -> bool:
    return not all(_may(by, parent["model"]) for parent in version["facts"]["parents"])


def _may(by: Actor, model: str) -> bool:
    return by.rank(model) >= Action.READ
