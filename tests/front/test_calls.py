"""Calls of versions that are compared: who gets which, and what is kept of how it went."""

import asyncio
import itertools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from herdbook.errors import Invalid, NotFound
from herdbook.front.book import Herdbook
from tests.front.trials import Trial


@pytest.fixture
def trial(book: Herdbook) -> Trial:
    """A running experiment."""
    return Trial(book)


def test_a_call_is_assigned_timed_and_recorded(trial: Trial) -> None:
    with trial.serve() as call:
        time.sleep(0.02)
        call.observe(prediction=3.5, confidence=0.75, tokens=12)
        call.observe(depth=-2)

    found = trial.of()
    assert (call.version, call.variant, call.ref) == ("v2", "treatment", f"{trial.model}:v2")
    assert (found.results, found.errors, found.units, found.alone) == (1, 0, 1, 0)
    assert found.confidence == 0.75
    assert found.inference_time_ms is not None
    assert 20 <= found.inference_time_ms < 2_000
    assert found.means == {"prediction": 3.5, "tokens": 12.0, "depth": -2.0}
    assert found.refused == {}
    assert call.assignment.shadow == ""
    assert call.shadow is None


def test_what_is_observed_last_counts_and_nothing_observed_is_a_result_too(trial: Trial) -> None:
    with trial.serve("control") as call:
        call.observe(confidence=0.1, tokens=1)
        call.observe(confidence=0.5, tokens=3)
    with trial.serve():
        pass

    said = trial.said()
    assert (said.metrics("control").confidence, said.metrics("control").means["tokens"]) == (0.5, 3)
    assert (said.metrics("treatment").results, said.metrics("treatment").confidence) == (1, None)


@pytest.mark.parametrize(
    ("value", "refused"),
    [(math.nan, "tokens is NaN"), (math.inf, "tokens is infinite"), ("many", "tokens is not a")],
)
def test_what_is_no_number_is_refused_by_name_and_its_result_counts(
    trial: Trial, value: Any, refused: str
) -> None:
    with trial.serve() as call:
        call.observe(tokens=value)

    found = trial.of()
    assert (found.results, found.errors, found.means) == (1, 0, {})
    assert [(why.startswith(refused), count) for why, count in found.refused.items()] == [(True, 1)]


def test_an_exception_goes_on_and_is_an_error_of_the_version(trial: Trial) -> None:
    with pytest.raises(ZeroDivisionError), trial.serve() as call:  # noqa: PT012 - what is done before it counts
        call.observe(confidence=0.9)
        _ = 1 / 0

    found = trial.of()
    assert (found.results, found.errors, found.confidence) == (1, 1, 0.9)


class Teapot(HTTPException):
    """An answer of one's own."""


@pytest.mark.parametrize(
    ("raised", "errors"),
    [
        (HTTPException(404), 0),
        (HTTPException(499), 0),
        (Teapot(418), 0),
        (HTTPException(500), 1),
        (Teapot(503), 1),
        (ExceptionGroup("two", [ValueError()]), 1),
    ],
)
def test_an_answer_below_500_is_the_callers_fault(
    trial: Trial, raised: Exception, errors: int
) -> None:
    with pytest.raises(type(raised)), trial.serve():
        raise raised

    found = trial.of()
    assert (found.results, found.errors) == (1, errors)


def test_the_status_of_somebody_elses_answer_excuses_nothing(trial: Trial) -> None:
    class Answered(Exception):
        status_code = 404

    with pytest.raises(Answered), trial.serve():
        raise Answered

    assert trial.of().errors == 1


