"""Maps between embedding spaces against SciPy and scikit-learn, and what they refuse."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge

from herdbook.errors import Corrupt, Invalid
from herdbook.stats import mappings
from herdbook.stats.mappings import KINDS, LinearMap, fewest_pairs, fit

Array = NDArray[np.float64]

WIDE, NARROW = 12, 8


def unit(rows: Array) -> Array:
    lengths: Array = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


def vectors(seed: int, *, count: int = 200, dimensions: int = NARROW) -> Array:
    return unit(np.random.default_rng(seed).normal(size=(count, dimensions)))


def rotation(seed: int, *, dimensions: int = NARROW) -> Array:
    found: Array = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions,) * 2))[0]
    return found


def related(seed: int) -> tuple[Array, Array]:
    """Vectors of two models that agree about most, not all."""
    new = vectors(seed, count=300)
    rest = np.random.default_rng(seed + 1).normal(size=new.shape) / 8
    return new, unit(new @ rotation(seed + 2) * np.linspace(0.5, 2, NARROW) + 0.2 + rest)


@cache
def packed_map() -> bytes:
    return fitted("ridge", *related(8)).to_bytes()


def fitted(kind: str, new: Array, old: Array, **how: Any) -> LinearMap:
    return fit(kind, new, old, rng=np.random.default_rng(0), **how)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000), kind=st.sampled_from(["procrustes", "scaled_procrustes"]))
def test_an_orthogonal_map_is_recovered_exactly(seed: int, kind: str) -> None:
    new, turn = vectors(seed), rotation(seed + 1)

    found = fitted(kind, new, new @ turn)

    assert found.matrix == pytest.approx(turn, abs=1e-5)
    assert found.cosine == pytest.approx(1.0)
    assert found.apply(vectors(seed + 2)) == pytest.approx(vectors(seed + 2) @ turn, abs=1e-5)


def test_all_kinds_follow_an_affine_map() -> None:
    new, more = vectors(1, count=400), vectors(2)
    matrix, offset = np.random.default_rng(3).normal(size=(NARROW, NARROW)), 0.5

    found = {kind: fitted(kind, new, new @ matrix + offset) for kind in KINDS}

    like = {
        kind: float((each.apply(more) * unit(more @ matrix + offset)).sum(axis=1).mean())
        for kind, each in found.items()
    }
    assert like["ridge"] > like["scaled_procrustes"] > 0.5
    assert like["low_rank"] == pytest.approx(like["ridge"])
    assert like["ridge"] > 0.9


def test_procrustes_is_that_of_scipy() -> None:
    new, old = related(1)

    found = fitted("procrustes", new, old)

    assert found.matrix == pytest.approx(orthogonal_procrustes(new, old)[0], abs=1e-6)
    assert not found.offset.any()


@pytest.mark.parametrize(("of", "to"), [(WIDE, NARROW), (NARROW, WIDE)])
def test_procrustes_of_other_dimensions_is_that_of_spaces_filled_up_with_zeros(
    of: int, to: int
) -> None:
    new, old = vectors(1, dimensions=of), vectors(2, dimensions=to)

    found = fitted("procrustes", new, old)

    new, old = (np.pad(each, [(0, 0), (0, WIDE - each.shape[1])]) for each in (new, old))
    theirs = orthogonal_procrustes(new, old)[0]
    assert found.matrix == pytest.approx(theirs[:of, :to], abs=1e-6)


def test_scales_are_those_that_least_squares_would_give_each_dimension() -> None:
    new, old = related(2)
    turned = new @ orthogonal_procrustes(new, old)[0]
    scales = [
        np.linalg.lstsq(turned[:, [at]], old[:, at], rcond=None)[0][0] for at in range(NARROW)
    ]

    found = fitted("scaled_procrustes", new, old)

    expected = orthogonal_procrustes(new, old)[0] * scales
    assert found.matrix == pytest.approx(expected, abs=1e-6)


def test_ridge_is_that_of_scikit_learn() -> None:
    new, old = related(3)
    each = float(((new - new.mean(axis=0)) ** 2).sum()) / NARROW

    matrix, offset = mappings._ridge(new, old, 0.1)

    theirs = Ridge(alpha=0.1 * each).fit(new, old)
    assert matrix == pytest.approx(theirs.coef_.T)
    assert offset == pytest.approx(theirs.intercept_)


def test_ridge_takes_the_penalty_that_does_best_on_what_it_did_not_see() -> None:
    new = vectors(1, count=60, dimensions=16)
    noise = np.random.default_rng(2).normal(size=(60, 16)) * 3

    found = fitted("ridge", new, unit(new @ rotation(3, dimensions=16) + noise), forced=True)

    order = np.random.default_rng(0).permutation(60)
    held, rest = order[:12], order[12:]
    old = unit(new @ rotation(3, dimensions=16) + noise)
    scores = {
        penalty: mappings._cosine(mappings._ridge(new[rest], old[rest], penalty), new[held],
                                  old[held])
        for penalty in mappings.PENALTIES
    }  # fmt: skip
    best = max(scores, key=scores.__getitem__)
    assert found.cosine == pytest.approx(scores[best])
    assert found.matrix == pytest.approx(mappings._ridge(new, old, best)[0], abs=1e-6)


def test_a_low_rank_map_has_that_rank_and_loses_the_least() -> None:
    new, old = related(4)
    whole, offset = mappings._ridge(new, old, 1e-6)
    fit_of_ridge = new @ whole + offset

    matrix, offset = mappings._low_rank(new, old, 1e-6, rank=3)

    middle = fit_of_ridge - fit_of_ridge.mean(axis=0)
    values = np.linalg.svd(middle, compute_uv=False)
    lost = np.linalg.norm(new @ matrix + offset - fit_of_ridge)
    assert np.linalg.matrix_rank(matrix) == 3
    # What no map of rank 3 keeps: Eckart and Young.
    assert lost == pytest.approx(math.sqrt(float((values[3:] ** 2).sum())), rel=1e-3)


def test_the_cosine_is_of_pairs_that_the_map_did_not_see() -> None:
    new, old = vectors(1, count=40), vectors(2, count=40)

    found = fitted("ridge", new, old)

    seen = (found.apply(new) * old).sum(axis=1).mean()
    assert found.cosine < 0.1 < 0.2 < seen


def test_lengths_of_vectors_count_for_nothing() -> None:
    new, old = related(5)
    lengths = np.random.default_rng(6).uniform(0.1, 9, (len(new), 1))

    found, other = fitted("ridge", new, old), fitted("ridge", new * lengths, old / lengths)

    assert found.matrix == pytest.approx(other.matrix, abs=1e-5)
    assert found.apply(new * lengths) == pytest.approx(found.apply(new), abs=1e-5)
    assert np.linalg.norm(found.apply(new), axis=1) == pytest.approx(np.ones(len(new)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_gives_the_same_map(kind: str) -> None:
    new, old = related(7)

    assert fitted(kind, new, old) == fitted(kind, new, old)
    assert hash(fitted(kind, new, old)) == hash(fitted(kind, new, old))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("of", "to"), [(WIDE, NARROW), (NARROW, WIDE)])
def test_a_map_is_packed_and_read_again(kind: str, of: int, to: int) -> None:
    found = fitted(kind, vectors(1, dimensions=of), vectors(2, dimensions=to))

    again = LinearMap.from_bytes(found.to_bytes())

    assert again == found
    assert (again.kind, again.pairs, again.cosine) == (kind, 200, found.cosine)
    assert again.matrix.shape == (of, to)
    assert again.apply(vectors(3, dimensions=of)).dtype == np.float32


@given(at=st.integers(0, 500), bit=st.integers(0, 7))
def test_a_changed_byte_is_found(at: int, bit: int) -> None:
    packed = bytearray(packed_map())
    packed[at % len(packed)] ^= 1 << bit

    with pytest.raises(Corrupt, match="fit it again"):
        LinearMap.from_bytes(bytes(packed))


@pytest.mark.parametrize(
    "packed", [b"", b"herdbook linear map 1\n", b"herdbook linear map 1\n[]\n", b"\x80\x04K*."]
)
def test_other_bytes_are_no_map(packed: bytes) -> None:
    with pytest.raises(Corrupt, match="no map that Herdbook packed"):
        LinearMap.from_bytes(packed)


@given(cut=st.integers(1, 300))
def test_bytes_that_end_early_are_no_map(cut: int) -> None:
    with pytest.raises(Corrupt):
        LinearMap.from_bytes(packed_map()[:-cut])


def test_a_map_is_not_changed_by_what_it_was_made_of() -> None:
    matrix = np.eye(3, dtype=np.float32)
    made = LinearMap(
        kind="ridge", matrix=matrix, offset=np.zeros(3, np.float32), pairs=9, cosine=1.0
    )

    matrix[0, 0] = 5

    assert made.matrix[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.matrix[0, 0] = 5


def test_three_pairs_a_dimension_are_the_least() -> None:
    assert fewest_pairs(WIDE, NARROW) == fewest_pairs(NARROW, WIDE) == 36
    with pytest.raises(Invalid, match=r"23 pairs are too few .* give 24 or more"):
        fitted("ridge", vectors(1, count=23), vectors(2, count=23))
    assert fitted("ridge", vectors(1, count=24), vectors(2, count=24)).pairs == 24


def test_fewer_pairs_are_taken_when_forced_but_never_fewer_than_ten() -> None:
    assert fitted("procrustes", vectors(1, count=10), vectors(2, count=10), forced=True).pairs == 10
    with pytest.raises(Invalid, match="9 pairs are too few"):
        fitted("procrustes", vectors(1, count=9), vectors(2, count=9), forced=True)


@pytest.mark.parametrize("wrong", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("side", ["new", "old"])
def test_a_row_that_has_no_direction_is_refused(side: str, wrong: float) -> None:
    new, old = related(1)
    (new if side == "new" else old)[17] = wrong

    with pytest.raises(Invalid, match=rf"row 17 of the {side} is 0 or not finite"):
        fitted("ridge", new, old)


@pytest.mark.parametrize("wrong", [0.0, math.nan])
def test_a_vector_that_has_no_direction_is_not_mapped(wrong: float) -> None:
    found = fitted("ridge", *related(1))

    with pytest.raises(Invalid, match="row 1 of the vectors"):
        found.apply(np.array([[1.0] * NARROW, [wrong] * NARROW]))


def test_a_vector_that_becomes_nothing_is_refused() -> None:
    found = LinearMap(
        kind="procrustes",
        matrix=np.diag([1, 0]),
        offset=np.zeros(2, np.float32),
        pairs=9,
        cosine=1.0,
    )

    with pytest.raises(Invalid, match="row 0 of the mapped vectors"):
        found.apply(np.array([[0.0, 1.0]]))


def test_vectors_that_are_all_the_same_are_mapped_to_their_image() -> None:
    new, old = np.ones((30, NARROW)), np.tile(vectors(1, count=1), (30, 1))

    for kind in ("ridge", "low_rank"):
        assert fitted(kind, new, old).apply(new[:1]) == pytest.approx(old[:1], abs=1e-6)


@pytest.mark.parametrize("shape", [(5, WIDE), (NARROW,)])
def test_vectors_of_another_shape_are_not_mapped(shape: tuple[int, ...]) -> None:
    with pytest.raises(Invalid, match="not of the 8 dimensions"):
        fitted("ridge", *related(1)).apply(np.ones(shape))


def test_what_cannot_be_fitted_is_refused() -> None:
    new, old = related(1)

    with pytest.raises(Invalid, match="'mlp' is no kind of map"):
        fitted("mlp", new, old)
    with pytest.raises(Invalid, match="a row of each for every text"):
        fitted("ridge", new, old[1:])
    with pytest.raises(Invalid, match="rank 0"):
        fitted("low_rank", new, old, rank=0)


@pytest.mark.parametrize(
    ("matrix", "offset"),
    [([[1.0, math.nan]], [0.0, 0.0]), ([[1.0, 0.0]], [0.0]), ([1.0, 0.0], [0.0, 0.0])],
)
def test_a_map_that_maps_nothing_is_refused(matrix: list[Any], offset: list[float]) -> None:
    with pytest.raises(Invalid):
        LinearMap(
            kind="ridge", matrix=np.array(matrix), offset=np.array(offset), pairs=9, cosine=1.0
        )


@pytest.mark.parametrize(("pairs", "cosine"), [(0, 1.0), (9, math.nan), (9, 1.5)])
def test_a_map_that_was_never_fitted_is_refused(pairs: int, cosine: float) -> None:
    one = np.ones((1, 1), np.float32)

    with pytest.raises(Invalid, match="was never fitted"):
        LinearMap(kind="ridge", matrix=one, offset=one[0], pairs=pairs, cosine=cosine)
