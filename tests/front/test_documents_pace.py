"""How a migration is held back, stopped and taken on: budgets, rates, pauses, leases."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.core.migrations import Migration, MigrationPhase, Options
from herdbook.core.vectors import Batch, Place
from herdbook.errors import Conflict, HerdbookError
from herdbook.front.moving.leasing import Lease
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.telling import News, Pace
from tests import hashed
from tests.front.collected import KINDS, UNMEASURED, Counting, Herd


class Moving(threading.Thread):
    """A migration in a thread of its own."""

    def __init__(self, herd: Herd, **said: Any) -> None:
        super().__init__(daemon=True)
        self.herd, self.said = herd, said
        self.news: list[News] = []
        self.ended: Migration | HerdbookError | None = None
        self.start()

    def run(self) -> None:
        """Move until it is verified, or fails."""
        carrying = Carrying(said=self.news.append, lease_seconds=self.said.pop("lease", 30))
        try:
            self.ended = self.herd.moved("v2", carrying=carrying, **self.said)
        except HerdbookError as error:
            self.ended = error

    def waits(self, *words: str) -> None:
        """Wait until it says why nothing is done."""
        until(lambda: bool(self.news) and all(w in self.news[-1].waiting for w in words))

    def finish(self) -> Migration:
        """Wait for its end."""
        self.join(30)
        assert isinstance(self.ended, Migration), self.ended
        return self.ended


def until(found: Callable[[], bool]) -> None:
    """Wait for something."""
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_spent_budget_pauses_and_a_greater_one_goes_on(herd: Herd) -> None:
    herd.created(40)
    moving = Moving(
        herd,
        options=Options(shard=5, budget=0.001),
        price_per_million_tokens=20.0,
    )

    moving.waits("the budget of 0.001 is spent")
    found = herd.documents.status("docs")
    assert found.paused
    assert 0.001 <= found.progress.cost < 0.002
    assert 0 < found.progress.written < 40

    herd.documents.resume(found.id, budget=1)
    assert moving.finish().phase is MigrationPhase.VERIFIED


def test_a_rate_is_kept_and_a_pause_is_not_made_up_for(herd: Herd) -> None:
    herd.created(40)
    began = time.monotonic()
    moving = Moving(herd, options=Options(shard=4, rate=20))

    moving.finish()

    assert 1.0 <= time.monotonic() - began < 15
    pace = Pace(rate=10)
    time.sleep(0.01)
    pace._next -= 3_600  # an hour in which nothing went
    at_once = sum(10 for _ in range(100) if pace.may(10))
    assert at_once <= 30


OTHER = """
import sys, herdbook as hb
documents = hb.connect().documents
documents.get("docs")
print("ready", flush=True)
for line in sys.stdin:
    verb, _, reason = line.strip().partition(" ")
    getattr(documents, verb)("migration-1", **({"reason": reason} if reason else {}))
