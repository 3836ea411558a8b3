"""The metadata every document carries, in stores that nest and in those that do not."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core import stamps
from herdbook.core.spaces import Space
from herdbook.core.stamps import Hop, Stamper, content_digest, history_text, read
from herdbook.errors import Invalid

AT = datetime(2024, 1, 20, 14, tzinfo=UTC)
SPACE = Space(model="gbert", number="v2", dimension=3)
# As the seed has it.
SEED = {
    "embedding_model": "paraphrase-multilingual-MiniLM-L12-v2",
    "embedding_model_version": "1.1.0",
    "indexed_at": "2024-01-15T10:30:00",
    "migration_history": [
        {"from_version": "1.0.0", "to_version": "1.1.0", "migrated_at": "2024-01-20T14:00:00"}
    ],
}


def stamper(*, nested: bool, hops: int = 1) -> Stamper:
    """One that adds hops."""
    hop = Hop(from_version="v1", to_version="v2", migrated_at=AT)
    return Stamper(space=SPACE, at=AT, write="w", nested=nested, hops=(hop,) * hops)


def test_the_seeds_own_documents_are_read() -> None:
    found = read(SEED)

    assert (found.model, found.number) == ("paraphrase-multilingual-MiniLM-L12-v2", "1.1.0")
    assert found.history[0].to_version == "1.1.0"
    assert found.indexed_at is not None
    assert found.indexed_at.tzinfo is not None
    assert not found.known


@pytest.mark.parametrize("nested", [True, False])
def test_a_stamp_is_read_as_it_was_written(*, nested: bool) -> None:
    said = stamper(nested=nested).stamped(
        {"page": 3},
        content="c",
        history=[{**SEED["migration_history"][0]}],  # type: ignore[dict-item]
    )

    assert tuple(key for key in said if key != "page") == stamps.KEYS
    assert isinstance(said["migration_history"], list if nested else str)
    found = read(said)
    assert [hop.to_version for hop in found.history] == ["1.1.0", "v2"]
    assert (found.number, found.space, found.indexed_at) == ("v2", SPACE.fingerprint, AT)
    assert (found.content, found.write, found.known) == ("c", "w", True)
    assert stamps.unstamped(said) == {"page": 3}


@pytest.mark.parametrize("nested", [True, False])
def test_without_history_there_is_an_empty_one(*, nested: bool) -> None:
    said = stamper(nested=nested, hops=0).stamped({}, content="", history=[])

    assert said["migration_history"] == ([] if nested else "[]")
    assert read(said).history == ()


@pytest.mark.parametrize("history", ["{", "7", {"a": 1}, 7, [7], [{"from_version": "v1"}]])
def test_what_is_no_history_is_refused(history: Any) -> None:
    with pytest.raises(Invalid, match=r"is no (history|step of a history)"):
        read({"migration_history": history})


def test_a_document_that_says_nothing_is_unknown() -> None:
    assert read({}) == stamps.Stamp()
    assert not read({"embedding_space": 7}).known
    with pytest.raises(Invalid):
        read({"indexed_at": "yesterday"})


METADATA = st.dictionaries(
    st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(), st.booleans()), max_size=4
)


@given(st.text(max_size=20), METADATA)
def test_a_digest_is_of_text_and_metadata_whatever_the_stamp(
    text: str, own: dict[str, Any]
) -> None:
    own = stamps.unstamped(own)
    said = stamper(nested=False).stamped(own, content="x", history=[])
    turned = dict(reversed(said.items()))

    assert content_digest(text, said) == content_digest(text, own) == content_digest(text, turned)
    assert content_digest(text, {**own, "new": 1}) != content_digest(text, own)
    assert content_digest(text + "!", own) != content_digest(text, own)


def test_half_a_surrogate_pair_has_a_digest_and_no_text_another_than_none() -> None:
    assert len(content_digest("half \ud800", {})) == 32
    assert history_text([]) == "[]"
