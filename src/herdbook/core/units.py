"""A unit (a user, a session, a machine) as a number: what it is hashed as, and how.

The hash is XXH3-64 of UTF-8 text, specified for other languages in docs/assignment.md. Changing
anything of it means another `HASH_VERSION`.
"""

import operator
from enum import StrEnum
from typing import Final

from xxhash import xxh3_64_intdigest

from herdbook.errors import Invalid

HASH_VERSION: Final = 1
digest: Final = xxh3_64_intdigest
# A bucket is the upper half of a hash: 0 to 2**32 - 1.
BUCKETS: Final = 1 << 32

Unit = str | int


class Part(StrEnum):
    """What a hash decides; it stands in what is hashed."""

    EXCLUSION = "exclusion"
    HOLDOUT = "holdout"
    COVERAGE = "coverage"
    VARIANT = "variant"


def hash_of(unit: Unit) -> int:
    """Give the 64-bit hash by which a unit is known where results are recorded.

    Example:
        >>> f"{hash_of('user123'):016x}"
        '6f3bae88a40b238c'
    """
    return digest(bytes_of(unit))


def bucket(salt: str, part: Part, unit: Unit) -> int:
    """Give the bucket of a unit, 0 to 2**32 - 1.

    Example:
        >>> bucket("gnn", Part.HOLDOUT, "user123")
        726231749
    """
    return digest(prefix(salt, part) + bytes_of(unit)) >> 32


def threshold(share: float) -> int:
    """Give how many of the buckets a share of 0 to 1 has, to the nearest.

    Example:
        >>> threshold(0.1), threshold(1.0) == BUCKETS
        (429496730, True)
    """
    return int(share * BUCKETS + 0.5)


def limit(share: float) -> int:
    """Give what a whole hash lies below exactly when its bucket lies below the threshold."""
    return threshold(share) << 32


def prefix(salt: str, part: Part) -> bytes:
    """Give what stands before the unit in what is hashed."""
    return f"{salt}:{part}:".encode()


def bytes_of(unit: object) -> bytes:
    """Give the UTF-8 text a unit is hashed as: itself, or a whole number's decimal digits.

    Raises:
        Invalid: it is empty, no valid Unicode, or neither text nor a whole number.
    """
    try:
        # The two that are nearly always given take a fifth of the time this way.
        if type(unit) is str and unit:
            return unit.encode()
        return b"%d" % unit if type(unit) is int else _text(unit).encode()
    except UnicodeEncodeError:
        raise Invalid("a unit has a character that UTF-8 cannot write", field="unit") from None
    except ValueError:
        raise Invalid("a unit is a number of thousands of digits", field="unit") from None


def _text(unit: object) -> str:
    if isinstance(unit, str):
        if not unit:
            raise Invalid(
                "a unit is empty; give the id of a user, a session or a machine", field="unit"
            )
        # Of a subclass (an Enum's member, numpy's str_) the text it holds, not what it prints.
        return str.__str__(unit)
    try:
        if not isinstance(unit, bool):
            return str(operator.index(unit))  # type: ignore[arg-type]
    except TypeError:
        pass
    raise Invalid(
        f"a unit is a text or a whole number, such as user123, not {type(unit).__name__}",
        field="unit",
    )
