"""Numbers of other libraries become Python's own."""

import math
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from herdbook.core import names, wire
from herdbook.core.evaluations import Observation, metric_value
from herdbook.core.models import Facts, Training
from herdbook.errors import Invalid


class Size(IntEnum):
    """A number with a name."""

    SMALL = 5


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int64(5), 5),
        (np.uint8(5), 5),
        (np.array(0.5), 0.5),
        (np.array(5), 5),
        (np.bool_(True), True),  # noqa: FBT003 - the value is what is tested
        (np.str_("oracle"), "oracle"),
        (Fraction(1, 2), 0.5),
        (Size.SMALL, 5),
    ],
)
def test_a_scalar_becomes_pythons_own(given: Any, kept: object) -> None:
    (found,) = names.metadata({"a": given}).values()

    assert (found, type(found)) == (kept, type(kept))
    assert wire.dumps({"a": given}) == wire.dumps({"a": kept})


@pytest.mark.parametrize("given", [np.array([0.5]), np.array([1, 2]), 1j, object(), b"x"])
def test_what_is_no_single_number_is_refused(given: Any) -> None:
    with pytest.raises(Invalid):
        metric_value(given, metric="f1")
    with pytest.raises(Invalid, match="which JSON cannot"):
        Facts(metadata={"a": [given]})


def test_training_keeps_its_numbers_as_pythons_own() -> None:
    training = Training(
        samples=np.int64(5),  # type: ignore[arg-type]
        epochs=np.float32(3),  # type: ignore[arg-type]
        cost_usd=np.float64(0.25),
    )

    kept = (training.samples, training.epochs, training.cost_usd)
    assert [(n, type(n)) for n in kept] == [(5, int), (3.0, float), (0.25, float)]
    assert training == Training(samples=5, epochs=3.0, cost_usd=0.25)


@pytest.mark.parametrize("given", [True, np.bool_(True), "3", np.float32("nan"), np.inf])  # noqa: FBT003
def test_what_is_no_number_is_no_fact_and_no_score(given: Any) -> None:
    with pytest.raises(Invalid):
        Training(epochs=given)
    with pytest.raises(Invalid):
        Training(samples=given)
    with pytest.raises(Invalid):
        metric_value(given, metric="f1")


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(Invalid, match="whole"):
        Training(samples=np.float32(0.5))  # type: ignore[arg-type]


def test_scores_and_observations_become_floats() -> None:
    value = metric_value(np.float32(0.5), metric="f1")  # type: ignore[arg-type]
    seen = Observation(confidence=np.float32(0.5))  # type: ignore[arg-type]

    assert type(value) is type(seen.confidence) is float
    assert metric_value(10**400 // 10**399, metric="f1") == 10.0
    with pytest.raises(Invalid):
        metric_value(10**400, metric="f1")
    assert names.scalar(Fraction(10**400, 1)) == math.inf


def test_facts_keep_a_copy_of_their_metadata() -> None:
    given: dict[str, Any] = {"scale": np.float32(0.5), "sizes": (1, 2), "inner": {"n": np.int8(1)}}

    facts = Facts(metadata=given)
    given["scale"] = 7

    assert facts.metadata == {"scale": 0.5, "sizes": [1, 2], "inner": {"n": 1}}
