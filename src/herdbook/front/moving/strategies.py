"""Strategies: what is to be done with documents from a version to another; the seeds' names."""

import functools
import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from herdbook.core import stamps
from herdbook.core.migrations import Step, Way
from herdbook.core.numbers import Number
from herdbook.core.stamps import Metadata
from herdbook.core.wire import time_text
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.services import paths
from herdbook.services.paths import Edge

Change = Callable[[Metadata], Metadata]

_NOWHERE: Final = "__main__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What `migrate_documents_metadata` did, or would do.

    Args:
        changed: how many documents are changed.
        failed: those that cannot be, by their place in what was given, and why.
        examples: the first ten, as they become.
        documents: all of them, as they become; empty in a dry run.
    """

    changed: int
    failed: Mapping[str, str]
    examples: tuple[Metadata, ...]
    documents: tuple[Metadata, ...]


class Strategies:
    """The strategies of this process, by model.

    A function is kept by its name and a digest of its code: a migration that was begun with it
    goes on only with the same code.
    """

    def __init__(self) -> None:
        self._edges: dict[str, list[Edge]] = {}
        self._functions: dict[str, Change] = {}

    def register_strategy(
        self,
        model_name: str,
        from_version: str,
        to_version: str,
        migration_fn: Change | None = None,
        *,
        way: Way | str = Way.METADATA,
        back: Change | None = None,
    ) -> None:
        """Say how documents get from a version to another.

        Args:
            model_name: the model.
            from_version: the number they are at.
            to_version: the number they get to.
            migration_fn: takes a document's metadata and gives what it becomes; left out, it
                stays.
            way: `metadata` (the vectors stay), `identity` (both versions embed into one space),
                `reembed`, or `adapter` (a map takes queries of `to_version` to vectors of
                `from_version`, see `build_bridge`; no document is moved along it).
            back: the function of the way back; left out, metadata cannot go back.

        Raises:
            Invalid: the numbers are one, or there is such a strategy already.
        """
        way = Way(way)
        there = self._step(from_version, to_version, way, migration_fn)
        self._add(model_name, there)
        if back is not None or way in (Way.IDENTITY, Way.REEMBED):
            self._add(model_name, self._step(to_version, from_version, way, back))

    def _step(self, from_version: str, to_version: str, way: Way, change: Change | None) -> Step:
        if Number(from_version) == Number(to_version):
            raise Invalid(f"{from_version} and {to_version} are one version", field="to_version")
        if change is None:
            return Step(from_version=from_version, to_version=to_version, way=way)
        name = f"{change.__module__}:{change.__qualname__}"
        self._functions[name] = change
        return Step(
            from_version=from_version,
            to_version=to_version,
            way=way,
            function=name,
            fingerprint=code_digest(change),
        )

    def _add(self, model: str, step: Step) -> None:
        known = self._edges.setdefault(model, [])
        if any(_ends(each) == _ends(step) for each in known):
            raise Invalid(
                f"there is a strategy from {step.from_version} to {step.to_version} of {model} "
                "already",
                field="to_version",
            )
        known.append(step)

    def edges(self, model_name: str) -> Sequence[Edge]:
        """Give the steps there are of a model."""
        return tuple(self._edges.get(model_name, ()))

    def find_migration_path(
        self, model_name: str, from_version: str, to_version: str
    ) -> tuple[Step, ...]:
        """Give the cheapest way, forwards or back: by work first, then by steps.

        Raises:
            NotFound: there is none; says where the strategies there are lead.
        """
        return paths.cheapest(self.edges(model_name), from_version, to_version, model=model_name)

    def can_migrate(self, model_name: str, from_version: str, to_version: str) -> bool:
        """Whether there is a way; `find_migration_path` says why there is none."""
        try:
            self.find_migration_path(model_name, from_version, to_version)
        except NotFound:
            return False
        return True

    def migrate(
        self, model_name: str, from_version: str, to_version: str, data: Mapping[str, Any]
    ) -> Metadata:
        """Take one document's metadata along the cheapest way, history included.

        Raises:
            NotFound: there is none.
            Conflict: the way embeds anew, which metadata alone cannot.
        """
        steps = self.find_migration_path(model_name, from_version, to_version)
        if any(step.way is Way.REEMBED for step in steps):
            raise Conflict(
                f"from {from_version} to {to_version} documents are embedded anew; move the "
                "collection with `book.documents.migrate`",
                field="to_version",
            )
        return self._moved(data, steps, datetime.now(UTC))

    def _moved(self, data: Mapping[str, Any], steps: Sequence[Step], at: datetime) -> Metadata:
        nested = not isinstance(data.get(stamps.HISTORY), str)
        changed = self.changed(dict(data), steps)
        history = [*stamps.history_of(data), *told(steps, at)]
        changed[stamps.VERSION] = steps[-1].to_version if steps else data.get(stamps.VERSION)
        changed[stamps.HISTORY] = history if nested else stamps.history_text(history)
        return changed

    def migrate_documents_metadata(
        self,
        model_name: str,
        from_version: str,
        to_version: str,
        documents: Iterable[Mapping[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Rehearsed:
        """Take many documents' metadata along; those at another version stay as they are.

        Args:
            model_name: the model.
            from_version: the number they are at.
            to_version: the number they get to.
            documents: their metadata; they are not changed in place.
            dry_run: say what would become of them, and give none back.
        """
        steps = self.find_migration_path(model_name, from_version, to_version)
        if any(step.way is Way.REEMBED for step in steps):
            raise Conflict("the way embeds anew; move the collection", field="to_version")
        at = datetime.now(UTC)
        given, failed, moved = [], {}, 0
        for place, each in enumerate(documents):
            if not _is_at(each, from_version):
                given.append(dict(each))
                continue
            try:
                given.append(self._moved(each, steps, at))
                moved += 1
            except Invalid as wrong:
                failed[str(place)] = wrong.message
                given.append(dict(each))
        kept = () if dry_run else tuple(given)
        return Rehearsed(changed=moved, failed=failed, examples=tuple(given[:10]), documents=kept)

    def changed(self, metadata: Metadata, steps: Sequence[Step]) -> Metadata:
        """Pass metadata through the functions of a path, one after the other.

        Raises:
            Invalid: one of them failed, or gave no metadata; says which and why.
        """
        for step in steps:
            if not step.function:
                continue
            metadata = _applied(self.function(step), step, metadata)
        return metadata

    def function(self, step: Step) -> Change:
        """Give the function of a step, imported when it was not registered here.

        Raises:
            NotFound: it is not there.
            Conflict: its code is not what the migration was begun with.
        """
        found = self._functions.get(step.function) or _imported(step.function)
        if code_digest(found) != step.fingerprint:
            raise Conflict(
                f"{step.function} is not the code this migration was begun with; bring that back, "
                "or roll the migration back and start another",
                field="function",
            )
        self._functions[step.function] = found
        return found

    def names(self, steps: Sequence[Step]) -> tuple[str, ...]:
        """Name the functions of a path that no other process could import."""
        here = (step.function for step in steps if step.function)
        return tuple(
            name for name in here if name.startswith(f"{_NOWHERE}:") or "<" in name.split(":")[1]
        )


def _ends(step: Step) -> tuple[Number, Number, bool]:
    """Tell steps apart; what queries go along may lie beside what documents do."""
    return Number(step.from_version), Number(step.to_version), step.way is Way.ADAPTER


def _is_at(metadata: Mapping[str, Any], version: str) -> bool:
    said = metadata.get(stamps.VERSION)
    try:
        return said is None or Number(str(said)) == Number(version)
    except Invalid:
        return False


def told(steps: Sequence[Step], at: datetime) -> list[dict[str, str]]:
    """Give what a path adds to the history of a document."""
    return [
        {
            "from_version": step.from_version,
            "to_version": step.to_version,
            "migrated_at": time_text(at),
        }
        for step in steps
    ]


def _applied(change: Change, step: Step, metadata: Metadata) -> Metadata:
    try:
        given = change(dict(metadata))
    except Exception as error:
        raise Invalid(
            f"{step.function} failed: {type(error).__name__}: {error}"[:400], field="metadata"
        ) from error
    if not isinstance(given, Mapping):
        raise Invalid(
            f"{step.function} gave {type(given).__name__}; it must give the metadata back",
            field="metadata",
        )
    return dict(given)


def _imported(name: str) -> Change:
    module, _, path = name.partition(":")
    try:
        found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as missing:
        raise NotFound(
            f"the strategy {name} is not there ({missing}); register it, or put its module where "
            "Python finds it",
            field="function",
        ) from None
    change: Change = found
    return change


def code_digest(function: Change) -> str:
    """Digest the code of a function: 32 hexadecimal digits of BLAKE2b over its source text.

    Where there is no source, over its byte code and constants. What it calls is not looked at.
    """
    try:
        said = inspect.getsource(function).encode()
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        said = repr((code.co_code, code.co_consts)).encode() if code else repr(function).encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()
