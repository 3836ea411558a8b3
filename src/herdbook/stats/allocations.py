"""Evidence for sample ratio mismatch: the arms do not receive the units they should.

Count units when they are first seen, not their requests. A mismatch says that assignment or
recording is broken, so that no comparison of the arms can be trusted; alarm at an e-value of 1,000.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from herdbook.errors import Invalid

# How many units the prior is worth: with two equal arms it expects mismatches of 1.6 points.
CONCENTRATION: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Allocation:
    """Units first seen while the split was the same; merged by addition, in any order.

    Attributes:
        weights: by arm, its part of the traffic: finite and above 0; only their ratios matter. At
            least two arms, and the same ones as in `units`. Not to be changed.
        units: by arm, units first seen. Not to be changed.
    """

    weights: Mapping[str, float]
    units: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.weights) < 2:
            raise Invalid("A split has at least two arms.", field="weights")
        for arm, weight in self.weights.items():
            if not 0 < weight < math.inf:
                raise Invalid(
                    f"The weight of {arm!r} is {weight}: leave out an arm that gets no traffic.",
                    field="weights",
                )
        for arm, count in self.units.items():
            if arm not in self.weights or count < 0:
                raise Invalid(f"{count} units of {arm!r} cannot be in this split.", field="units")

    def __add__(self, other: "Allocation") -> "Allocation":
        if dict(self.weights) != dict(other.weights):
            raise Invalid("Units of two different splits are not one allocation: keep both.")
        arms = self.units.keys() | other.units.keys()
        units = {arm: self.units.get(arm, 0) + other.units.get(arm, 0) for arm in arms}
        return Allocation(self.weights, units)


def log_mismatch(allocation: Allocation, *, concentration: float = CONCENTRATION) -> float:
    """Evidence, log E in nats, that units are not split by the weights.

    With shares w, counts x, n their sum, and a Dirichlet prior of parameters `a = c w` over the
    true shares, E is the likelihood ratio of their mixture to w:

        log E = lgamma(c) - lgamma(c + n) + sum(lgamma(a + x) - lgamma(a)) - sum(x log w)

    It depends on the counts alone, not on their order, and is an e-process: look at any time.
    Accurate to about 1e-15 times n log n: six digits at a billion units.

    Args:
        allocation: the counts.
        concentration: c, above 0: how many units the prior is worth.

    Returns:
        0 where no unit was seen.

    Raises:
        Invalid: the concentration is not above 0 and finite.

    Example:
        >>> split = Allocation({"v1": 50, "v2": 50}, {"v1": 5000, "v2": 5400})
        >>> round(log_mismatch(split), 2)
        5.8

    Reference: Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 35
    (2022).
    """
    if not 0 < concentration < math.inf:
        raise Invalid(f"A concentration is above 0, not {concentration}.", field="concentration")
    whole = math.fsum(allocation.weights.values())
    number = sum(allocation.units.values())
    terms = [math.lgamma(concentration), -math.lgamma(concentration + number)]
    for arm, weight in allocation.weights.items():
        share, count = weight / whole, allocation.units.get(arm, 0)
        prior = concentration * share
        terms += math.lgamma(prior + count), -math.lgamma(prior), -count * math.log(share)
    return math.fsum(terms)


def log_mismatch_over(
    allocations: Iterable[Allocation], *, concentration: float = CONCENTRATION
) -> float:
    """The same over several splits, such as the stages of a ramp: the product of their e-values."""
    return math.fsum(log_mismatch(each, concentration=concentration) for each in allocations)
