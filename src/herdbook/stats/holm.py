"""Holm's correction of p-values, for when many things are tested at once."""

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Give the p-values after Holm's correction, in the order given.

    The i-th smallest of k is multiplied by k + 1 - i, and none is below one that was smaller. What
    is then below a level is wrong, for any of them, with at most that chance, however they depend
    on one another.

    Example:
        >>> adjusted([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]

    Reference: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6 (1979).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, most = [0.0] * len(p_values), 0.0
    for done, at in enumerate(order):
        most = max(most, min(1.0, p_values[at] * (len(p_values) - done)))
        found[at] = most
    return found
