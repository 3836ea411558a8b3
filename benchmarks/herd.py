"""The register both sides hold: the same models, versions, tags and aliases.

Only the standard library: the peers' interpreters import this too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

FAMILIES: Final = ("majora", "oracle", "gnn", "paraphrase-multilingual-MiniLM-L12-v2")
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
STAGES: Final = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A version, as both sides are told it."""

    model: str
    ordinal: int

    @property
    def source(self) -> str:
        """Where its files are."""
        return f"s3://herd/{self.model}/{self.ordinal}/weights.safetensors"

    @property
    def description(self) -> str:
        """What it is."""
        return f"{self.model}, training run {self.ordinal}, on the curated set"

    @property
    def tags(self) -> dict[str, str]:
        """Its two tags."""
        return {"stage": "prod" if self.ordinal % STAGES == 0 else "dev", "team": "search"}


def models(count: int) -> list[str]:
    """Give the names of the models."""
    return [f"{FAMILIES[at % len(FAMILIES)]}-{at:04d}" for at in range(count)]


def entries(count: int, versions: int) -> Iterator[Entry]:
    """Give every version in the order of registration, the models in turn."""
    for ordinal in range(1, versions + 1):
        for model in models(count):
            yield Entry(model, ordinal)
