"""Version numbers: `1.2.0`, `v1`, `v2.1`, `1.0.0-rc.1` in one total order.

The order is Semantic Versioning's precedence (semver.org, section 11) with a leading `v`
ignored and missing parts zero, so `v1`, `1.0` and `1.0.0` are one number. How a number was
written is kept: a model that began with `v1` goes on with `v2`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, total_ordering

from herdbook.errors import Invalid

NUMBER_LIMIT = 100
PART_LIMIT = 10**15

_SHAPE = re.compile(
    r"(?P<v>[vV]?)(?P<parts>\d+(?:\.\d+){0,2})(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?\Z",
    re.ASCII,
)


class Bump(StrEnum):
    """Which part of a number the next one raises."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


def _refusal(text: str, mend: str) -> Invalid:
    return Invalid(f"{text!r} is not a version number: {mend}", field="number")


@total_ordering
@dataclass(frozen=True, eq=False)
class Number:
    """A version number, equal and ordered by value, written as it was given.

    Args:
        text: up to 100 characters: one to three numeric parts, an optional leading `v`,
            an optional pre-release after `-`.

    Raises:
        Invalid: it cannot be read as one; build metadata (`+`) is refused, for two numbers
            that differ in it alone would be equal.

    Example:
        >>> Number("v1") == Number("1.0.0"), Number("1.0.0-rc.1") < Number("1.0.0")
        (True, True)
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what is not a number."""
        if len(self.text) > NUMBER_LIMIT:
            raise _refusal(
                f"{self.text[:NUMBER_LIMIT]}…", f"the limit is {NUMBER_LIMIT} characters"
            )
        shape = _SHAPE.match(self.text)
        if shape is None:
            raise _refusal(self.text, "write v1, v2.1, 1.2.0 or 1.0.0-rc.1")
        if any(int(part) >= PART_LIMIT for part in shape["parts"].split(".")):
            raise _refusal(self.text, "each of its parts must be below 10^15")

    @cached_property
    def release(self) -> tuple[int, int, int]:
        """Major, minor and patch; missing parts are 0."""
        parts = [int(p) for p in self._shape["parts"].split(".")]
        major, minor, patch = (*parts, 0, 0)[:3]
        return major, minor, patch

    @property
    def prerelease(self) -> tuple[str, ...]:
        """The identifiers after `-`, or ()."""
        found = self._shape["pre"]
        return tuple(found.split(".")) if found else ()

    @property
    def parts_written(self) -> int:
        """How many numeric parts the text has, 1 to 3."""
        return int(self._shape["parts"].count(".")) + 1

    @cached_property
    def key(self) -> str:
        """A text that sorts by code point exactly as numbers do by precedence.

        Digits are prefixed with their count (`b12` after `a9`); a pre-release sorts below
        its release (`-` below `~`); `!` ends an identifier, below every character of one.
        """
        head = "".join(_sortable(part) for part in self.release)
        if not self.prerelease:
            return head + "~"
        return head + "-" + "".join(_identifier(part) for part in self.prerelease)

    def next(self, bump: Bump | None = None) -> "Number":
        """Give the number after this one, in the same style.

        Without `bump`, a pre-release becomes its release and the last part written is
        raised otherwise.

        Example:
            >>> Number("v1").next().text, Number("1.0.0").next().text
            ('v2', '1.0.1')
            >>> Number("v1").next(Bump.MINOR).text
            'v1.1'
        """
        place = self.parts_written - 1 if bump is None else list(Bump).index(bump)
        parts = list(self.release)
        if bump is not None or not self.prerelease:
            parts[place] += 1
            parts[place + 1 :] = [0] * (2 - place)
        shown = parts[: max(self.parts_written, place + 1)]
        return Number(self._shape["v"] + ".".join(str(part) for part in shown))

    @property
    def _shape(self) -> re.Match[str]:
        shape = _SHAPE.match(self.text)
        assert shape is not None  # noqa: S101 - checked when the value was made
        return shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.key == other.key

    def __lt__(self, other: "Number") -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.text


FIRST = Number("v1")


def _sortable(part: int) -> str:
    digits = str(part)
    return chr(ord("a") + len(digits)) + digits


def _identifier(part: str) -> str:
    # Numeric identifiers compare as numbers and sort below alphanumeric ones.
    if part.isdigit():
        digits = part.lstrip("0") or "0"
        return "0" + _sortable_text(digits) + "!"
    return "1" + part + "!"


def _sortable_text(digits: str) -> str:
    return f"{len(digits):03d}" + digits
