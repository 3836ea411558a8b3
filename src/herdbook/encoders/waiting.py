"""How long to wait before a service is asked again, and when to give up."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Beside the waits, what a request may take is bounded by its own deadline.
LONGEST_SECONDS = 120.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """A bounded number of tries, further and further apart.

    Args:
        tries: how often a request is made at most.
        first_seconds: the longest wait before the second try; it doubles with each.
        cap_seconds: what it does not exceed.
        longest_seconds: a wait that a service asks for and that is longer is not waited for.
        sleep: waits.
        rng: spreads the waits, so that many workers do not come back at one time.
        now: reads the clock.
    """

    tries: int = 6
    first_seconds: float = 0.5
    cap_seconds: float = 30.0
    longest_seconds: float = LONGEST_SECONDS
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)
    now: Callable[[], datetime] = _now

    def seconds(self, tried: int, *, asked: float = 0.0) -> float | None:
        """Give how long to wait after so many tries; None to give up.

        Args:
            tried: at least 1.
            asked: what the service asks to wait at least.
        """
        if tried >= self.tries or asked > self.longest_seconds:
            return None
        most = min(self.cap_seconds, self.first_seconds * 2 ** (tried - 1))
        # The upper half of it: waits that are never near 0, and never all the same.
        return asked + self.rng.uniform(most / 2, most)

    def asked_for(self, header: str | None) -> float:
        """Read what `Retry-After` says, seconds or a date; 0 where it says nothing readable.

        Example:
            >>> Patience().asked_for("7")
            7.0
        """
        if not header:
            return 0.0
        text = header.strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return 0.0
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - self.now()).total_seconds())
