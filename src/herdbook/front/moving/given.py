"""What a caller of an open collection gives, checked before anything is written or asked."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from herdbook.core import stamps
from herdbook.core.spaces import Space
from herdbook.core.vectors import Batch
from herdbook.encoders.limits import refusal
from herdbook.encoders.measuring import checked
from herdbook.errors import Invalid

TEXT_LIMIT: Final = 100_000
COUNT_LIMIT: Final = 10_000


def batch_of(
    texts: Sequence[str],
    ids: Sequence[str] | None,
    metadata: Sequence[Mapping[str, Any]] | None,
) -> Batch:
    """Put documents side by side, stamps that were given left out.

    Raises:
        Invalid: what was given does not belong together, or a text cannot be embedded.
    """
    if isinstance(texts, str):
        raise Invalid("give a list of texts, not one text", field="texts")
    held = list(texts)
    names: list[Any] = [uuid.uuid4().hex for _ in held] if ids is None else list(ids)
    about = [{} for _ in held] if metadata is None else [dict(each) for each in metadata]
    if not len(held) == len(names) == len(about):
        raise Invalid(
            f"there are {len(held)} texts, {len(names)} ids and metadata of {len(about)}; give one "
            "of each for every document",
            field="ids",
        )
    if len(set(names)) != len(names):
        raise Invalid("an id is given twice", field="ids")
    for id, text in zip(names, held, strict=True):
        if not isinstance(id, str) or not 1 <= len(id) <= 400:
            raise Invalid(f"{id!r:.60} is no id: a text of 1 to 400 characters", field="ids")
        reason = refusal(text, limit=TEXT_LIMIT)
        if reason:
            raise Invalid(f"{id!r:.60} cannot be embedded: {reason}", field="texts")
    own = [stamps.unstamped(each) for each in about]
    return Batch(names, list(held), own)


def vectors_of(given: Any, count: int, space: Space) -> Any:
    """Give a caller's vectors as a store takes them.

    Raises:
        Conflict: another number of them, or of another dimension than the space has.
        Invalid: one is not finite or has no length.
    """
    return checked(
        given,
        count=count,
        dimension=space.dimension,
        normalize=space.normalized,
        name="the caller",
    )


def count_of(k: int) -> int:
    """Give how many documents are asked for.

    Raises:
        Invalid: it is no number of documents.
    """
    if type(k) is not int or not 1 <= k <= COUNT_LIMIT:
        raise Invalid(f"k is {k!r:.20}; ask for 1 to {COUNT_LIMIT} documents", field="k")
    return k