"""


def test_another_process_pauses_and_resumes(herd: Herd) -> None:
    herd.created(30)
    words = [sys.executable, "-c", OTHER]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        moving = Moving(herd, options=Options(shard=2, rate=10))
        until(lambda: bool(moving.news) and moving.news[-1].done > 0)

        other.stdin.write("pause the shop opens\n")
        moving.waits("the shop opens")
        done = herd.documents.status("docs").progress.written
        time.sleep(0.5)
        assert herd.documents.status("docs").progress.written == done < 30

        other.stdin.write("resume\n")
        assert moving.finish().phase is MigrationPhase.VERIFIED


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_changes_nothing(herd: Herd) -> None:
    collection = herd.created(15)
    collection.delete(["d003"])
    herd.bypass(herd.documents.get("docs").home.place, "unknown", "odd")
    place = herd.documents.get("docs").home.place
    before = list(herd.book.export()), herd.contents(place), herd.store.collections()

    found = herd.documents.rehearse(
        "docs", to="v2", encoder=hashed.two, price_per_million_tokens=10.0, sampled=15
    )

    assert (list(herd.book.export()), herd.contents(place), herd.store.collections()) == before
    estimate = found.estimate
    assert (estimate.documents, estimate.sampled) == (15, 15)
    assert estimate.space_bytes == 15 * 48 * 4
    assert estimate.tokens > 0
    assert estimate.cost == pytest.approx(estimate.tokens * 10 / 1e6)
    assert len(estimate.spaces) == 2
    assert len(estimate.examples) == 10
    example = next(each for each in estimate.examples if each["id"] != "odd")
    assert example["before"]["embedding_model_version"] == "v1"
    assert example["after"]["embedding_model_version"] == "v2"


def test_who_lost_the_lease_finds_out_before_it_notes_anything(herd: Herd) -> None:
    herd.created(40)
    moving = Moving(herd, options=Options(shard=2, rate=10), lease=5)
    until(lambda: bool(moving.news) and moving.news[-1].done > 0)
    first = herd.documents.status("docs").driver

    herd.documents.claim("migration-1", driver="second", lease_seconds=5, dead=first)

    moving.join(20)
    assert isinstance(moving.ended, Conflict)
    assert "second" in str(moving.ended)
    done = herd.documents.status("docs").progress
    time.sleep(0.3)
    assert herd.documents.status("docs").progress == done
    herd.documents.leave("migration-1", driver="second")
    assert herd.moved("v2").phase is MigrationPhase.VERIFIED
    assert herd.documents.status("docs").progress.written == 40


def test_two_cannot_carry_at_once(herd: Herd) -> None:
    herd.created(30)
    moving = Moving(herd, options=Options(shard=2, rate=15))
    until(lambda: bool(moving.news) and moving.news[-1].done > 0)

    with hb.connect() as other, pytest.raises(Conflict, match="is being carried out by"):
        other.documents.move("docs", demands=UNMEASURED)

    assert moving.finish().progress.written == 30


def test_a_lease_that_runs_out_is_taken_over(herd: Herd) -> None:
    herd.created(3)
    begun = herd.stopped(MigrationPhase.BACKFILL)
    lease = Lease(herd.documents, begun.id, driver="elsewhere:1:abc", seconds=1)
    lease._ended.set()  # the machine is asleep

    with pytest.raises(Conflict, match=r"carried out by elsewhere:1:abc until \d\d:\d\d"):
        herd.moved("v2")
    time.sleep(1.1)

    assert herd.moved("v2").phase is MigrationPhase.VERIFIED
    with pytest.raises(Conflict, match="did not answer for 1 seconds"):
        lease.found  # noqa: B018 - it raises


def test_a_clock_that_jumps_spoils_no_migration(
    herd: Herd, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.created(20)
    moving = Moving(herd, options=Options(shard=2, rate=20))
    until(lambda: bool(moving.news) and moving.news[-1].done > 0)
    door: Any = herd.documents._door
    real = door._clock
    monkeypatch.setattr(door, "_clock", lambda: real().replace(year=real().year + 1))

    assert moving.finish().phase is MigrationPhase.VERIFIED


def test_a_slow_store_is_waited_for(herd: Herd, monkeypatch: pytest.MonkeyPatch) -> None:
    herd.created(12)
    insert = herd.store.insert

    def slow(place: Place, batch: Batch) -> int:
        time.sleep(1.2)  # longer than its lease
        return insert(place, batch)

    monkeypatch.setattr(herd.store, "insert", slow)

    found = herd.moved("v2", options=Options(shard=6), carrying=Carrying(lease_seconds=1))

    assert found.phase is MigrationPhase.VERIFIED


def test_what_was_embedded_before_a_kill_is_not_embedded_again(herd: Herd) -> None:
    herd.created(10)
    encoder = Counting()
    settle = herd.documents.settle

    def dying(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    herd.documents.settle = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        herd.moved("v2", encoder=encoder, options=Options(shard=10))
    herd.documents.settle = settle  # type: ignore[method-assign]
    encoder.texts.clear()

    found = herd.moved("v2", encoder=encoder)

    assert found.phase is MigrationPhase.VERIFIED
    assert found.progress.written == 10
    # Only the sample of the verification, and the sentence a space is measured on.
    assert len(encoder.texts) <= 12


def test_an_encoder_that_is_away_for_a_while_is_asked_again(
    herd: Herd, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.created(10)
    failures = [0]

    def away(texts: Sequence[str]) -> Any:
        begun = herd.documents.get("docs").migration
        if (
            begun
            and herd.documents.migration(begun).phase is MigrationPhase.BACKFILL
            and failures[0] < 2
        ):
            failures[0] += 1
            raise ConnectionError("nobody answers")
        return hashed.two(texts)

    monkeypatch.setattr("herdbook.front.moving.driving.Driver._wait", lambda *_: None)

    assert herd.moved("v2", encoder=away).phase is MigrationPhase.VERIFIED
    assert failures[0] == 2


def test_the_folder_of_a_store_may_be_named_relatively(
    herd: Herd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    herd.documents.create("docs", ref="gbert:v1", store="lancedb:here", encoder=hashed.one)

    assert herd.documents.get("docs").store == f"lancedb:{tmp_path / 'here'}"
