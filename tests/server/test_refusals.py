"""Who was refused what is in the audit log, and asking on does not fill it."""

from typing import Any

from herdbook.server.auth import REMEMBER_SECONDS
from herdbook.server.refusals import AGAIN_SECONDS, Refusals
from tests.server.conftest import Served


def told(served: Served) -> list[dict[str, Any]]:
    items = served.book.events.list(action="access.refused").items
    return [{"by": event.by, **event.body} for event in items]


def test_a_refusal_of_someone_known_is_an_event(guarded: Served) -> None:
    guarded.book.models.register("majora")
    viewer = guarded.holding("viewer")

    answer = viewer.delete("/models/majora/versions/v1")

    assert answer.status_code == 403
    route = "/models/{model}/versions/{version}"
    assert told(guarded) == [{"by": "tester", "method": "DELETE", "route": route}]
    assert guarded.book.events.verify().ok


def test_asking_on_is_one_event_and_another_route_another(guarded: Served) -> None:
    guarded.book.models.register("majora")
    viewer = guarded.holding("viewer")

    for _ in range(5):
        viewer.delete("/models/majora/versions/v1")
    viewer.post("/models", json={"name": "gnn"})

    assert [each["method"] for each in told(guarded)] == ["DELETE", "POST"]


def test_two_tokens_of_one_name_are_two_who_ask(guarded: Served) -> None:
    for _ in range(2):
        guarded.holding("viewer").post("/models", json={"name": "gnn"})

    assert len(told(guarded)) == 2


def test_nobody_who_is_refused_is_no_event(guarded: Served) -> None:
    assert guarded.client().post("/models", json={"name": "gnn"}).status_code == 401
    assert guarded.client("hb_wrong").post("/models", json={"name": "gnn"}).status_code == 401

    assert told(guarded) == []


def test_a_refusal_is_told_again_after_its_time(guarded: Served) -> None:
    now = [0.0]
    guarded.app.state.refusals = Refusals(guarded.app.state.register, timer=lambda: now[0])
    viewer = guarded.holding("viewer")

    for at in (0.0, AGAIN_SECONDS - 1, AGAIN_SECONDS, AGAIN_SECONDS + 1):
        now[0] = at
        viewer.post("/models", json={"name": "gnn"})

    assert len(told(guarded)) == 2
    assert AGAIN_SECONDS > REMEMBER_SECONDS


def test_where_nothing_can_be_written_one_is_refused_all_the_same(guarded: Served) -> None:
    viewer = guarded.holding("viewer")
    with guarded.app.state.register.database.writing() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")

    answer = viewer.post("/models", json={"name": "gnn"})

    assert answer.status_code == 403
