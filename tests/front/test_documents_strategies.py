"""Strategies by the seeds' names: registered, found, and applied to metadata alone."""

import copy
from typing import Any

import pytest

from herdbook.core.stamps import Metadata
from herdbook.errors import Conflict, HerdbookError, Invalid, NotFound
from herdbook.front.moving.strategies import Strategies
from tests.front.collected import hops


def with_language(metadata: Metadata) -> Metadata:
    """What 1.1.0 asks of metadata."""
    return {**metadata, "language": "de"}


def without_language(metadata: Metadata) -> Metadata:
    """The way back."""
    return {key: value for key, value in metadata.items() if key != "language"}


def in_capitals(metadata: Metadata) -> Metadata:
    """What 1.2.0 asks of it; fails where there is no language."""
    return {**metadata, "language": metadata["language"].upper()}


@pytest.fixture
def known() -> Strategies:
    """The seed's versions."""
    found = Strategies()
    found.register_strategy("gbert", "1.0.0", "1.1.0", with_language, back=without_language)
    found.register_strategy("gbert", "1.1.0", "1.2.0", in_capitals)
    found.register_strategy("gbert", "1.2.0", "2.0.0", way="reembed")
    return found


def test_what_can_be_migrated_is_known_by_value(known: Strategies) -> None:
    assert known.can_migrate("gbert", "v1", "1.2")
    assert known.can_migrate("gbert", "1.1.0", "1.0.0")
    assert known.can_migrate("gbert", "2.0.0", "1.2.0")
    assert known.can_migrate("gbert", "v1", "1.0.0")
    assert not known.can_migrate("gbert", "1.2.0", "1.1.0")
    assert not known.can_migrate("majora", "1.0.0", "1.1.0")
    with pytest.raises(NotFound, match=r"no strategy of gbert leads from 1\.2\.0 to 1\.1\.0"):
        known.find_migration_path("gbert", "1.2.0", "1.1.0")


@pytest.mark.parametrize("history", [[], "[]"])
def test_one_documents_metadata_goes_step_by_step(known: Strategies, history: Any) -> None:
    given = {"page": 3, "embedding_model_version": "1.0.0", "migration_history": history}
    before = copy.deepcopy(given)

    found = known.migrate("gbert", "1.0.0", "1.2.0", given)

    assert given == before
    assert (found["language"], found["page"]) == ("DE", 3)
    assert found["embedding_model_version"] == "1.2.0"
    assert hops(found) == [("1.0.0", "1.1.0"), ("1.1.0", "1.2.0")]
    assert type(found["migration_history"]) is type(history)


def test_forwards_and_back_is_as_before_but_for_the_history(known: Strategies) -> None:
    there = known.migrate("gbert", "1.0.0", "1.1.0", {"page": 3})
    back = known.migrate("gbert", "1.1.0", "1.0.0", there)

    assert "language" not in back
    assert hops(back) == [("1.0.0", "1.1.0"), ("1.1.0", "1.0.0")]


def test_what_embeds_is_not_done_to_metadata_alone(known: Strategies) -> None:
    with pytest.raises(Conflict, match="documents are embedded anew"):
        known.migrate("gbert", "1.0.0", "2.0.0", {})
    with pytest.raises(Conflict, match="embeds anew"):
        known.migrate_documents_metadata("gbert", "1.0.0", "2.0.0", [])


def test_many_documents_go_and_those_elsewhere_stay(known: Strategies) -> None:
    documents: list[Metadata] = [
        {"embedding_model_version": "v1", "page": 1},
        {"embedding_model_version": "1.2.0", "page": 2},
        {"page": 3},
        {"embedding_model_version": "1.0.0", "page": 4, "migration_history": 7},
    ]
    before = copy.deepcopy(documents)

    dry = known.migrate_documents_metadata("gbert", "1.0.0", "1.1.0", documents, dry_run=True)
    done = known.migrate_documents_metadata("gbert", "1.0.0", "1.1.0", documents)

    assert documents == before
    assert dry.documents == ()
    assert (dry.changed, done.changed) == (2, 2)
    assert done.failed.keys() == dry.failed.keys() == {"3"}
    assert "is no history" in done.failed["3"]
    assert [each.get("language") for each in done.documents] == ["de", None, "de", None]
    assert [each["page"] for each in done.documents] == [1, 2, 3, 4]


def test_a_function_that_fails_is_named(known: Strategies) -> None:
    with pytest.raises(Invalid, match=r"in_capitals failed: KeyError: 'language'"):
        known.migrate("gbert", "1.1.0", "1.2.0", {})


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("v1", "1.0.0", "are one version"),
        ("v1", "1.1", "there is a strategy from v1 to 1.1 of gbert"),
        ("nonsense", "1.1", "nonsense"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(
    known: Strategies, begin: str, end: str, said: str
) -> None:
    with pytest.raises(HerdbookError, match=said):
        known.register_strategy("gbert", begin, end, with_language)
