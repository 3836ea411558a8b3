"""Answers from memory, and what they may be worth."""

import os
import threading
import time
from pathlib import Path

import pytest

import herdbook
from herdbook import errors
from herdbook.core.models import Version
from herdbook.front.book import Herdbook
from herdbook.front.resolver import Resolver


@pytest.fixture
def book(tmp_path: Path) -> Herdbook:
    book = herdbook.connect(f"sqlite:///{tmp_path}/herdbook.db")
    book.models.register("gnn", git_commit="")
    book.models.register("gnn", git_commit="")
    book.deployments.promote("gnn:v1")
    return book


def test_a_move_is_seen_within_the_interval(book: Herdbook) -> None:
    resolver = Resolver(book._door, interval=0.05)
    assert resolver("gnn@champion").number == "v1"

    book.deployments.promote("gnn:v2")
    deadline = time.monotonic() + 5
    while resolver("gnn@champion").number == "v1" and time.monotonic() < deadline:
        time.sleep(0.01)

    assert resolver("gnn@champion").number == "v2"
    assert resolver.staleness < 5
    resolver.close()


def test_an_alias_that_was_removed_is_an_error_again(book: Herdbook) -> None:
    book.resolve("gnn@champion")
    book.deployments.remove("gnn", "champion")

    book.resolve.refresh()

    with pytest.raises(errors.NotFound, match="points nowhere"):
        book.resolve("gnn@champion")


class UnreachableDoor:
    """A door that answers once and then no more."""

    address = "http://gone"

    def __init__(self, book: Herdbook) -> None:
        self.book, self.answers = book, 1

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        if not self.answers:
            raise errors.Unreachable("no server answers")
        self.answers -= 1
        return self.book._door.fresh(ref, mark)


def test_a_register_that_is_gone_is_answered_for_until_too_old(book: Herdbook) -> None:
    resolver = Resolver(UnreachableDoor(book), interval=0.02, max_staleness=0.2)  # type: ignore[arg-type]
    assert resolver("gnn@champion").number == "v1"
    time.sleep(0.05)
    assert resolver("gnn@champion").number == "v1"

    time.sleep(0.3)

    with pytest.raises(errors.Unavailable, match="longer than"):
        resolver("gnn@champion")
    resolver.close()


def test_a_forked_child_looks_for_itself(book: Herdbook) -> None:
    book.resolve("gnn@champion")
    book.deployments.promote("gnn:v2")

    child = os.fork()
    if child == 0:
        number = book.resolve("gnn@champion").number
        # LanceDB, where another test loaded it, starts a thread of its own in every child.
        ours = [each for each in threading.enumerate() if "LanceDB" not in each.name]
        ok = number == "v2" and len(ours) == 2
        os._exit(0 if ok else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_threads_ask_for_the_first_time_at_once(book: Herdbook) -> None:
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append(book.resolve("gnn@champion").number))
        for _ in range(16)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == ["v1"] * 16
