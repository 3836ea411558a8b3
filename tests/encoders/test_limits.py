"""Texts that are set aside before anything is asked to embed them."""

import pytest

from herdbook.encoders import TEXT_LIMIT, refusal


@pytest.mark.parametrize("text", ["rain", " a ", "Jürgen", "🐄", "\x00", "x" * TEXT_LIMIT])
def test_a_text_is_embedded(text: str) -> None:
    assert refusal(text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "no text"),
        ("", "blank"),
        (" \t\n\u00a0\u2003", "blank"),
        ("a\ud800b", "half a surrogate pair at character 1"),
        ("\udcff", "half a surrogate pair"),
        ("x" * (TEXT_LIMIT + 1), "100,001 characters"),
        (" " * (TEXT_LIMIT + 1), "100,001 characters"),
        (b"rain", "no text but bytes"),
    ],
)
def test_a_text_that_cannot_be_embedded_is_told_why(text: str | None, why: str) -> None:
    assert why in refusal(text)


def test_the_limit_can_be_another() -> None:
    assert refusal("four", limit=3) == "it has 4 characters; at most 3 are embedded"
