"""Ids of documents as Qdrant's points have them: a UUID or an unsigned number."""

import re
import uuid
from typing import Final

from herdbook.errors import Invalid

PointId = int | str

_LARGEST: Final = 2**64 - 1
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,19}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIMIT: Final = 400
# Never to be changed: documents that are there would not be found again.
_NAMESPACE: Final = uuid.UUID("6f0c1c7e-3a5b-5d0e-9a53-2f1f6f8b7a41")


def point_id(text: str) -> PointId:
    """Give the point's id of a document's.

    A UUID or a number in the only way Qdrant writes it stays what it is, so that collections
    others made are read; anything else becomes a UUID of its text, which is kept beside it.

    Raises:
        Invalid: the text is no id.
    """
    own = native(text)
    if own is not None:
        return own
    if not 1 <= len(text) <= _LIMIT:
        raise Invalid(f"{text!r:.80} is no id: write 1 to {_LIMIT} characters", field="ids")
    try:
        return str(uuid.uuid5(_NAMESPACE, text))
    except UnicodeEncodeError:
        raise Invalid(f"{text!r:.80} is no id: it is no valid Unicode", field="ids") from None


def native(text: str) -> PointId | None:
    """Give the point's id of a text that already is one; None for all others."""
    if _UUID.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text) and int(text) <= _LARGEST:
        return int(text)
    return None


def order(point: PointId) -> tuple[int, str]:
    """Give what points are sorted by: numbers first, as Qdrant scrolls over them."""
    return (point, "") if isinstance(point, int) else (_LARGEST + 1, str(point))
