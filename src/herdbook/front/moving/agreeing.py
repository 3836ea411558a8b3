"""Several writers of the same documents while they lie at two places: in the end both say the same.

Each writer writes one place after the other. Two of them may pass each other in between, and each
be the last one at one place.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from herdbook.core import stamps
from herdbook.core.vectors import Place, Vectors
from herdbook.errors import NotFound, Unavailable

_ROUNDS: Final = 10
_WAIT_SECONDS: Final = 0.01
_AT_ONCE: Final = 500


def agreed(
    store: Vectors,
    places: Sequence[Place],
    ids: Sequence[str],
    again: Callable[[Sequence[str]], None],
) -> None:
    """Write documents again until every place says the same of them.

    Args:
        store: holds them.
        places: where they were just written, or deleted.
        ids: which ones.
        again: writes, or deletes, some of them everywhere once more.

    Raises:
        Unavailable: others write the same all the time.
    """
    left = list(ids)
    for turn in range(_ROUNDS):
        left = _mixed(store, places, left)
        if not left:
            return
        # Who passed this one by may be about to see it, too.
        time.sleep(random.random() * _WAIT_SECONDS * 2**turn)  # noqa: S311 - not for secrets
        left = _mixed(store, places, left)
        if left:
            again(left)
    if _mixed(store, places, left):
        raise Unavailable(
            f"others write {left[0]!r:.60} all the time, so that its two places differ while it "
            "is being moved; write it again"
        )


def _mixed(store: Vectors, places: Sequence[Place], ids: Sequence[str]) -> list[str]:
    """Give those that are not the same everywhere; of a place that is gone none are."""
    found: list[str] = []
    for at in range(0, len(ids), _AT_ONCE):
        part = ids[at : at + _AT_ONCE]
        try:
            said = [_contents(store, place, part) for place in places]
        except NotFound:
            return []
        found += [id for id in part if len({each.get(id) for each in said}) > 1]
    return found


def _contents(store: Vectors, place: Place, ids: Sequence[str]) -> dict[str, str]:
    batch = store.fetch(place, ids)
    said = (str(metadata.get(stamps.CONTENT) or "") for metadata in batch.metadata)
    return dict(zip(batch.ids, said, strict=True))
