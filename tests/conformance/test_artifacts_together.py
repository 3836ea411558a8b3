"""What holds of blobs, pins and manifests when several works meet.

On SQLite one work that writes waits for the other as a whole; on PostgreSQL they run side by side
and meet where they touch one row. `meeting` stops one work in the middle, lets the other run into
it, and then lets the first go on.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from herdbook.core.artifacts import Manifest, digest_of
from herdbook.core.models import Status, Version
from herdbook.core.ports import Work
from herdbook.errors import NotFound
from herdbook.storage.sql.tables import blobs
from herdbook.storage.sql.work import SqlWork, writing
from tests.conformance.test_artifacts import LATE, ONE, ask, file, loose, pushed, tell
from tests.registers import Register

HELD_SECONDS = 0.2
PATIENCE_SECONDS = 20
MANIFEST = Manifest((file("a", ONE),))


class Stopped(Exception):
    """Ends a work that is to be taken back."""


def meeting(
    register: Register,
    first: Callable[[Any], Any],
    second: Callable[[Any], Any],
    *,
    committed: bool = True,
) -> tuple[Any, Any, bool]:
    """Run two works of which the second begins when the first did its part and did not end.

    Returns:
        What each gave or raised, and whether the second had to wait for the end of the first.
    """
    done, found = threading.Event(), list[Any]()
    own, waited = None, False

    def running() -> None:
        try:
            found.append(register.write(second))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            found.append(error)
        done.set()

    other = threading.Thread(target=running, daemon=True)
    try:
        with writing(register.database, register.by, clock=register.clock) as work:
            own = first(work)
            other.start()
            waited = not done.wait(HELD_SECONDS)
            if not committed:
                raise Stopped  # noqa: TRY301 - the only way to end it without a commit
    except Stopped:
        pass
    assert done.wait(PATIENCE_SECONDS)
    other.join()
    return own, found[0], waited


def forgetting(work: Work) -> bool:
    """Forget the blob."""
    return work.artifacts.forget(ONE)


def noting(work: Work) -> None:
    """Note the blob."""
    work.artifacts.add({ONE: 3})


def keeping(work: Work) -> None:
    """Keep a manifest of the blob."""
    work.artifacts.keep(MANIFEST)


def pinning(work: Work) -> None:
    """Pin the blob."""
    work.artifacts.pin([ONE], until=LATE, proven=True)


def test_who_notes_a_blob_that_is_being_forgotten_waits_and_notes_it_again(
    register: Register,
) -> None:
    tell(register, "add", {ONE: 3})

    gone, _, waited = meeting(register, forgetting, noting)

    assert (gone, waited) == (True, True)
    assert ask(register, "sizes", [ONE]) == {ONE: 3}


def test_a_blob_whose_forgetting_is_taken_back_is_still_noted(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    _, raised, _ = meeting(register, forgetting, noting, committed=False)

    assert raised is None
    assert ask(register, "sizes", [ONE]) == {ONE: 3}
    assert register.count("blobs") == 1


def test_a_manifest_of_a_blob_that_is_being_forgotten_is_not_kept(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    gone, raised, waited = meeting(register, forgetting, keeping)

    assert (gone, waited) == (True, True)
    assert isinstance(raised, NotFound)
    assert register.count("manifests") == 0


def test_a_manifest_is_kept_when_the_forgetting_is_taken_back(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    _, raised, _ = meeting(register, forgetting, keeping, committed=False)

    assert raised is None
    assert ask(register, "manifest", MANIFEST.digest) == MANIFEST


def test_a_blob_whose_manifest_is_being_kept_is_not_forgotten(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    _, gone, waited = meeting(register, keeping, forgetting)

    assert (gone, waited) == (False, True)
    assert ask(register, "sizes", [ONE]) == {ONE: 3}


def naive(work: SqlWork) -> bool:
    """Forget a blob as one would write it down at first: in one statement."""
    gone = delete(blobs).where(blobs.c.digest == ONE, *work.artifacts._unheld())
    return bool(work.connection.execute(gone).rowcount)


@pytest.mark.parametrize("meanwhile", [keeping, pinning])
def test_naive_forgetting_fails_where_works_run_side_by_side(
    register: Register, meanwhile: Callable[[Work], None]
) -> None:
    tell(register, "add", {ONE: 3})

    _, gone, _ = meeting(register, meanwhile, naive)

    # Refused by the database itself, or gone in spite of the pin.
    assert (gone is not False) == (not register.database.is_sqlite)


def test_a_blob_that_is_being_pinned_is_not_forgotten(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    _, gone, waited = meeting(register, pinning, forgetting)

    assert (gone, waited) == (False, True)
    assert ask(register, "proven", [ONE]) == {ONE}


def test_who_pins_a_blob_that_is_being_forgotten_sees_that_it_is_gone(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    def pin_and_look(work: Work) -> dict[str, int]:
        pinning(work)
        return work.artifacts.sizes([ONE])

    gone, sizes, waited = meeting(register, forgetting, pin_and_look)

    assert (gone, sizes, waited) == (True, {}, True)


def test_a_manifest_kept_by_two_at_once_is_kept_once(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    _, raised, waited = meeting(register, keeping, keeping)

    assert (raised, waited) == (None, True)
    assert register.count("manifests") == register.count("manifest_blobs") == 1


def test_a_manifest_whose_keeper_stopped_is_kept_by_the_other(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    _, raised, _ = meeting(register, keeping, keeping, committed=False)

    assert raised is None
    assert register.count("manifests") == register.count("manifest_blobs") == 1


def test_a_manifest_that_is_let_go_of_is_kept_anew(register: Register) -> None:
    draft = pushed(register, "majora:v1", file("a", ONE), status=Status.DRAFT)
    other = pushed(register, "oracle:v1", file("b", digest_of(b"b")))
    moved = having(draft, other.facts.manifest)

    _, raised, waited = meeting(register, lambda work: work.artifacts.attach(moved), keeping)

    assert (raised, waited) == (None, True)
    assert ask(register, "manifest", MANIFEST.digest) == MANIFEST
    register.clock.at += timedelta(days=2)
    assert loose(register) == []


def having(version: Version, manifest: str) -> Version:
    """Say of a version that it has a manifest."""
    return replace(version, facts=replace(version.facts, manifest=manifest))


def test_a_manifest_that_another_is_about_to_have_is_not_dropped(register: Register) -> None:
    draft = pushed(register, "majora:v1", file("a", ONE), status=Status.DRAFT)
    other = pushed(register, "oracle:v1", file("b", digest_of(b"b")))
    gnn = register.add("gnn:v1")

    def taking(work: Work) -> None:
        work.artifacts.keep(MANIFEST)
        work.artifacts.attach(having(gnn, MANIFEST.digest))

    def leaving(work: Work) -> None:
        work.artifacts.attach(having(draft, other.facts.manifest))

    _, raised, _ = meeting(register, taking, leaving)

    assert raised is None
    assert ask(register, "owners", [MANIFEST.digest]) == {MANIFEST.digest: ["gnn:v1"]}


def test_many_who_note_and_pin_the_same_at_once_all_succeed(register: Register) -> None:
    digests = [digest_of(str(n).encode()) for n in range(60)]
    raised: list[Exception] = []
    start = threading.Barrier(4)

    def pushing(turned: bool) -> None:  # noqa: FBT001 - one caller, two lines below
        start.wait()
        asked = digests[::-1] if turned else digests
        for at in range(10):
            try:
                tell(register, "pin", asked[at:], until=LATE, proven=bool(at % 2))
                tell(register, "add", dict.fromkeys(asked[at:], 3))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test fails of it
                raised.append(error)

    every = [threading.Thread(target=pushing, args=(n % 2 == 0,)) for n in range(4)]
    for one in every:
        one.start()
    for one in every:
        one.join()

    assert raised == []
    assert ask(register, "proven", digests) == set(digests)
    assert ask(register, "sizes", digests) == dict.fromkeys(digests, 3)
    assert register.count("pins") == register.count("blobs") == 60
