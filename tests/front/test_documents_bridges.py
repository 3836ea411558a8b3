"""Queries of the newer version on the vectors of the older one, where that is better."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from herdbook.errors import Conflict, Invalid, Refused
from herdbook.front.moving import knowing
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.proving import Demands, Query
from tests import hashed
from tests.front.collected import Herd, numbered, text_of

ROTATION = np.linalg.qr(np.random.default_rng(7).normal(size=(32, 32)))[0].astype(np.float32)
QUERIES = tuple(Query(text=text_of(id), relevant={id: 1}) for id in numbered(40)[::4])
MEASURED = Demands(queries=QUERIES, k=5)


def confused(texts: Sequence[str]) -> Any:
    """Embed documents well, and every query alike."""
    return hashed.one(["something else" if t.startswith("query: ") else t for t in texts])


def turned(texts: Sequence[str]) -> Any:
    """The same space, turned: a map onto the old one exists."""
    return hashed.one(texts) @ ROTATION


def score(collection: OpenCollection) -> float:
    """How near the nearest document is to its own text."""
    return collection.search(text_of("d004"), k=1)[0].score


def test_a_bridge_that_improves_is_used_until_it_expires(
    herd: Herd, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = herd.created(120, encoder=confused, query_prefix="query: ")
    assert score(collection) < 0.99

    built = herd.documents.build_bridge("docs", to="v2", encoder=turned, demands=MEASURED)

    assert built.bridge is not None
    assert built.scores[built.bridge.kind] > max(built.scores["old"], built.scores["identity"])
    assert score(collection) > 0.999
    assert herd.documents.get("docs").bridge

    late = datetime.now(UTC) + timedelta(days=15)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return late.astimezone(tz)

    monkeypatch.setattr(knowing, "datetime", Later)
    assert score(collection) < 0.99


def test_a_bridge_ends_with_the_cut(herd: Herd) -> None:
    collection = herd.created(120, encoder=confused, query_prefix="query: ")
    herd.documents.build_bridge("docs", to="v2", encoder=turned, demands=MEASURED)
    # While documents are moved it stays.
    herd.moved("v2", encoder=turned)
    assert score(collection) > 0.999

    herd.documents.cut_over("docs")

    assert herd.documents.get("docs").bridge == ""
    assert score(collection) > 0.999
    herd.documents.roll_back("docs")
    assert herd.documents.get("docs").bridge == ""


def test_a_bridge_that_is_no_better_is_refused(herd: Herd) -> None:
    collection = herd.created(160)

    dry = herd.documents.build_bridge(
        "docs", to="v2", encoder=hashed.two, demands=MEASURED, dry_run=True
    )
    assert dry.bridge is None
    with pytest.raises(Refused, match=r"no bridge: the best, .* move the documents instead"):
        herd.documents.build_bridge("docs", to="v2", encoder=hashed.two, demands=MEASURED)

    assert herd.documents.get("docs").bridge == ""
    assert score(collection) > 0.999


def test_a_bridge_within_one_space_or_without_queries_is_refused(herd: Herd) -> None:
    herd.created(12)

    with pytest.raises(Conflict, match="both are one space"):
        herd.documents.build_bridge("docs", to="v1", demands=MEASURED, encoder=hashed.one)
    with pytest.raises(Invalid, match="give two or more"):
        herd.documents.build_bridge("docs", to="v2", demands=Demands(), encoder=hashed.two)
    with pytest.raises(Invalid, match="at most 90 days"):
        herd.documents.build_bridge("docs", to="v2", demands=MEASURED, encoder=hashed.two, days=91)
