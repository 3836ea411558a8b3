"""What a target is looked at for before the cut; it fails closed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from herdbook.core.migrations import MigrationPhase
from herdbook.core.vectors import Batch
from herdbook.errors import Conflict, Invalid, Refused
from herdbook.front.moving.proving import Demands, Query
from tests import hashed
from tests.front.collected import UNMEASURED, Herd, check_of, numbered, text_of

QUERIES = tuple(Query(text=text_of(id), relevant={id: 1}) for id in numbered(30))
MEASURED = Demands(queries=QUERIES, k=5)


def constant(texts: Sequence[str]) -> Any:
    """An encoder to which all texts are one."""
    rows = np.zeros((len(texts), 48), np.float32)
    rows[:, 0] = 1
    return rows


def test_a_useless_model_is_not_cut_over_without_a_reason(herd: Herd) -> None:
    collection = herd.created(30)

    found = herd.moved("v2", encoder=constant, demands=MEASURED)

    assert found.phase is MigrationPhase.VERIFY
    assert found.verification is not None
    assert set(found.verification.failed) == {"ndcg", "recall"}
    check = check_of(found, "ndcg")
    assert check.numbers["high"] < 0
    assert "may be worse by more than 0.02" in check.says
    with pytest.raises(Refused, match=r"failed: ndcg, recall; .* give a reason: --force"):
        herd.documents.cut_over("docs")
    with pytest.raises(Refused):
        herd.documents.cut_over("docs", force="")
    assert collection.search(text_of("d007"), k=1)[0].id == "d007"

    forced = herd.documents.cut_over("docs", force="the old model is withdrawn")
    assert forced.phase is MigrationPhase.OBSERVE
    assert forced.reason == "the old model is withdrawn"
    cut = next(iter(herd.book.events.each(action="documents.cut_over")))
    assert cut.body["forced"] == "the old model is withdrawn"


def test_as_good_a_model_passes_whatever_the_overlap(herd: Herd) -> None:
    herd.created(30)

    found = herd.moved("v2", demands=MEASURED)

    assert found.phase is MigrationPhase.VERIFIED
    overlap = check_of(found, "overlap")
    assert not overlap.gate
    assert overlap.numbers["overlap"] < 1
    assert check_of(found, "ndcg").numbers["new"] == pytest.approx(1)


def test_no_queries_fail_closed(herd: Herd) -> None:
    herd.created(5)

    found = herd.moved("v2", demands=Demands())

    assert found.phase is MigrationPhase.VERIFY
    assert "nobody knows whether the new version is as good" in check_of(found, "queries").says
    with pytest.raises(Refused, match="queries"):
        herd.documents.cut_over("docs")
    assert herd.documents.verify("docs", demands=UNMEASURED).phase is MigrationPhase.VERIFIED


def test_one_query_says_nothing(herd: Herd) -> None:
    herd.created(5)

    found = herd.moved("v2", demands=Demands(queries=QUERIES[:1]))

    assert not check_of(found, "ndcg").passed
    with pytest.raises(Invalid, match="needs a text"):
        Query(text=" ", relevant={"d1": 1})
    with pytest.raises(Invalid, match="grade above 0"):
        Query(text="rain", relevant={"d1": 0})


def test_two_spaces_in_the_target_are_found(herd: Herd) -> None:
    herd.created(8)
    found = herd.moved("v2")
    target = found.target.place
    batch = herd.store.fetch(target, ["d001", "d002"], vectors=True)
    batch.metadata[0] = {**batch.metadata[0], "embedding_space": "0" * 32}
    batch.metadata[1] = {**batch.metadata[1], "embedding_space": ""}
    herd.store.upsert(target, batch)

    found = herd.documents.verify("docs", demands=UNMEASURED)

    assert found.phase is MigrationPhase.VERIFY
    assert "000000000000: 1" in check_of(found, "spaces").says
    assert "unknown: 1" in check_of(found, "spaces").says


def test_vectors_that_the_encoder_would_not_give_are_found(herd: Herd) -> None:
    herd.created(8)
    target = herd.moved("v2").target.place
    batch = herd.store.fetch(target, ["d001"], vectors=True)
    herd.store.upsert(
        target, Batch(batch.ids, batch.texts, batch.metadata, hashed.also_two([text_of("d001")]))
    )

    found = herd.documents.verify("docs", demands=UNMEASURED)

    assert found.verification is not None
    assert found.verification.failed == ("sample",)
    assert check_of(found, "sample").says.startswith("7 of 8 embedded again are the same")


def test_an_encoder_that_changed_its_weights_is_found(herd: Herd) -> None:
    herd.created(8)
    now = [hashed.two]
    herd.moved("v2", encoder=(given := lambda texts: now[0](texts)))
    now[0] = hashed.also_two

    found = herd.moved("v2", encoder=given)

    assert found.phase is MigrationPhase.VERIFY
    assert not check_of(found, "sample").passed


def test_what_is_missing_is_brought_over_before_it_is_looked_at_again(herd: Herd) -> None:
    herd.created(8)
    found = herd.moved("v2")
    herd.store.delete(found.target.place, ["d003"])
    herd.bypass(found.target.place, "only here", "extra")

    found = herd.documents.verify("docs", demands=UNMEASURED)

    assert found.phase is MigrationPhase.VERIFIED
    assert herd.contents(found.target.place).keys() == set(numbered(8))


def test_nothing_is_cut_over_that_was_not_carried(herd: Herd) -> None:
    herd.created(8)
    herd.stopped(MigrationPhase.BACKFILL)

    with pytest.raises(Conflict, match="not every document was carried"):
        herd.documents.cut_over("docs", force="never mind")
    with pytest.raises(Conflict, match="there is nothing to verify yet"):
        herd.documents.verify("docs")


def test_an_empty_collection_can_be_moved(herd: Herd) -> None:
    collection = herd.created(0)

    found = herd.moved("v2")
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    assert found.verification is not None
    assert collection.count() == 0
    collection.add(["the first"], ids=["d0"])
    assert collection.search("the first")[0].id == "d0"
