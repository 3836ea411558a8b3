"""Who came from whom, and on which data."""

from collections.abc import Iterable

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.lineage import DEPTH_LIMIT, DataLineage, Dataset, Pedigree, Relative
from herdbook.core.models import Version
from herdbook.core.pages import PAGE_DEFAULT, PAGE_LIMIT, Page, page_position, page_token
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.errors import Invalid
from herdbook.services import versions


def ancestors(
    work: Work,
    ref: str | VersionRef,
    *,
    depth: int = DEPTH_LIMIT,
    page_size: int = PAGE_LIMIT,
    page: str | None = None,
) -> Page[Relative]:
    """Give the versions this one came from, nearest first."""
    return _page(work, versions.get(work, ref), _depth(depth), page_size, page, down=False)


def descendants(
    work: Work,
    ref: str | VersionRef,
    *,
    depth: int = DEPTH_LIMIT,
    page_size: int = PAGE_LIMIT,
    page: str | None = None,
) -> Page[Relative]:
    """Give the versions that came from this one, nearest first."""
    return _page(work, versions.get(work, ref), _depth(depth), page_size, page, down=True)


def _page(
    work: Work, version: Version, depth: int, size: int, page: str | None, *, down: bool
) -> Page[Relative]:
    shape = f"{'descendants' if down else 'ancestors'} {version.ref} {depth}"
    position = page_position(page, shape=shape, kinds=(int,))
    skip, size = int(str(position[0])) if position else 0, checked_size(size)
    found = work.lineage.nearest(version, down=down, depth=depth, skip=skip, size=size + 1)
    items = _visible(work, found[:size])
    return Page(items, page_token(shape, [skip + size]) if len(found) > size else None)


def _visible(work: Work, relatives: Iterable[Relative]) -> tuple[Relative, ...]:
    items = tuple(relatives)
    if work.by.sees_all():
        return items
    return tuple(r for r in items if work.by.rank(r.model) >= Action.READ)


def _depth(given: int) -> int:
    if isinstance(given, bool) or not 1 <= given <= DEPTH_LIMIT:
        raise Invalid(f"depth is {given}; it must be 1 to {DEPTH_LIMIT:,}", field="depth")
    return given


def pedigree(work: Work, model: str) -> Pedigree:
    """Give all versions of a model, their direct relatives elsewhere and the steps between."""
    work.by.allow(Action.READ, names.model_name(model))
    work.models.get(model)
    return work.lineage.of_model(model)


def around(work: Work, ref: str | VersionRef, *, depth: int = DEPTH_LIMIT) -> Pedigree:
    """Give a version with its ancestors and descendants and the steps between them."""
    found = versions.get(work, ref)
    relatives = [
        *_visible(work, work.lineage.ancestors(found, depth=_depth(depth))),
        *_visible(work, work.lineage.descendants(found, depth=depth)),
    ]
    return work.lineage.among(
        [(found.model, found.number), *((r.model, r.number) for r in relatives)]
    )


def data(work: Work, ref: str | VersionRef) -> DataLineage:
    """Give every data set a version learned from, itself or through its ancestors."""
    found = versions.get(work, ref)
    sources = {found.ref: found.facts.datasets} if found.facts.datasets else {}
    relatives = _visible(work, work.lineage.ancestors(found, depth=DEPTH_LIMIT))
    nodes = work.lineage.among([(r.model, r.number) for r in relatives]).nodes
    own = {node.ref: node.datasets for node in nodes}
    sources |= {r.ref: own[r.ref] for r in relatives if own.get(r.ref)}
    return DataLineage(ref=found.ref, sources=sources)


def datasets(
    work: Work, *, page_size: int = PAGE_DEFAULT, page: str | None = None
) -> Page[Dataset]:
    """Give the data sets versions were trained on, by name."""
    return work.lineage.datasets(size=checked_size(page_size), page=page)
