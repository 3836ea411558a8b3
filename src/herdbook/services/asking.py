"""Ask for a migration by model and versions, as the first seed does; it is planned, not run."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.documents import Collection
from herdbook.core.migrations import Migration
from herdbook.core.numbers import Number
from herdbook.core.pages import PAGE_LIMIT
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.errors import Conflict, NotFound
from herdbook.services import migrating

_TOLD: Final = 5


def migrate(
    work: Work,
    model: str,
    *,
    from_version: str,
    to_version: str,
    collection: str | None = None,
    dry_run: bool = False,
) -> Migration:
    """Begin the migration of a model's documents from a version to another: it is planned.

    The register runs no encoders: `herdbook documents migrate` carries the migration out, where
    the store and the models are.

    Args:
        work: the unit of work.
        model: whose versions embed.
        from_version: the version the documents are at: a number, by value, or as `@champion`.
        to_version: the version that is to embed them, likewise.
        collection: which collection, where several are at that version.
        dry_run: check everything and write nothing.

    Raises:
        NotFound: no collection of the model is at that version, or there is no such version.
        Conflict: several collections are, or a migration of the one is under way.
    """
    work.by.allow(Action.WRITE, names.model_name(model))
    work.models.get(model)
    number = _number(work, model, from_version)
    there = list(_candidates(work, model, collection))
    found = [each for each in there if _is_at(each, number)]
    if not found:
        raise NotFound(_told_none(model, number, there), field="from_version")
    if len(found) > 1:
        raise Conflict(
            f"{_listed(each.name for each in found)} are at {model}:{number.text}; say which is to "
            "be moved",
            field="collection",
        )
    return migrating.start(work, found[0].name, to_version=to_version, dry_run=dry_run)


def _number(work: Work, model: str, version: str) -> Number:
    if version.startswith("@"):
        return Number(work.versions.get(VersionRef(model, alias=version[1:])).number)
    return Number(version)


def _candidates(work: Work, model: str, collection: str | None) -> Iterator[Collection]:
    if collection is not None:
        found = work.documents.get(names.key(collection, field="collection"))
        if found.model != model:
            raise NotFound(
                f"{found.name} is embedded by {found.model}, not by {model}", field="collection"
            )
        yield found
        return
    token: str | None = None
    while True:
        page = work.documents.page(model=model, size=PAGE_LIMIT, page=token)
        yield from page.items
        token = page.next
        if token is None:
            return


def _is_at(found: Collection, number: Number) -> bool:
    space = found.home.space
    return space is not None and Number(space.number) == number


def _told_none(model: str, number: Number, there: Sequence[Collection]) -> str:
    if not there:
        return (
            f"no collection of {model} is registered; `herdbook documents adopt` registers one "
            "that is there"
        )
    at = (
        f"{each.name} is at {each.home.space.number}"
        if each.home.space
        else f"nobody knows what embedded {each.name}"
        for each in there
    )
    return f"no collection of {model} is at {number.text}: {_listed(at)}"


def _listed(found: Iterable[str]) -> str:
    told = list(found)
    more = [f"{len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return ", ".join(told[:_TOLD] + more)
