"""A value in a foreign JSON file that knows where in the file it is."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from herdbook.errors import Invalid


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value and its place, such as `models.majora.versions.v1.training.epochs`."""

    value: Any
    place: str = ""

    def __getitem__(self, key: str) -> "Foreign":
        """Give what an object holds under a key; the value None when it holds nothing."""
        return Foreign(self.fields().get(key), f"{self.place}.{key}" if self.place else key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields())

    def invalid(self, problem: str) -> Invalid:
        """Give the error that names this place."""
        return Invalid(f"{self.place or 'the file'} {problem}", field=self.place)

    def fields(self) -> dict[str, Any]:
        """Give an object's fields; None is an empty object."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            raise self.invalid(f"must be an object, not {self._shown()}")
        return dict(self.value)

    def named(self, *names: str) -> list[tuple[str, "Foreign"]]:
        """Give the entries of an object, or of a list whose entries name themselves.

        Args:
            names: the fields a list's entry may name itself by, the first that it has.
        """
        if not isinstance(self.value, list):
            return [(str(key), self[key]) for key in self.fields()]
        found = []
        for at, entry in enumerate(self.value):
            one = Foreign(entry, f"{self.place}.{at}")
            called = next((one[name].text() for name in names if one[name].value), "")
            if not called:
                raise one.invalid(f"does not say its {names[0]}")
            found.append((called, one))
        return found

    def text(self) -> str:
        """Give a text; None is ""."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str):
            raise self.invalid(f"must be text, not {self._shown()}")
        return self.value.strip()

    def words(self) -> tuple[str, ...]:
        """Give a list of texts, none twice; one text is a list of it, None an empty one."""
        if self.value is None or isinstance(self.value, str):
            return (self.text(),) if self.text() else ()
        if not isinstance(self.value, list):
            raise self.invalid(f"must be a list of texts, not {self._shown()}")
        found = [Foreign(v, f"{self.place}.{at}").text() for at, v in enumerate(self.value)]
        return tuple(dict.fromkeys(word for word in found if word))

    def whole(self) -> Any:
        """Give a number, a whole one without its `.0`; anything else as it is."""
        whole = isinstance(self.value, float) and self.value.is_integer()
        return int(self.value) if whole else self.value

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Give finite numbers by name, those of inner objects too, and notes on what is not.

        What is None was not scored and is left out; so is NaN, with a note.
        """
        found: dict[str, float] = {}
        notes: list[str] = []
        for name in self:
            inner = self[name]
            if inner.value is None:
                continue
            if isinstance(inner.value, Mapping):
                deeper, said = inner.scores()
                found |= deeper
                notes += said
            elif isinstance(inner.value, bool) or not isinstance(inner.value, int | float):
                raise inner.invalid(f"must be a number, not {inner._shown()}")
            elif not math.isfinite(inner.value):
                notes.append(f"{inner.place} is {inner.value}; it was left out.")
            else:
                found[name] = inner.value
        return found, notes

    def _shown(self) -> str:
        return f"{self.value!r:.40}"
