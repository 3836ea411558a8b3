"""Moving a register out and in: one file of JSON lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FORMAT = "herdbook-export"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What an import did.

    Args:
        counts: how many of each kind of thing were taken.
        notes: what could not be taken as it was, and what became of it; one sentence each.
        dry_run: whether nothing was written.
    """

    counts: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())
    dry_run: bool = False
