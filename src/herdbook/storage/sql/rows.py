"""What rows hold beside texts and numbers: times and tombstones."""

import json
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Give a time as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def moment(count: int) -> datetime:
    """Give microseconds since 1970 as a time."""
    return _EPOCH + timedelta(microseconds=count)


def tombstone(text: str) -> str:
    """Say of something deleted when, by whom and why."""
    gone = json.loads(text)
    why = f": {gone['reason']}" if gone["reason"] else ""
    return f"on {gone['at'][:10]} by {gone['by']}{why}"
