"""Documents nobody can move: set aside, listed, and the rest goes on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from herdbook.core.migrations import MigrationPhase, Options
from herdbook.core.vectors import Batch
from herdbook.errors import Conflict, HerdbookError, Invalid, Refused
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.proving import Demands
from herdbook.front.moving.telling import News
from tests import hashed
from tests.front.collected import KINDS, Herd, check_of, text_of

ACCEPTING = Demands(without_queries=True, accept_set_aside=True)


def written_past(herd: Herd, texts: dict[str, str | None]) -> None:
    """Put texts into the source that Herdbook itself would refuse."""
    place = herd.documents.get("docs").home.place
    metadata: list[dict[str, Any]] = [{"page": 1} for _ in texts]
    vectors = hashed.one(["something else"] * len(texts))
    herd.store.upsert(place, Batch(list(texts), list(texts.values()), metadata, vectors))


def set_aside(herd: Herd) -> dict[str, str]:
    """What is listed, and why."""
    found = herd.documents.status("docs")
    return {each.id: each.reason for each in herd.documents.set_aside(found.id).items}


@pytest.mark.parametrize("kind", KINDS)
def test_poison_is_listed_the_rest_goes_on_and_what_is_mended_is_taken_back(herd: Herd) -> None:
    collection = herd.created(10)
    poison = {"blank": " \n", "missing": None, "megabyte": "word " * 200_000}
    written_past(herd, {**poison, "raises": f"it is {hashed.POISON}"})

    found = herd.moved("v2", options=Options(shard=5))

    assert found.phase is MigrationPhase.VERIFY
    reasons = set_aside(herd)
    assert reasons.keys() == {"blank", "missing", "megabyte", "raises"}
    assert reasons["blank"] == "it is blank"
    assert "no text" in reasons["missing"]
    assert "1,000,000 characters" in reasons["megabyte"]
    assert hashed.POISON in reasons["raises"]
    assert herd.contents(found.target.place).keys() == {text_of(x).split()[3] for x in ids(10)}
    assert found.progress.set_aside == 4
    assert check_of(found, "ids").passed
    with pytest.raises(Refused, match="failed: set_aside"):
        herd.documents.cut_over("docs")

    collection.add(["mended now"], ids=["blank"])
    collection.delete(["missing"])
    written_past(herd, {"raises": "mended past Herdbook"})
    found = herd.moved("v2")
    assert set_aside(herd).keys() == {"megabyte"}
    assert not check_of(found, "set_aside").passed

    found = herd.moved("v2", demands=ACCEPTING)
    assert found.phase is MigrationPhase.VERIFIED
    herd.documents.cut_over("docs")
    assert collection.search("mended past Herdbook", k=1)[0].id == "raises"
    assert collection.search("mended now", k=1)[0].id == "blank"


def ids(count: int) -> list[str]:
    """The ids that were there before."""
    return [f"d{at:03}" for at in range(count)]


class Failing:
    """An encoder that does something odd with texts that say `odd`."""

    def __init__(self, odd: Any) -> None:
        self.odd = odd

    def __call__(self, texts: Sequence[str]) -> Any:
        rows = hashed.two(texts)
        for at, text in enumerate(texts):
            if "odd" in text:
                if isinstance(self.odd, Exception):
                    raise self.odd
                rows[at] = self.odd
        return rows


@pytest.mark.parametrize(
    "odd",
    [
        float("nan"),
        float("inf"),
        0.0,
        ValueError("no"),
        ValueError("quoting \x00 half \ud800 of a pair"),
        RuntimeError("x" * 10_000),
        AssertionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ],
    ids=lambda odd: type(odd).__name__ if isinstance(odd, Exception) else str(odd),
)
def test_what_an_encoder_refuses_is_set_aside_alone(herd: Herd, odd: Any) -> None:
    collection = herd.created(5)
    collection.add(["an odd one"], ids=["d002"])

    found = herd.moved("v2", encoder=Failing(odd), demands=ACCEPTING)

    assert found.phase is MigrationPhase.VERIFIED
    assert set_aside(herd).keys() == {"d002"}
    assert len(set_aside(herd)["d002"]) <= 300
    assert len(herd.contents(found.target.place)) == 4


def test_an_encoder_of_the_wrong_dimension_moves_nothing(herd: Herd) -> None:
    herd.created(5)
    broken = [False]

    def changing(texts: Sequence[str]) -> Any:
        return hashed.one(texts) if broken[0] else hashed.two(texts)

    def said(news: News) -> None:
        broken[0] = news.phase is MigrationPhase.BACKFILL

    with pytest.raises(Conflict, match="gives vectors of 32 dimensions, and 48 are wanted"):
        herd.moved("v2", encoder=changing, carrying=Carrying(said=said))

    found = herd.documents.status("docs")
    assert not herd.documents.set_aside(found.id).items
    broken[0] = False
    assert herd.moved("v2", encoder=changing).phase is MigrationPhase.VERIFIED


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_surrogate_pair_is_refused_or_set_aside(herd: Herd) -> None:
    collection = herd.created(3)

    with pytest.raises(Invalid, match="half a surrogate"):
        collection.add(["half \ud800"], ids=["half"])

    try:
        written_past(herd, {"half": "half \ud800 of a pair"})
    except HerdbookError:
        return  # the store holds no such text
    found = herd.moved("v2", demands=ACCEPTING)
    assert found.phase is MigrationPhase.VERIFIED
    assert set_aside(herd).keys() == {"half"}


@pytest.mark.parametrize("kind", KINDS)
def test_odd_ids_and_huge_metadata_go_through_the_whole_story(herd: Herd) -> None:
    collection = herd.created(3)
    odd = ["a b", "a'b", 'a"b', "a/b\\c", "%2e", "-x", "ä 漢 🐄", "tab\tnew\nline", "'; --"]
    odd.append("x" * 400)
    huge = {"long": "word " * 20_000, "zero": 0, "no": False, "float": 1.5, "text": "NULL"}
    collection.add([f"text number {at} odd" for at in range(len(odd))], ids=odd,
                   metadata=[huge] * len(odd))  # fmt: skip
    collection.delete(["a b"])

    found = herd.moved("v2", options=Options(shard=3))
    assert found.phase is MigrationPhase.VERIFIED
    collection.add(["another text"], ids=["a'b"])
    collection.delete(["%2e"])
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    left = herd.contents()
    assert left.keys() == {*ids(3), *odd} - {"a b", "%2e"}
    assert left["a'b"][0] == "another text"
    kept = {key: value for key, value in left["x" * 400][1].items() if key in huge}
    assert kept == huge
    assert collection.search("text number 8 odd", k=1)[0].id == "'; --"
    assert np.isclose(collection.search("another text", k=1)[0].score, 1, atol=1e-3)
