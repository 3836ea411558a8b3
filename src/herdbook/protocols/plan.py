"""What of a foreign registry shall be registered, in which order, and where it shall serve."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from herdbook.core import names
from herdbook.core.evaluations import metric_name, metric_value
from herdbook.core.models import Facts, FileLocation, Status, Training
from herdbook.core.numbers import NUMBER_LIMIT, Number
from herdbook.errors import Invalid

TRAINING = frozenset(Training.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model to be registered when it is not there.

    Args:
        name: its name.
        about: the words of `book.models.create`.
        place: where the file says so.
    """

    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A version to be registered when it is not there.

    Args:
        model: its model's name.
        number: its number here.
        facts: the words of `book.models.register`; its status is where its life begins.
        parents: references it must have as parents.
        hints: references that are parents if there is such a version.
        ends: deprecated or archived, when it shall end there.
        place: where the file says so.
    """

    model: str
    number: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    ends: Status | None = None
    place: str = ""

    @property
    def ref(self) -> str:
        """`model:number`."""
        return f"{self.model}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything to be done, checked.

    Args:
        source: the name of the kind of registry.
        models: the models.
        versions: parents before children.
        serving: references to promote, one after another; the last of a model stays champion.
        notes: what could not be taken as it was; one sentence each.
    """

    source: str
    models: tuple[PlannedModel, ...]
    versions: tuple[Planned, ...]
    serving: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan(
    source: str,
    models: Iterable[PlannedModel],
    versions: Iterable[Planned],
    *,
    serving: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> Plan:
    """Check and order what was read.

    Raises:
        Invalid: naming the place of a fact that cannot be.
    """
    owners, found = tuple(models), list(versions)
    for model in owners:
        _placed(_check_model, model)
    for version in found:
        _placed(_check_version, version)
    return Plan(
        source=source,
        models=owners,
        versions=tuple(_parents_first(found)),
        serving=tuple(serving),
        notes=tuple(notes),
    )


def _placed(check: Any, planned: Planned | PlannedModel) -> None:
    try:
        check(planned)
    except Invalid as error:
        place = ".".join(part for part in (planned.place, error.field) if part)
        raise Invalid(f"{place}: {error.message}", field=place) from error


def _check_model(model: PlannedModel) -> None:
    names.model_name(model.name, field="")
    about = model.about
    names.optional_line(about.get("type", ""), field="type", limit=names.ALIAS_LIMIT)
    names.optional_line(about.get("owner", ""), field="owner")
    names.prose(about.get("description", ""), field="description")
    names.prose(about.get("notes", ""), field="notes")
    names.tags(about.get("tags", {}))
    names.metadata(about.get("metadata", {}))


def _check_version(version: Planned) -> None:
    facts = version.facts
    Number(version.number)
    names.prose(facts.get("description", ""), field="description")
    names.prose(facts.get("notes", ""), field="notes")
    names.tags(facts.get("tags", {}))
    Facts(
        training=Training(**{k: v for k, v in facts.items() if k in TRAINING}),
        files=tuple(
            FileLocation(role=role, location=location)
            for role, where in facts.get("files", {}).items()
            for location in where
        ),
        datasets=tuple(facts.get("training_data", ())),
        dependencies=tuple(facts.get("dependencies", ())),
        metadata=facts.get("metadata", {}),
        git_commit=facts.get("git_commit", ""),
    )
    _check_metrics(facts.get("metrics", {}))


def _check_metrics(given: Mapping[str, float]) -> None:
    spelled: dict[str, str] = {}
    for name, value in given.items():
        metric_value(value, metric=metric_name(name))
        first = spelled.setdefault(metric_name(name), name)
        if first != name:
            raise Invalid(f"{first} and {name} are one metric; keep one", field="metrics")


def _parents_first(versions: Sequence[Planned]) -> list[Planned]:
    waiting = {version.ref: version for version in versions}
    ordered: list[Planned] = []
    for version in versions:
        path: list[Planned] = [version]
        while path:
            child = path[-1]
            parent = next((r for r in (*child.parents, *child.hints) if r in waiting), None)
            if parent is None or child.ref not in waiting:
                path.pop()
                if waiting.pop(child.ref, None) is not None:
                    ordered.append(child)
                continue
            _refuse_cycle(path, parent)
            path.append(waiting[parent])
    return ordered


def _refuse_cycle(path: list[Planned], parent: str) -> None:
    refs = [version.ref for version in path]
    if parent in refs:
        ring = " from ".join([*refs[refs.index(parent) :], parent])
        raise Invalid(f"{path[-1].place}: {ring}: a version cannot come from itself")


def numbers(texts: Iterable[str], *, model: str) -> tuple[dict[str, str], list[str]]:
    """Give each foreign number the nearest legal one, no two the same, and notes on changes.

    Example:
        >>> numbers(["v1", "v2b", "experimental"], model="majora")[0]
        {'v1': 'v1', 'v2b': 'v2-b', 'experimental': 'v0-experimental'}
    """
    given = list(dict.fromkeys(texts))
    # Those that are legal keep their numbers, whatever the others become.
    order = sorted(given, key=lambda text: nearest(text) != text)
    taken: dict[Number, str] = {}
    found: dict[str, str] = {}
    for text in order:
        number = _free(nearest(text), taken)
        taken[Number(number)] = text
        found[text] = number
    changed = [text for text in given if found[text] != text]
    said = [f"{model} {text} is not a number here or is taken; it is {found[text]}."
            for text in changed]  # fmt: skip
    return {text: found[text] for text in given}, said


def _free(number: str, taken: Mapping[Number, str]) -> str:
    free, count = number, 1
    while Number(free) in taken:
        count += 1
        free = f"{number}{'.' if '-' in number else '-'}{count}"
    return free


_HEAD = re.compile(r"(?P<head>[vV]?\d{1,15}(?:\.\d{1,15}){0,2})(?![0-9])(?P<rest>.*)\Z", re.DOTALL)


def nearest(text: str) -> str:
    """Give the legal number nearest to a text.

    Example:
        >>> nearest("v2b"), nearest("1.0.0+cpu"), nearest("latest")
        ('v2-b', '1.0.0-cpu', 'v0-latest')
    """
    try:
        return Number(text).text
    except Invalid:
        pass
    shape = _HEAD.match(text.strip())
    head, rest = (shape["head"], shape["rest"]) if shape else ("v0", text)
    rest = re.sub(r"\.{2,}", ".", re.sub(r"[^0-9A-Za-z.-]+", "-", rest)).strip("-.")
    number = f"{head}-{rest or 'unnamed'}" if rest or not shape else head
    return number[: NUMBER_LIMIT - 10].rstrip("-.")
