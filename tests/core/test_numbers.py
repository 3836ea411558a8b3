"""Version numbers: one total order, and what comes next."""

from functools import cmp_to_key

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from herdbook.core.numbers import NUMBER_LIMIT, Bump, Number
from herdbook.errors import Invalid

identifiers = st.from_regex(r"[0-9A-Za-z-]{1,6}", fullmatch=True) | st.sampled_from(
    ["0", "1", "2", "10", "alpha", "beta", "rc", "a-", "-", "01"]
)
parts = st.integers(0, 12) | st.integers(0, 10**15 - 1)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A number as people write it."""
    head = ".".join(str(p) for p in draw(st.lists(parts, min_size=1, max_size=3)))
    pre = ".".join(draw(st.lists(identifiers, max_size=4)))
    return draw(st.sampled_from(["", "v", "V"])) + head + (f"-{pre}" if pre else "")


numbers = texts().map(Number)


def precedence(one: str, other: str) -> int:  # noqa: PLR0911 - as the standard has it
    """Semantic Versioning's precedence (section 11), written from its text."""
    (a, pre_a), (b, pre_b) = _split(one), _split(other)
    if a != b:
        return -1 if a < b else 1
    if not pre_a or not pre_b:
        return bool(pre_b) - bool(pre_a) if bool(pre_a) != bool(pre_b) else 0
    for left, right in zip(pre_a, pre_b, strict=False):
        if left.isdigit() and right.isdigit():
            left_rank, right_rank = int(left), int(right)
            if left_rank != right_rank:
                return -1 if left_rank < right_rank else 1
        elif left.isdigit() != right.isdigit():
            return -1 if left.isdigit() else 1
        elif left != right:
            return -1 if left < right else 1
    return (len(pre_a) > len(pre_b)) - (len(pre_a) < len(pre_b))


def _split(text: str) -> tuple[list[int], list[str]]:
    head, _, pre = text.lstrip("vV").partition("-")
    release = [int(p) for p in head.split(".")]
    return release + [0] * (3 - len(release)), pre.split(".") if pre else []


@given(one=numbers, other=numbers)
def test_numbers_are_ordered_by_precedence(one: Number, other: Number) -> None:
    wanted = precedence(one.text, other.text)

    assert (one < other, one == other, one > other) == (wanted < 0, wanted == 0, wanted > 0)
    assert (one.key < other.key, one.key == other.key) == (wanted < 0, wanted == 0)
    if wanted == 0:
        assert hash(one) == hash(other)


@given(some=st.lists(numbers, max_size=8))
def test_sorting_by_key_bytes_is_sorting_by_precedence(some: list[Number]) -> None:
    by_key = sorted(some, key=lambda number: number.key.encode())

    texts_ = sorted((number.text for number in some), key=cmp_to_key(precedence))
    assert [number.text for number in by_key] == texts_


@given(number=numbers, bump=st.none() | st.sampled_from(Bump))
def test_the_next_number_is_greater_in_the_same_style(number: Number, bump: Bump | None) -> None:
    assume(max(number.release) < 10**15 - 1)

    after = number.next(bump)

    assert after > number
    assert not after.prerelease
    assert after.text.startswith("v") == number.text.startswith("v")
    assert after.parts_written >= number.parts_written


@pytest.mark.parametrize("text", ["v1", "V1", "1", "1.0", "v1.0", "1.0.0", "01", "1.00.0"])
def test_a_leading_v_and_missing_parts_make_no_difference(text: str) -> None:
    assert Number(text) == Number("v1")
    assert str(Number(text)) == text


@pytest.mark.parametrize(
    ("text", "bump", "wanted"),
    [
        ("v1", None, "v2"),
        ("v2.1", None, "v2.2"),
        ("1.0.9", None, "1.0.10"),
        ("1.2.3", Bump.MINOR, "1.3.0"),
        ("1.2.3", Bump.MAJOR, "2.0.0"),
        ("v1", Bump.PATCH, "v1.0.1"),
        ("1.0.0-rc.1", None, "1.0.0"),
        ("v2-rc", None, "v2"),
        ("1.0.0-rc.1", Bump.PATCH, "1.0.1"),
    ],
)
def test_what_comes_next(text: str, bump: Bump | None, wanted: str) -> None:
    assert Number(text).next(bump).text == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "v", "latest", "1.2.3.4", "1..2", ".1", "1.", "1.0.0-", "1.0.0-a..b", "1.0.0+build",
        "-1", "v-1", "1 ", " 1", "1\n", "\u0661", "\uff11", "1.0.0-\u00e9", "1e3", "0x1", "vv1",
        str(10**15), "1." + "9" * 16, "1.0.0-" + "a" * NUMBER_LIMIT,
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a version number"):
        Number(text)


def test_the_longest_number_is_one() -> None:
    assert len(str(Number("1.0.0-" + "a" * (NUMBER_LIMIT - 6)))) == NUMBER_LIMIT
    assert Number(str(10**15 - 1)).release[0] == 10**15 - 1
