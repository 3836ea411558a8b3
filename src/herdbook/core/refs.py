"""References to a version: `majora:v2`, `majora@champion`, or `majora` alone."""

from dataclasses import dataclass

from herdbook.core.names import alias_name, model_name
from herdbook.core.numbers import Number
from herdbook.errors import Invalid

CHAMPION = "champion"
LATEST = "latest"
REF_LIMIT = 400


@dataclass(frozen=True, slots=True)
class VersionRef:
    """A version named by its number or by an alias that points at it.

    `majora` alone stands for `majora@champion`, `@latest` for the version registered last.

    Example:
        >>> VersionRef.parse("herdbook:majora@champion")
        VersionRef(model='majora', number='', alias='champion')
        >>> str(VersionRef.parse("majora:v2"))
        'majora:v2'
    """

    model: str
    number: str = ""
    alias: str = ""

    def __post_init__(self) -> None:
        """Refuse a reference with both, or with a name that cannot be one."""
        model_name(self.model)
        if self.number:
            Number(self.number)
        elif self.alias != LATEST:
            alias_name(self.alias)

    @classmethod
    def parse(cls, text: str) -> "VersionRef":
        """Read a reference.

        Raises:
            Invalid: it is not one; the message shows the forms that are.
        """
        if type(text) is not str or not 1 <= len(text) <= REF_LIMIT:
            raise Invalid("a reference must be text like majora:v2", field="ref")
        body = text.removeprefix("herdbook:")
        if "@" in body:
            model, _, alias = body.rpartition("@")
            return cls(model, alias=alias or _missing(text))
        if ":" in body:
            model, _, number = body.rpartition(":")
            return cls(model, number=number or _missing(text))
        return cls(body, alias=CHAMPION)

    def __str__(self) -> str:
        return f"{self.model}:{self.number}" if self.number else f"{self.model}@{self.alias}"


def _missing(text: str) -> str:
    raise Invalid(
        f"{text!r} names no version: write majora:v2 for a number or majora@champion for an alias",
        field="ref",
    )


def version_ref(text: str | VersionRef) -> VersionRef:
    """Take a reference as text or as a value."""
    return text if isinstance(text, VersionRef) else VersionRef.parse(text)
