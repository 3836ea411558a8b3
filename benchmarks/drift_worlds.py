"""Made-up streams that drift or do not: what `benchmarks.drifting` judges the rules by."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, Final

import numpy as np

from herdbook.core.drift import CONFIDENCE, PREDICTION

Array = np.ndarray[Any, np.dtype[np.float64]]
Streams = Mapping[str, Array]
Draw = Callable[[np.random.Generator, int], Streams]
Change = Callable[[np.random.Generator, Streams], Streams]

REFERENCE: Final = 10_000
QUIET: Final = 100_000
# Values before a change, and those in which it must be found.
BEFORE: Final = 5_000
AFTER: Final = 20_000
PER_HOUR: Final = 60
_DAY: Final = 24 * PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One line of the table.

    Args:
        what: what is true.
        draw: gives that many values of each stream, all well.
        change: what becomes of those after a while, or None where nothing changes.
        reference: how many values the reference is made of.
        daily: whether the reference is told when its values came.
        shown: the stream that those who watch only one are shown.
        most: at most so many false alarms in 100,000 values.
        soon: the median delay is at most so many values.
        peers: whether the others judge it too.
        slow: whether those of them do that take minutes.
    """

    what: str
    draw: Draw
    change: Change | None = None
    reference: int = REFERENCE
    daily: bool = False
    shown: str = PREDICTION
    most: float | None = None
    soon: int | None = None
    peers: bool = True
    slow: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """One run of a scenario.

    Args:
        reference: the values it is made of, by stream.
        production: those that come after it.
    """

    reference: Streams
    production: Streams


def drawn(scenario: Scenario, run: int) -> World:
    """Draw one run; the same for the same scenario and number."""
    rng = np.random.default_rng([*scenario.what.encode(), run])
    number = QUIET if scenario.change is None else BEFORE + AFTER
    every = scenario.draw(rng, scenario.reference + number)
    reference = {name: values[: scenario.reference] for name, values in every.items()}
    production = {name: values[scenario.reference :] for name, values in every.items()}
    if scenario.change is not None:
        after = scenario.change(rng, {name: each[BEFORE:] for name, each in production.items()})
        production = {
            name: np.concatenate([each[:BEFORE], after[name]]) for name, each in production.items()
        }
    return World(reference, production)


# --- what is drawn ---


def _normal(rng: np.random.Generator, number: int) -> Streams:
    return {PREDICTION: rng.normal(size=number)}


def _confidence(rng: np.random.Generator, number: int) -> Streams:
    return {CONFIDENCE: rng.beta(16, 4, size=number)}


def _pair(rng: np.random.Generator, number: int) -> Streams:
    return {**_normal(rng, number), **_confidence(rng, number)}


def _cauchy(rng: np.random.Generator, number: int) -> Streams:
    return {PREDICTION: rng.standard_cauchy(number)}


def _rounded(rng: np.random.Generator, number: int) -> Streams:
    return {PREDICTION: np.round(rng.beta(16, 4, size=number), 1)}


def _binary(rng: np.random.Generator, number: int) -> Streams:
    return {PREDICTION: (rng.random(number) < 0.3).astype(float)}


def _alike(rng: np.random.Generator, number: int, *, phi: float) -> Streams:
    """Each value is phi times the one before and something new; the variance is 1."""
    new = rng.normal(size=number) * math.sqrt(1 - phi * phi)
    new[0] = rng.normal()
    return {PREDICTION: np.array(list(accumulate(new, lambda before, more: phi * before + more)))}


def _cycle(rng: np.random.Generator, number: int, *, height: float) -> Streams:
    turns = np.arange(number) // PER_HOUR * PER_HOUR / _DAY
    return {PREDICTION: rng.normal(size=number) + height * np.sin(2 * math.pi * turns)}


def _with_gaps(rng: np.random.Generator, number: int) -> Streams:
    values = rng.normal(size=number)
    values[rng.random(number) < 0.01] = math.nan
    return {PREDICTION: values}


# --- what becomes of it ---


def _moved(_rng: np.random.Generator, streams: Streams, *, of: str, by: float) -> Streams:
    return {name: each + by * (name == of) for name, each in streams.items()}


def _widened(_rng: np.random.Generator, streams: Streams, *, by: float) -> Streams:
    return {name: each * math.sqrt(by) for name, each in streams.items()}


def _gappy(rng: np.random.Generator, streams: Streams, *, share: float) -> Streams:
    return {
        name: np.where(rng.random(each.size) < share, math.nan, each)
        for name, each in streams.items()
    }


def _quiet(what: str, draw: Draw, **more: Any) -> Scenario:
    return Scenario(what=f"nothing: {what}", draw=draw, **more)


def _shift(what: str, by: float, soon: int | None, draw: Draw = _normal, **more: Any) -> Scenario:
    return Scenario(
        what=what, draw=draw, change=partial(_moved, of=PREDICTION, by=by), soon=soon, **more
    )


SCENARIOS: Final = (
    _quiet("normal", _normal, most=0.2, slow=True),
    _quiet("a confidence", _confidence, most=0.2, shown=CONFIDENCE),
    _quiet("a prediction and its confidence", _pair, most=0.2),
    _quiet("autocorrelation 0.5", partial(_alike, phi=0.5), most=1, slow=True),
    _quiet("autocorrelation 0.9", partial(_alike, phi=0.9), most=1, slow=True),
    _quiet("a daily cycle of ±0.5 sd", partial(_cycle, height=0.5), most=1, daily=True),
    _quiet("a daily cycle of ±1 sd", partial(_cycle, height=1.0), most=1, daily=True),
    *(
        _quiet(f"{what}, reference of {number:,}", draw, reference=number, most=most)
        for number, most in ((200, 8.0), (1_000, 0.5))
        for what, draw in (
            ("normal", _normal),
            ("rounded", _rounded),
            ("Cauchy", _cauchy),
            ("yes or no", _binary),
        )
    ),
    _shift("+0.25 sd", 0.25, 500, slow=True),
    _shift("+0.5 sd", 0.5, 150, slow=True),
    _shift("+1 sd", 1.0, 50, slow=True),
    Scenario(
        what="variance x 1.5", draw=_normal, change=partial(_widened, by=1.5), soon=400, slow=True
    ),
    Scenario(
        what="confidence -0.05",
        draw=_confidence,
        change=partial(_moved, of=CONFIDENCE, by=-0.05),
        shown=CONFIDENCE,
        soon=120,
        slow=True,
    ),
    Scenario(
        what="confidence -0.05, beside a prediction",
        draw=_pair,
        change=partial(_moved, of=CONFIDENCE, by=-0.05),
        shown=CONFIDENCE,
        peers=False,
    ),
    _shift("+0.5 sd, autocorrelation 0.5", 0.5, None, partial(_alike, phi=0.5)),
    _shift("+0.5 sd, a daily cycle of ±0.5 sd", 0.5, None, partial(_cycle, height=0.5), daily=True),
    _shift("+0.5 sd, reference of 1,000", 0.5, None, reference=1_000),
    _shift("+0.5 sd, reference of 200", 0.5, None, reference=200),
    Scenario(
        what="missing 1 % → 6 %",
        draw=_with_gaps,
        change=partial(_gappy, share=0.05),
        peers=False,
    ),
)
