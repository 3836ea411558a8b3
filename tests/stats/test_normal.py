"""The normal distribution against SciPy's."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special

from herdbook.errors import Invalid
from herdbook.stats import normal


@given(st.floats(-1e6, 40))
@example(6.0)
def test_the_logarithm_of_the_distribution_is_scipys_far_into_the_tail(z: float) -> None:
    assert normal.log_cdf(z) == pytest.approx(special.log_ndtr(z), rel=1e-9, abs=1e-300)


@given(st.floats(-37, 9))
def test_the_distribution_is_scipys(z: float) -> None:
    assert normal.cdf(z) == pytest.approx(special.ndtr(z), rel=1e-12)


@given(st.floats(1e-300, 1 - 1e-12))
def test_the_quantile_is_scipys(probability: float) -> None:
    wanted = special.ndtri(probability)

    assert normal.quantile(probability) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_what_is_no_probability_has_no_quantile(probability: float) -> None:
    with pytest.raises(Invalid, match="between 0 and 1"):
        normal.quantile(probability)
