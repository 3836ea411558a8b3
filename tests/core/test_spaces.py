"""Embedding spaces, and how what embeds is named."""

from dataclasses import fields, replace
from typing import Any

import pytest

from herdbook.core.spaces import EncoderSpec, Space, estimated_tokens
from herdbook.errors import HerdbookError, Invalid

KNOWN = Space(model="gbert", number="v1", dimension=384, digest="sha256:5d", normalized=True)
UNKNOWN = replace(KNOWN, digest="")


def test_bytes_make_a_space_and_not_the_number() -> None:
    assert replace(KNOWN, number="v2").fingerprint == KNOWN.fingerprint
    assert replace(UNKNOWN, number="v2").fingerprint != UNKNOWN.fingerprint
    assert replace(UNKNOWN, model="majora").fingerprint != UNKNOWN.fingerprint


def test_everything_that_makes_vectors_comparable_is_in_the_fingerprint() -> None:
    for field in fields(Space):
        if field.name in ("model", "number", "embeds_as"):
            continue
        now = getattr(KNOWN, field.name)
        other: Any = {str: "other", int: 7, bool: not now}[type(now)]
        assert replace(KNOWN, **{field.name: other}).fingerprint != KNOWN.fingerprint, field.name


def test_a_version_that_changed_only_metadata_is_in_the_space_of_the_other() -> None:
    then = replace(UNKNOWN, number="v2", embeds_as="v1")

    assert then.fingerprint == UNKNOWN.fingerprint
    assert then != UNKNOWN
    assert replace(KNOWN, number="v2", embeds_as="v1").fingerprint == KNOWN.fingerprint


@pytest.mark.parametrize("dimension", [0, -1, 65_537, 1.5, True])
def test_a_dimension_is_a_whole_number_in_bounds(dimension: int) -> None:
    with pytest.raises(Invalid, match="vectors have 1 to 65536 numbers"):
        Space(model="gbert", number="v1", dimension=dimension)


@pytest.mark.parametrize(
    "said",
    [
        {"source": "gbert"},
        {"source": "python:module"},
        {"source": "python:a:b:c"},
        {"source": "https://me:secret@host/v1"},
        {"batch": 0},
        {"batch": 5_000},
        {"price_per_million_tokens": -1.0},
        {"price_per_million_tokens": float("nan")},
        {"embeds_as": "no number"},
        {"number": ""},
        {"model": ""},
    ],
)
def test_what_names_no_encoder_is_refused(said: dict[str, object]) -> None:
    given = {"model": "gbert", "number": "v1", "source": "https://host/v1"} | said

    with pytest.raises(HerdbookError):
        EncoderSpec(**given)  # type: ignore[arg-type]


def test_tokens_are_estimated_by_characters() -> None:
    assert estimated_tokens([]) == 0
    assert estimated_tokens(["", "abc", "abcde"]) == 3
