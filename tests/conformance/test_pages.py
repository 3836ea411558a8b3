"""What every database promises of pages."""

import base64
import json
from typing import Any

import pytest

from herdbook.core.pages import page_token
from herdbook.errors import Invalid
from herdbook.services import deployments, models, versions
from tests.conformance.test_search import filled, refs, whole
from tests.registers import Register

__all__ = ["filled"]


@pytest.mark.parametrize("size", [1, 2, 3, 9, 10, 11])
@pytest.mark.parametrize(
    "order",
    [
        "",
        "ORDER BY metrics.accuracy DESC",
        "ORDER BY metrics.accuracy, model DESC",
        "ORDER BY tags.team, tags.team DESC, ordinal",
        "ORDER BY number DESC, created_at",
    ],
)
def test_the_pages_of_any_size_make_up_the_whole(filled: Register, order: str, size: int) -> None:
    everything = refs(filled, order)

    pages = whole(lambda p: filled.read(versions.page, filter=order, page_size=size, page=p))

    assert [v.ref for v in pages] == everything
    assert len(set(everything)) == len(everything) == (7 if "metrics" in order else 10)


def test_what_is_added_between_pages_shifts_none_of_those_to_come(filled: Register) -> None:
    first = filled.read(versions.page, page_size=4)
    filled.add("majora")

    rest = filled.read(versions.page, page_size=100, page=first.next)

    found = [v.ref for v in (*first.items, *rest.items)]
    assert found == refs(filled, "")[1:]


def forged(position: list[object], token: str) -> str:
    """The token of a page, its position replaced."""
    shape = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]
    return page_token(shape, position)


@pytest.mark.parametrize(
    "position",
    [[], ["x"], [1.5], [True], [None], [10**30], [-(10**30)], [1, 2], [[1]], [{}], ["\ud800"]],
)
def test_a_forged_page_is_refused(filled: Register, position: list[object]) -> None:
    token = filled.read(versions.page, page_size=2).next
    assert token

    with pytest.raises(Invalid, match="begin again"):
        filled.read(versions.page, page=forged(position, token))


@pytest.mark.parametrize("text", ["\x00", "\ud800", 7])
def test_a_forged_page_of_texts_is_refused(filled: Register, text: object) -> None:
    token = filled.read(models.page, page_size=1).next
    assert token

    with pytest.raises(Invalid):
        filled.read(models.page, page=forged([text], token))


@pytest.mark.parametrize("token", ["", "x", "é", "W10", "bnVsbA", "[" * 10_000, "AAAA" * 1000])
def test_what_is_no_page_is_refused(filled: Register, token: str) -> None:
    with pytest.raises(Invalid, match="begin again"):
        filled.read(versions.page, page=token)
    with pytest.raises(Invalid, match="begin again"):
        filled.read(deployments.history, page=token)


def test_a_page_of_another_question_is_refused(filled: Register) -> None:
    token = filled.read(versions.page, page_size=2).next

    others: list[dict[str, Any]] = [
        {"filter": "ordinal > 0"},
        {"model": "majora"},
        {"filter": "ORDER BY ordinal"},
    ]
    for other in others:
        with pytest.raises(Invalid):
            filled.read(versions.page, page=token, **other)
    with pytest.raises(Invalid):
        filled.read(models.page, page=token)


@pytest.mark.parametrize("size", [0, -1, 1_001, 10**9, True, 1.0, "5"])
def test_a_page_size_out_of_bounds_is_refused(filled: Register, size: Any) -> None:
    with pytest.raises(Invalid, match="page_size"):
        filled.read(versions.page, page_size=size)
