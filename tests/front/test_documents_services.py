"""A migration whose encoder is a service that fails in the middle, in every way services do."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from herdbook.core.migrations import MigrationPhase, Options
from herdbook.encoders.waiting import Patience
from herdbook.errors import Conflict, HerdbookError
from herdbook.front.moving.proving import Demands
from tests.encoders import service
from tests.encoders.service import Answer, Asked, Service
from tests.front.collected import UNMEASURED, Herd, text_of

ACCEPTING = Demands(without_queries=True, accept_set_aside=True)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    hasty = functools.partial(Patience, sleep=lambda _: None)
    monkeypatch.setattr("herdbook.encoders.remote.Patience", hasty)
    with service.running() as found:
        yield found


def busy(_: Asked) -> Answer:
    return Answer({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0"})


def broken(_: Asked) -> Answer:
    return Answer(b"oh no", status=500)


def refused(said: str) -> Callable[[Asked], Answer]:
    """Answer badly when a text says so."""

    def answer(asked: Asked) -> Answer:
        found = service.good(asked)
        body: Any = found.body
        for each, text in zip(body["data"], asked["input"], strict=True):
            if said in text:
                each["embedding"] = [float("nan")] * service.DIMENSION
        return found

    return answer


def test_a_service_that_is_busy_and_breaks_is_asked_again(served: Service, herd: Herd) -> None:
    collection = herd.created(20)
    herd.stopped(MigrationPhase.BACKFILL, encoder=served.address, options=Options(shard=5), batch=5)
    served.script = [busy, service.good, broken, busy, service.good, broken]

    found = herd.documents.move("docs", demands=UNMEASURED)

    assert found.phase is MigrationPhase.VERIFIED
    herd.documents.cut_over("docs")
    assert collection.search(text_of("d007"), k=1)[0].id == "d007"


def test_a_text_a_service_gives_no_numbers_for_is_set_aside(served: Service, herd: Herd) -> None:
    herd.created(12)
    served.always = refused("d003")

    found = herd.moved("v2", encoder=served.address, demands=ACCEPTING)

    aside = herd.documents.set_aside(found.id).items
    assert [each.id for each in aside] == ["d003"]
    assert found.phase is MigrationPhase.VERIFIED


def test_a_service_that_is_replaced_in_the_middle_moves_nothing_more(
    served: Service, herd: Herd
) -> None:
    herd.created(12)
    herd.stopped(MigrationPhase.BACKFILL, encoder=served.address, options=Options(shard=4), batch=4)

    def another(asked: Asked) -> Answer:
        return service.good({**asked, "dimensions": service.DIMENSION + 1})

    served.script = [service.good]
    served.always = another

    with pytest.raises(Conflict, match="9 dimensions, and 8 are wanted"):
        herd.documents.move("docs", demands=UNMEASURED)

    found = herd.documents.status("docs")
    assert not herd.documents.set_aside(found.id).items
    served.always = service.good
    assert herd.documents.move("docs", demands=UNMEASURED).phase is MigrationPhase.VERIFIED


def test_a_service_that_stays_away_is_told_and_nothing_is_lost(
    served: Service, herd: Herd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herdbook.front.moving.driving.Driver._wait", lambda *_: None)
    herd.created(12)
    herd.stopped(MigrationPhase.BACKFILL, encoder=served.address, options=Options(shard=4), batch=4)
    served.always = broken

    with pytest.raises(HerdbookError) as away:
        herd.documents.move("docs", demands=UNMEASURED)

    assert away.value.code in ("unavailable", "throttled")
    served.always = service.good
    assert herd.documents.move("docs", demands=UNMEASURED).progress.written == 12
