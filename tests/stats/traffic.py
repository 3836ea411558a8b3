"""Simulated requests of an experiment, and how many false alarms chance allows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tests.stats.contrasts import Pair, UnitSums

Array = np.ndarray[Any, np.dtype[Any]]
ALPHA = 0.05


@dataclass(frozen=True)
class Traffic:
    """What happened, request by request."""

    treated: Array
    user: Array
    failed: Array
    confidence: Array

    def __getitem__(self, which: slice | Array) -> "Traffic":
        return Traffic(
            self.treated[which], self.user[which], self.failed[which], self.confidence[which]
        )


def strangers(
    rng: np.random.Generator,
    requests: int,
    *,
    share: float = 0.5,
    errors: tuple[float, float] = (0.02, 0.02),
    confidence: tuple[float, float] = (0.8, 0.8),
) -> Traffic:
    """Every request its own user; pairs are control and treatment."""
    treated = rng.random(requests) < share
    mean = np.where(treated, confidence[1], confidence[0])
    return Traffic(
        treated,
        np.arange(requests),
        rng.random(requests) < np.where(treated, errors[1], errors[0]),
        rng.beta(5 * mean, 5 * (1 - mean)),
    )


def regulars(
    rng: np.random.Generator,
    requests: int,
    *,
    share: float = 0.5,
    users: int = 1_000,
    correlation: float = 0.3,
) -> Traffic:
    """Identical models, sticky users of very different diligence, each with their own level."""
    popularity = rng.lognormal(size=users)
    user = rng.choice(users, requests, p=popularity / popularity.sum())
    level = np.sqrt(correlation) * rng.normal(size=users)
    noise = np.sqrt(1 - correlation) * rng.normal(size=requests)
    return Traffic(
        (rng.random(users) < share)[user],
        user,
        rng.random(requests) < rng.beta(0.2, 9.8, users)[user],
        np.clip(0.8 + 0.16 * (level[user] + noise), 0, 1),
    )


def sums(traffic: Traffic) -> Pair:
    """Each arm's sums of confidence by user."""
    arms = []
    for of in (~traffic.treated, traffic.treated):
        users, places = np.unique(traffic.user[of], return_inverse=True)
        counts = np.bincount(places).tolist()
        totals = np.bincount(places, traffic.confidence[of]).tolist()
        cells = dict(zip(users.tolist(), zip(counts, totals, strict=True), strict=True))
        arms.append(UnitSums(cells))
    return Pair(*arms)


def first_of_each(traffic: Traffic) -> Traffic:
    """Only the first request of every user."""
    return traffic[np.sort(np.unique(traffic.user, return_index=True)[1])]


def alarms(run: Callable[[np.random.Generator], bool], *, runs: int, seed: int) -> int:
    """In how many runs it was claimed, each with a generator of its own."""
    return sum(run(rng) for rng in np.random.default_rng(seed).spawn(runs))


def allowed(runs: int, alpha: float = ALPHA) -> int:
    """As many false alarms as a rule that keeps alpha has in 999 of 1,000 such tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


def looks(requests: int, every: int) -> list[slice]:
    """The batches between two looks."""
    return [slice(start, start + every) for start in range(0, requests, every)]
