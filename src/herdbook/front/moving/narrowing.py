"""Searches that a filter narrows which the store does not know: more is asked until k pass."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from herdbook.core.vectors import Hit
from herdbook.errors import Invalid
from herdbook.front.moving.given import COUNT_LIMIT, count_of

_MORE: Final = 4


def narrowed(
    search: Callable[[int], list[Hit]], keep: Callable[[Hit], bool] | None, *, k: int
) -> list[Hit]:
    """Give the k nearest documents that pass a filter, nearest first; fewer only if no more do.

    Args:
        search: gives as many as it is asked for, nearest first, or all there are.
        keep: whether one passes; None for every one.
        k: how many.

    Raises:
        Invalid: fewer than k of the 10000 nearest pass, so that it cannot be told which k are.
    """
    if keep is None:
        return search(k)
    asked = count_of(k)
    while True:
        hits = search(asked)
        kept = [hit for hit in hits if keep(hit)][:k]
        if len(kept) == k or len(hits) < asked:
            return kept
        if asked == COUNT_LIMIT:
            raise Invalid(
                f"only {len(kept)} of the {asked:,} nearest documents pass the filter, and {k} "
                "are wanted; give what it selects a collection of its own",
                field="filter",
            )
        asked = min(asked * _MORE, COUNT_LIMIT)


def keeping(
    filter: Mapping[str, Any] | Callable[[Any], Any] | None, made: Callable[[Hit], Any]
) -> Callable[[Hit], bool] | None:
    """Give a filter of hits.

    Args:
        filter: what the metadata must equal, or a function of what is made of a hit.
        made: makes it.
    """
    if not filter:
        return None
    if callable(filter):
        return lambda hit: bool(filter(made(hit)))
    wanted = dict(filter)
    return lambda hit: all(hit.metadata.get(key) == value for key, value in wanted.items())


def refuse_more(name: str, given: Mapping[str, Any]) -> None:
    """Refuse arguments that another store knows and this one would pass over.

    Raises:
        Invalid: there are any.
    """
    if given:
        raise Invalid(f"{name} takes no {', '.join(sorted(given))}", field=min(given))
