"""What every database promises of the audit log and the outbox."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from herdbook import services
from herdbook.core.evaluations import Observation
from herdbook.core.events import ACTIONS, GENESIS, Change, Checkpoint, Event, event_hash
from herdbook.core.models import Status
from herdbook.errors import HerdbookError, Invalid
from herdbook.services import access, deployments, evaluations, events, models, versions, webhooks
from herdbook.services.models import About
from herdbook.services.versions import Draft
from tests.registers import Register, drop_guards

ACTION = re.compile(r'action="([^"]+)"')
Verb = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
VERBS: dict[str, Verb] = {
    "model.registered": (models.create, ("oracle",), {}),
    "model.updated": (models.update, ("majora",), {"about": About(owner="search")}),
    "model.deleted": (models.delete, ("gnn",), {}),
    "version.registered": (versions.register, ("majora",), {"draft": Draft()}),
    "version.updated": (versions.annotate, ("majora:v1",), {"about": About(notes="n")}),
    "version.revised": (
        versions.revise,
        ("majora:v2",),
        {"draft": Draft(training_data=("oracle",))},
    ),
    "version.status": (versions.set_status, ("majora:v1",), {"status": Status.STAGING}),
    "version.deleted": (versions.delete, ("majora:v2",), {}),
    "version.scored": (evaluations.score, ("majora:v1",), {"metrics": {"f1": 0.5}}),
    "alias.moved": (deployments.promote, ("majora:v1",), {}),
    "token.created": (access.create, ("ci",), {"roles": ["viewer"]}),
    "webhook.created": (webhooks.create, ("https://hooks.example/x",), {}),
}


@pytest.fixture
def begun(register: Register) -> Register:
    """A register with majora v1, its draft v2, and gnn v1."""
    register.add("majora:v1")
    register.add("majora:v2", status=Status.DRAFT)
    register.add("gnn:v1")
    return register


def log(register: Register) -> list[str]:
    """The actions in the log."""
    return [e.action for e in register.read(events.page, page_size=1_000).items]


@pytest.mark.parametrize("action", VERBS)
def test_every_change_writes_one_event(begun: Register, action: str) -> None:
    verb, args, more = VERBS[action]
    before = log(begun)

    begun.write(verb, *args, **more)

    assert log(begun) == [*before, action]
    assert begun.read(events.verify).ok


def test_what_undoes_a_change_writes_one_event_too(begun: Register) -> None:
    steps: list[tuple[Any, tuple[str, ...], str]] = [
        (versions.delete, ("majora:v1",), "version.deleted"),
        (versions.restore, ("majora:v1",), "version.restored"),
        (models.delete, ("gnn",), "model.deleted"),
        (models.restore, ("gnn",), "model.restored"),
        (deployments.promote, ("majora:v1",), "alias.moved"),
        (deployments.remove, ("majora", "champion"), "alias.moved"),
        (deployments.rollback, ("majora",), "alias.moved"),
    ]
    for at, (verb, args, action) in enumerate(steps, start=1):
        begun.write(verb, *args)
        assert log(begun)[5:][at - 1 :] == [action]


def test_a_new_model_and_its_first_version_are_two_events(register: Register) -> None:
    register.add("majora:v1")

    assert log(register) == ["model.registered", "version.registered"]


def test_a_version_registered_into_production_is_a_registration_and_a_move(
    begun: Register,
) -> None:
    before = log(begun)

    begun.add("majora:v3", status=Status.PRODUCTION)

    assert log(begun) == [*before, "version.registered", "alias.moved"]


@pytest.mark.parametrize(
    ("verb", "args", "more"),
    [
        (models.update, ("majora",), {"about": About()}),
        (models.update, ("majora",), {"about": About(description="")}),
        (versions.annotate, ("majora:v1",), {"about": About(untag=("none",))}),
        (versions.revise, ("majora:v2",), {"draft": Draft()}),
    ],
)
def test_what_changes_nothing_writes_no_event(
    begun: Register, verb: Callable[..., Any], args: tuple[str], more: dict[str, Any]
) -> None:
    before = begun.read(events.checkpoint)

    begun.write(verb, *args, **more)

    assert begun.read(events.checkpoint) == before


def test_observations_are_measurements_and_no_events(begun: Register) -> None:
    before = begun.read(events.checkpoint)

    begun.write(evaluations.observe, "majora:v1", observations=[Observation()])

    assert begun.read(events.checkpoint) == before


def test_failed_work_leaves_neither_change_nor_event(begun: Register) -> None:
    before = begun.read(events.checkpoint)

    def fails(work: Any) -> None:
        versions.register(work, "oracle", draft=Draft(metrics={"f1": 0.5}))
        deployments.promote(work, "oracle:v1")
        raise Invalid("after everything was done")

    with pytest.raises(Invalid):
        begun.write(fails)

    assert begun.read(events.checkpoint) == before
    assert begun.read(events.verify).ok
    assert [begun.count(t) for t in ("models", "moves", "scores", "aliases")] == [2, 0, 0, 0]


def test_a_change_whose_event_cannot_be_written_is_not_made(begun: Register) -> None:
    before = begun.read(events.checkpoint)

    def unspeakable(work: Any) -> None:
        models.create(work, "oracle")
        work.record(Change(action="x", body={"value": object()}))

    with pytest.raises(TypeError):
        begun.write(unspeakable)

    assert begun.read(events.checkpoint) == before
    with pytest.raises(HerdbookError):
        begun.read(models.get, "oracle")


def test_an_empty_log_stands_at_zero(register: Register) -> None:
    assert register.read(events.checkpoint) == Checkpoint(0, GENESIS)
    assert register.read(events.verify).ok


def test_events_come_in_order_page_by_page(begun: Register) -> None:
    found: list[Event] = []
    page = None
    while True:
        some = begun.read(events.page, page_size=2, page=page)
        assert len(some.items) <= 2
        found += some.items
        page = some.next
        if page is None:
            break

    assert [e.seq for e in found] == list(range(1, 6))
    assert begun.read(events.page, page_size=5).next is None
    assert [e.seq for e in begun.read(events.page, model="gnn").items] == [4, 5]
    assert len(begun.read(events.page, action="model.registered").items) == 2


# --- tampering ---

FIELDS = {
    "at": "'2020-01-01T00:00:00.000000Z'",
    "by": "'someone'",
    "action": "'version.deleted'",
    "model": "'oracle'",
    "number": "'v9'",
    "body": "'{}'",
    "previous": "'x'",
    "hash": "'x'",
    "seq": "77",
}


@pytest.fixture
def open_register(begun: Register) -> Register:
    """A register whose owner has taken the guards away."""
    drop_guards(begun)
    return begun


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("seq", [1, 3, 5])
def test_a_changed_field_is_found_and_named(open_register: Register, field: str, seq: int) -> None:
    open_register.execute(f'UPDATE events SET "{field}" = {FIELDS[field]} WHERE seq = {seq}')  # noqa: S608

    verdict = open_register.read(events.verify)

    assert not verdict.ok
    assert verdict.seq == seq


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_a_missing_event_is_found(open_register: Register, seq: int) -> None:
    open_register.execute(f"DELETE FROM events WHERE seq = {seq}")  # noqa: S608

    verdict = open_register.read(events.verify)

    assert (verdict.ok, verdict.seq) == (False, seq)


def test_exchanged_events_are_found(open_register: Register) -> None:
    for one, other in ((2, 99), (3, 2), (99, 3)):
        open_register.execute(f"UPDATE events SET seq = {other} WHERE seq = {one}")  # noqa: S608

    assert open_register.read(events.verify).seq == 2


def test_a_tail_cut_off_is_found_by_the_head_and_by_a_checkpoint(open_register: Register) -> None:
    kept = open_register.read(events.checkpoint)
    last = open_register.read(events.page).items[-2]
    open_register.execute("DELETE FROM events WHERE seq = 5")
    assert not open_register.read(events.verify).ok

    open_register.execute(f"UPDATE chain SET seq = 4, hash = '{last.hash}'")  # noqa: S608

    assert open_register.read(events.verify).ok  # the chain alone cannot tell
    verdict = open_register.read(events.verify, against=kept)
    assert not verdict.ok
    assert "tail was cut off" in verdict.problem


def test_a_log_written_anew_is_found_against_a_checkpoint(open_register: Register) -> None:
    kept = open_register.read(events.checkpoint)
    previous = GENESIS
    with open_register.database.writing() as connection:
        for row in connection.execute(text("SELECT * FROM events ORDER BY seq")).mappings().all():
            new = dict(row) | {"by": "someone else", "previous": previous}
            del new["hash"]
            previous = event_hash(**new)
            connection.execute(
                text('UPDATE events SET "by" = :by, previous = :p, hash = :h WHERE seq = :seq'),
                {"by": new["by"], "p": new["previous"], "h": previous, "seq": new["seq"]},
            )
        connection.execute(text("UPDATE chain SET hash = :h"), {"h": previous})

    assert open_register.read(events.verify).ok
    verdict = open_register.read(events.verify, against=kept)
    assert (verdict.ok, verdict.seq) == (False, 5)
    assert "rewritten" in verdict.problem


def test_a_log_that_has_grown_since_a_checkpoint_verifies_against_it(begun: Register) -> None:
    kept = begun.read(events.checkpoint)
    begun.add("majora")

    assert begun.read(events.verify, against=kept).ok


def test_a_log_verifies_while_others_write(register: Register) -> None:
    register.add("majora:v1")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            register.add("majora")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        verdicts = [register.read(events.verify) for _ in range(15)]
    finally:
        stop.set()
        writer.join()

    assert [v.problem for v in verdicts] == [""] * 15


# --- the outbox ---


def test_what_a_webhook_wants_is_in_the_outbox_when_the_change_is_there(begun: Register) -> None:
    all_ = begun.write(webhooks.create, "https://hooks.example/all").webhook
    some = begun.write(
        webhooks.create, "https://hooks.example/moves", actions=["alias.moved"], model="maj*"
    ).webhook
    begun.write(deployments.promote, "majora:v1")
    begun.write(deployments.promote, "gnn:v1")

    told = begun.read(webhooks.deliveries, some.id).items
    assert [d.seq for d in told] == [8]
    assert {8, 9} <= {d.seq for d in begun.read(webhooks.deliveries, all_.id).items}


def test_failed_work_tells_nobody(begun: Register) -> None:
    hook = begun.write(webhooks.create, "https://hooks.example/all").webhook
    before = begun.read(webhooks.deliveries, hook.id).items

    with pytest.raises(HerdbookError):
        begun.add("majora:v1")

    assert begun.read(webhooks.deliveries, hook.id).items == before


def test_deliveries_that_are_due_are_taken_and_settled(begun: Register) -> None:
    hook = begun.write(webhooks.create, "https://hooks.example/all", model="majora").webhook
    begun.write(deployments.promote, "majora:v1")

    def attempt(work: Any, *, problem: str) -> int:
        due = work.webhooks.due(work.now(), limit=10)
        for delivery, told, secret, event in due:
            assert (told, event.action) == (hook, "alias.moved")
            assert secret.startswith("hbwh_")
            webhooks.settle(work, delivery, problem=problem)
        return len(due)

    assert begun.read(lambda work: work.webhooks.waiting(work.now()))
    assert begun.write(attempt, problem="503") == 1
    (tried,) = begun.read(webhooks.deliveries, hook.id).items
    assert (tried.attempts, tried.problem, tried.delivered_at) == (1, "503", None)
    begun.clock.at = tried.next_at  # type: ignore[assignment]
    assert begun.write(attempt, problem="") == 1
    assert begun.write(attempt, problem="") == 0
    assert not begun.read(lambda work: work.webhooks.waiting(work.now()))
    (done,) = begun.read(webhooks.deliveries, hook.id).items
    assert (done.attempts, done.next_at) == (2, None)
    assert done.delivered_at


def test_no_delivery_is_given_to_two_workers(begun: Register) -> None:
    if begun.database.is_sqlite:
        pytest.skip("on SQLite the second worker waits for the first")
    begun.write(webhooks.create, "https://hooks.example/all")
    begun.write(deployments.promote, "majora:v1")

    with begun.tried() as one, begun.tried() as other:
        taken = one.webhooks.due(one.now(), limit=10)

        assert taken
        assert other.webhooks.due(other.now(), limit=10) == []


def test_a_webhook_removed_takes_what_is_on_its_way_with_it(begun: Register) -> None:
    hook = begun.write(webhooks.create, "https://hooks.example/all").webhook
    begun.write(deployments.promote, "majora:v1")

    begun.write(webhooks.remove, hook.id)

    assert begun.count("deliveries") == begun.count("webhooks") == 0
    with pytest.raises(HerdbookError, match="no webhook"):
        begun.read(webhooks.deliveries, hook.id)
    assert begun.write(webhooks.create, "https://hooks.example/all").webhook.id > hook.id


def test_an_action_that_never_happens_is_refused_with_the_nearest(register: Register) -> None:
    with pytest.raises(Invalid, match=r"'alias\.move' is no action; write alias\.moved"):
        register.write(webhooks.create, "https://example.com/hook", actions=["alias.move"])
    with pytest.raises(Invalid, match=r"write version\.registered"):
        register.read(events.page, action="version.register")

    for action in ACTIONS:
        assert not register.read(events.page, action=action).items
    made = register.write(webhooks.create, "https://example.com/hook", actions=sorted(ACTIONS))
    assert made.webhook.actions == tuple(sorted(ACTIONS))


def test_every_action_a_verb_records_is_known() -> None:
    sources = Path(services.__file__).parent.glob("*.py")

    said = {name for source in sources for name in ACTION.findall(source.read_text())}

    assert said == ACTIONS
