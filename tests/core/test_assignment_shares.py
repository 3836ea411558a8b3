"""Units get their versions in the right shares, independently of each other, and for ever."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herdbook.core.assignment import Assignment, Reason
from herdbook.core.recording import CELLS, POSITION_BITS
from herdbook.core.units import BUCKETS, Part, bucket, hash_of
from tests.core.assigning import A_TEST, USERS, arms, assigned, close_to, moved, share

# Chance alone passes it once in 10 million times.
CHI_SQUARE_OF_ONE = 28.4
SALTS = st.text(alphabet="0123456789abcdef", min_size=16, max_size=16)


def chi_square(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Pearson's statistic of a table of two by two."""
    cells = Counter(zip(one, other, strict=True))
    rows, columns = Counter(one), Counter(other)
    expected = {(a, b): rows[a] * columns[b] / len(one) for a in rows for b in columns}
    return sum((cells[at] - due) ** 2 / due for at, due in expected.items())


# --- shares ---


@settings(max_examples=25, deadline=None)
@given(
    salt=SALTS,
    percent=st.sampled_from([0.5, 1, 10, 33.3, 50, 90]),
    count=st.integers(min_value=1, max_value=4),
)
def test_every_arm_gets_its_share(salt: str, percent: float, count: int) -> None:
    tried = arms(*(f"v3.{at}" for at in range(count)), percent=percent)

    found = assigned(replace(A_TEST, salt=salt, arms=tried))

    got = Counter(each.variant for each in found)
    for arm in tried:
        assert got[arm.name] / len(USERS) == close_to(arm.share, of=len(USERS))


@settings(max_examples=15, deadline=None)
@given(salt=SALTS, coverage=st.sampled_from([0.02, 0.1, 0.5, 0.9]))
def test_coverage_takes_its_share_and_splits_it_evenly(salt: str, coverage: float) -> None:
    found = assigned(replace(A_TEST, salt=salt, coverage=coverage))

    part = [each for each in found if each.experiment]
    assert len(part) / len(found) == close_to(coverage, of=len(found))
    assert share(part, lambda each: each.variant == "treatment") == close_to(0.5, of=len(part))


@pytest.mark.parametrize(
    "units",
    [
        USERS,
        [str(at) for at in range(20_000)],
        [f"{at:032x}" for at in range(20_000)],
        [f"{at}@example.org" for at in range(20_000)],
        ["x" * (at % 300) + str(at) for at in range(20_000)],
    ],
    ids=["names", "digits", "padded", "addresses", "lengths"],
)
def test_buckets_are_uniform_whatever_units_look_like(units: list[str]) -> None:
    bins = 256

    counts = Counter(bucket("9f86d081884c7d65", Part.VARIANT, unit) * bins >> 32 for unit in units)

    due = len(units) / bins
    found = sum((counts[at] - due) ** 2 / due for at in range(bins))
    # 255 degrees of freedom: the mean is 255, the standard deviation 22.6.
    assert found < 255 + 6 * 22.6


def test_the_hash_results_are_recorded_by_spreads_over_all_cells() -> None:
    cells = Counter(hash_of(unit) % CELLS for unit in USERS)

    due = len(USERS) / CELLS
    assert len(cells) == CELLS
    assert sum((cells[at] - due) ** 2 / due for at in range(CELLS)) < 1023 + 6 * 45.2
    assert len({hash_of(unit) >> 64 - POSITION_BITS for unit in USERS}) > 0.99 * len(USERS)


# --- independence ---


@settings(max_examples=15, deadline=None)
@given(salt=SALTS)
def test_who_takes_part_says_nothing_of_who_is_treated(salt: str) -> None:
    covered = [bucket(salt, Part.COVERAGE, unit) < BUCKETS // 2 for unit in USERS]
    treated = [bucket(salt, Part.VARIANT, unit) < BUCKETS // 2 for unit in USERS]

    assert chi_square(covered, treated) < CHI_SQUARE_OF_ONE


@settings(max_examples=15, deadline=None)
@given(salts=st.tuples(SALTS, SALTS).filter(lambda pair: pair[0] != pair[1]))
def test_experiments_of_two_models_do_not_depend_on_each_other(salts: tuple[str, str]) -> None:
    first = assigned(replace(A_TEST, salt=salts[0]))
    second = assigned(replace(A_TEST, salt=salts[1], model="majora"), model="majora")

    sides = [[each.variant == "treatment" for each in found] for found in (first, second)]
    assert chi_square(*sides) < CHI_SQUARE_OF_ONE


@pytest.mark.parametrize("others", [(Part.EXCLUSION, "model:gnn"), (Part.HOLDOUT, "gnn")])
def test_parts_and_holdouts_do_not_depend_on_the_split(others: tuple[Part, str]) -> None:
    part, salt = others
    inside = [bucket(salt, part, unit) < BUCKETS // 2 for unit in USERS]
    treated = [bucket(A_TEST.salt, Part.VARIANT, unit) < BUCKETS // 2 for unit in USERS]

    assert chi_square(inside, treated) < CHI_SQUARE_OF_ONE


def test_results_cells_do_not_depend_on_the_split() -> None:
    even = [hash_of(unit) % CELLS % 2 == 0 for unit in USERS]
    treated = [each.variant == "treatment" for each in assigned(A_TEST)]

    assert chi_square(even, treated) < CHI_SQUARE_OF_ONE


def test_one_salt_for_two_purposes_fails_the_same_test() -> None:
    covered = [bucket("s", Part.VARIANT, unit) < BUCKETS * 0.6 for unit in USERS]
    treated = [bucket("s", Part.VARIANT, unit) < BUCKETS * 0.5 for unit in USERS]

    assert chi_square(covered, treated) > 1000


# --- nobody is moved ---


@settings(max_examples=15, deadline=None)
@given(salt=SALTS, count=st.integers(min_value=1, max_value=3))
def test_widening_moves_nobody_who_takes_part(salt: str, count: int) -> None:
    tried = arms(*(f"v3.{at}" for at in range(count)))
    coverages = (0.02, 0.1, 0.2, 0.5, 1.0)

    stages = [
        assigned(replace(A_TEST, salt=salt, arms=tried, coverage=each), units=USERS[:4000])
        for each in coverages
    ]

    assert [moved(*pair) for pair in pairwise(stages)] == [0] * 4
    sizes = [sum(bool(each.experiment) for each in stage) for stage in stages]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 4000


def test_a_split_by_one_hash_moves_many_and_fails_the_same_test() -> None:
    def naive(coverage: float) -> list[Assignment]:
        """Treatments own the first half of those who take part, by one hash."""
        found = []
        for unit in USERS:
            at = bucket("s", Part.VARIANT, unit) / BUCKETS
            name = "treatment" if at < coverage / 2 else "control"
            inside = {"experiment": "t", "variant": name} if at < coverage else {}
            found.append(Assignment(model="gnn", version=name, **inside))  # type: ignore[arg-type]
        return found

    assert moved(naive(0.2), naive(0.4)) > 1000


def test_a_pause_gives_all_the_champion_and_resuming_gives_back_what_was() -> None:
    before = assigned(A_TEST)

    paused = assigned(replace(A_TEST, running=False))
    after = assigned(replace(A_TEST, phase=2))

    assert {(each.version, each.experiment, each.reason) for each in paused} == {
        ("v2.1.0", "", Reason.PAUSED)
    }
    assert moved(before, after) == 0
    assert {each.phase for each in after} == {2}
