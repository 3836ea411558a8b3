"""How much of everything a run does."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The size of a run.

    Args:
        rounds: interleaved runs of each side; the median is reported.
        seconds: how long one run of one side loads a server.
        models: models of the register both sides hold.
        versions: versions of each of them, at least 20.
        calls: calls of one run in process.
        few: versions, in `models` models, of the small register of the growth figures.
        many: versions of the large one.
        many_models: models of the large one.
        chain: versions of the lineage, each the child of the one before.
        listed: versions of the large register of the memory figures.
        installs: whether packages are installed to be weighed.
        weights: bytes of the weights that are pushed and served.
        files: small files of a push.
        pulls: pulls of what is in the cache.
    """

    rounds: int
    seconds: float
    models: int
    versions: int
    calls: int
    few: int
    many: int
    many_models: int
    chain: int
    listed: int
    installs: bool
    weights: int
    files: int
    pulls: int


FULL: Final = Sizes(
    rounds=5,
    seconds=1.5,
    models=100,
    versions=100,
    calls=2_000,
    few=10_000,
    many=1_000_000,
    many_models=1_000,
    chain=100_000,
    listed=200_000,
    installs=True,
    weights=1 << 30,
    files=1_000,
    pulls=50,
)
QUICK: Final = Sizes(
    rounds=1,
    seconds=0.2,
    models=4,
    versions=25,
    calls=20,
    few=100,
    many=1_000,
    many_models=10,
    chain=300,
    listed=1_000,
    installs=False,
    weights=1 << 22,
    files=20,
    pulls=3,
)