@pytest.mark.parametrize(
    "ending", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_a_call_that_was_ended_from_outside_is_no_result(
    trial: Trial, ending: type[BaseException]
) -> None:
    with pytest.raises(ending), trial.serve():
        raise ending

    found = trial.of()
    assert (found.results, found.errors, found.lost) == (0, 0, 0)


def test_a_failure_that_raised_nothing_can_be_told_and_a_call_left_out(trial: Trial) -> None:
    with trial.serve() as call:
        call.fail()
    with pytest.raises(ValueError, match="gone"), trial.serve() as left:  # noqa: PT012 - what is done before it counts
        left.leave_out()
        raise ValueError("gone")

    assert (call.failed, left.left_out) == (True, True)
    found = trial.of()
    assert (found.results, found.errors, found.lost) == (1, 1, 0)


def test_without_a_unit_the_champion_is_served_and_nothing_recorded(trial: Trial) -> None:
    with pytest.raises(OSError, match="disk"), trial.book.serve(trial.model) as call:  # noqa: PT012 - what is done before it counts
        call.observe(confidence=0.5, tokens=1)
        raise OSError("disk")

    assert (call.version, call.variant, call.assignment.experiment) == ("v1", "champion", "")
    assert trial.results() == (0, 0)


@pytest.mark.parametrize("unit", ["", True, 1.5, b"user", ("user",), "\ud800"])
def test_what_can_be_no_unit_is_refused_before_anything_is_served(trial: Trial, unit: Any) -> None:
    with pytest.raises(Invalid) as caught:
        trial.book.serve(trial.model, unit=unit)

    assert caught.value.field == "unit"
    assert trial.results() == (0, 0)


def test_a_whole_number_is_the_unit_its_digits_are(trial: Trial) -> None:
    variant = trial.book.experiments.assign_variant(trial.model, "17").variant
    for unit in (17, "17"):
        with trial.book.serve(trial.model, unit=unit):
            pass

    assert (trial.of(variant).results, trial.of(variant).units) == (2, 1)


def test_a_model_nobody_knows_cannot_be_served(book: Herdbook) -> None:
    for unit in (None, "user1"):
        with pytest.raises(NotFound):
            book.serve("gnn-nobody-knows", unit=unit)


def test_calls_of_two_models_inside_each_other_do_not_mix(trial: Trial) -> None:
    other = Trial(trial.book)

    with trial.serve() as outer:
        with pytest.raises(ValueError, match="inner"), other.serve("control") as inner:  # noqa: PT012 - what is done before it counts
            inner.observe(confidence=0.25)
            raise ValueError("inner")
        outer.observe(confidence=0.75)

    assert (trial.of().errors, trial.of().confidence) == (0, 0.75)
    assert (other.of("control").errors, other.of("control").confidence) == (1, 0.25)
    assert (trial.results(), other.results()) == ((0, 1), (1, 0))


def test_threads_lose_and_double_nothing(trial: Trial) -> None:
    units = list(itertools.islice(trial.units("treatment"), 8))

    def work(unit: str) -> None:
        for at in range(250):
            with trial.book.serve(trial.model, unit=unit) as call:
                call.observe(confidence=0.5, tokens=at)
                if at % 10 == 0:
                    call.fail()

    with ThreadPoolExecutor(len(units)) as pool:
        list(pool.map(work, units))

    found = trial.of()
    assert (found.results, found.errors, found.units) == (2_000, 200, 8)
    assert found.means["tokens"] == pytest.approx(124.5)


def test_calls_that_await_are_recorded_alike(trial: Trial) -> None:
    async def one(*, fails: bool) -> None:
        async with trial.serve() as call:
            await asyncio.sleep(0.01)
            call.observe(confidence=0.5)
            if fails:
                raise ValueError("wrong")

    async def left() -> None:
        async with trial.serve():
            await asyncio.sleep(60)

    async def all_of_them() -> None:
        calls = [one(fails=at % 5 == 0) for at in range(50)]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, ValueError) for each in done) == 10
        going = asyncio.create_task(left())
        await asyncio.sleep(0.01)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    asyncio.run(all_of_them())

    found = trial.of()
    assert (found.results, found.errors, found.lost) == (50, 10, 0)


# --- in the shadow ---


@pytest.fixture
def shadowed(book: Herdbook) -> Trial:
    """An experiment whose treatment is called beside the control."""
    return Trial(book, shadow=True)


def test_a_shadow_is_recorded_and_the_control_it_stands_beside_is_not(shadowed: Trial) -> None:
    with shadowed.serve() as call:
        call.observe(confidence=0.1)
        assert call.shadow is not None
        with call.shadow as shadow:
            shadow.observe(confidence=0.9, tokens=7)
    with shadowed.serve("control") as alone:
        alone.observe(confidence=0.3)

    assert (call.version, call.variant, shadow.version) == ("v1", "control", "v2")
    assert (alone.version, alone.shadow) == ("v1", None)
    control, treatment = shadowed.said().arms
    assert (control.results, control.confidence) == (1, 0.3)
    assert (treatment.results, treatment.means) == (1, {"tokens": 7.0})
    assert treatment.confidence == pytest.approx(0.9)


def test_what_a_shadow_raises_is_its_error_and_goes_no_further(shadowed: Trial) -> None:
    async def awaited() -> None:
        async with shadowed.serve() as call, call.shadow:
            raise ValueError("the shadow's own")

    with shadowed.serve() as call, call.shadow:
        raise ValueError("the shadow's own")
    asyncio.run(awaited())

    treatment = shadowed.of()
    assert (treatment.results, treatment.errors) == (2, 2)
    assert shadowed.of("control").results == 0
    assert not call.failed


def test_what_the_control_beside_a_shadow_raises_goes_on_and_is_nobodys(shadowed: Trial) -> None:
    with pytest.raises(ValueError, match="the control"), shadowed.serve():
        raise ValueError("the control")

    assert shadowed.results() == (0, 0)


def test_an_interrupt_in_a_shadow_is_not_held_back(shadowed: Trial) -> None:
    with pytest.raises(KeyboardInterrupt), shadowed.serve() as call, call.shadow:
        raise KeyboardInterrupt

    assert shadowed.results() == (0, 0)


def test_a_told_result_of_a_shadowed_unit_is_the_shadows(shadowed: Trial) -> None:
    record = shadowed.book.experiments.record_result
    shadowed.book.experiments.assign_variant(shadowed.model, shadowed.unit())

    assert record(shadowed.name, inference_time_ms=5.0, confidence=0.5)
    assert record(shadowed.name, "control", 5.0, 0.5)
    assert record(shadowed.name, "treatment", 5.0, 0.5)

    assert shadowed.results() == (0, 2)
