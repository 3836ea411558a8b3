"""Tokens that do not count: how many may be tried, what their refusal tells, when they are dead."""

import hashlib
import socket
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

import herdbook
from herdbook.bootstrap import prepare
from herdbook.core.access import everything
from herdbook.errors import Throttled, Unauthenticated
from herdbook.server.auth import REMEMBER_LIMIT, Throttle
from herdbook.services import access
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import reading, writing
from tests.running import served
from tests.server.conftest import Served

TRIES = 10_000
AT_ONCE = 100

Identify = Callable[[Any, str], object]


def well_formed(body: str) -> str:
    """A token's text with the check that fits, as anyone can compute it."""
    return f"hb_{body}{access._check(body)}"


def asked(token: str, *headers: str) -> bytes:
    lines = ["GET /models HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def tried(address: str, requests: list[bytes]) -> Iterator[bytes]:
    """Send requests over one connection, many at once, and give the heads of the answers."""
    host, port = address.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as connection,
        connection.makefile("rb") as stream,
    ):
        for at in range(0, len(requests), AT_ONCE):
            some = requests[at : at + AT_ONCE]
            connection.sendall(b"".join(some))
            for _ in some:
                head = b"".join(iter(stream.readline, b"\r\n")).lower()
                stream.read(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
                yield head


def test_ten_thousand_wrong_tokens_are_throttled_and_a_right_one_still_counts(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(url) as book:
        made = book.tokens.create("eye", roles=["admin"])
    bodies = [made.token.id + f"{n:043d}" for n in range(TRIES)]
    # An address of one's own choice in a header changes nothing where no proxy is trusted.
    wrong = [
        asked(well_formed(body), f"X-Forwarded-For: 192.0.2.{n % 256}")
        for n, body in enumerate(bodies)
    ]

    with served(url, "--auth") as address:
        heads = list(tried(address, wrong))
        right = list(tried(address, [asked(made.secret)]))

    counted = Counter(head.split(b" ")[1] for head in heads)
    assert counted.keys() == {b"401", b"429"}
    # Twenty at once, and what came back at one every two seconds.
    assert 20 <= counted[b"401"] < 100
    assert all(b"retry-after: " in head for head in heads if b" 429 " in head.splitlines()[0])
    assert b" 200 " in right[0]


def test_wrong_tokens_from_ever_other_addresses_take_no_more_memory() -> None:
    throttle = Throttle(timer=lambda: 0.0)
    for _ in range(20):
        throttle.wrong("192.0.2.1")

    for n in range(REMEMBER_LIMIT + 1_000):
        throttle.wrong(f"198.51.100.{n}")

    assert len(throttle._held) == REMEMBER_LIMIT


def test_who_is_throttled_may_try_again_after_the_time_that_was_said() -> None:
    now = [0.0]
    throttle = Throttle(timer=lambda: now[0])
    for _ in range(20):
        throttle.wrong("192.0.2.1")
    with pytest.raises(Throttled) as refused:
        throttle.wrong("192.0.2.1")

    now[0] += int(str(refused.value.details["retry_after_seconds"]))

    throttle.wrong("192.0.2.1")


# What a refusal takes may not tell how near a token was. Medians of two kinds of wrong tokens,
# taken in turns, may differ by half before this says so: far more than noise, far less than what
# a naive comparison shows.
ROUNDS = 400
SPLIT = 1.5


def nearness(database: Database, secret: str, identify: Identify) -> dict[str, float]:
    """How many times longer the refusal of a near token takes than that of one that is not."""
    id, rest = secret[3:11], secret[11:54]
    other = "x" if rest[-1] != "x" else "y"
    kinds = {
        "almost": well_formed(id + rest[:-1] + other),
        "far": well_formed(id + "".join("x" if c != "x" else "y" for c in rest)),
        "unknown": well_formed("x" * 8 + rest),
    }
    taken: dict[str, list[int]] = {kind: [] for kind in kinds}
    rng = Random(7)  # noqa: S311 - only the order of measurements
    with reading(database, everything("server")) as work:
        for _ in range(ROUNDS):
            for kind in rng.sample(list(kinds), len(kinds)):
                began = time.perf_counter_ns()
                with pytest.raises(Unauthenticated):
                    identify(work, kinds[kind])
                taken[kind].append(time.perf_counter_ns() - began)
    median = {kind: statistics.median(times) for kind, times in taken.items()}
    return {
        "the secret": median["almost"] / median["far"],
        "the id": median["far"] / median["unknown"],
    }


@pytest.fixture
def secret(database: Database) -> str:
    """The text of a token."""
    with writing(database, everything("root")) as work:
        return access.create(work, "eye", roles=["viewer"]).secret  # type: ignore[arg-type]


def test_the_time_of_a_refusal_tells_nothing_of_the_token(database: Database, secret: str) -> None:
    found = nearness(database, secret, access.identify)

    assert all(1 / SPLIT < times < SPLIT for times in found.values()), found


def test_a_comparison_that_ends_at_the_first_difference_is_found_out(
    database: Database, secret: str
) -> None:
    def naive(_work: Any, tried: str) -> None:
        for ours, theirs in zip(secret[11:54], tried[11:54], strict=True):
            if ours != theirs:
                break
            # A byte costs nanoseconds really; what an attacker averages over days is made
            # visible in a moment.
            hashlib.sha256(b"x" * 2_000).digest()
        raise Unauthenticated("no")

    assert nearness(database, secret, naive)["the secret"] > SPLIT


def test_hashing_only_for_an_id_that_is_there_is_found_out(database: Database, secret: str) -> None:
    def naive(work: Any, tried: str) -> None:
        if work.tokens.secret_hash(tried[3:11]) is not None:
            hashlib.pbkdf2_hmac("sha256", tried.encode(), b"salt", 1_000)
        raise Unauthenticated("no")

    assert nearness(database, secret, naive)["the id"] > SPLIT


@pytest.mark.parametrize(
    "change",
    [
        lambda token: f"{token}\n",
        lambda token: f" {token}",
        lambda token: f"{token}x",
        lambda token: token[:-1],
        lambda token: token.swapcase(),
        lambda token: token.replace("hb_", "HB_"),
        lambda token: f"{token},{token}",
        lambda _: "null",
        lambda _: "undefined",
        lambda _: "",
    ],
)
def test_a_token_counts_only_as_it_was_given(guarded: Served, change: Callable[[str], str]) -> None:
    token = guarded.token("admin")
    header = b"Bearer " + change(token).encode()

    answer = guarded.client().get("/models", headers={b"Authorization": header})

    assert answer.status_code == 401
    assert token[3:54] not in answer.text


def test_two_tokens_are_none(guarded: Served) -> None:
    token = guarded.token("admin")
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]

    assert guarded.client().get("/models", headers=twice).status_code == 401
    assert guarded.client().get("/models", auth=("admin", token)).status_code == 401
    assert guarded.client().get("/models", auth=("admin", "")).status_code == 401
    cookie = {"Cookie": f"token={token}; session={token}"}
    assert guarded.client().get("/models", headers=cookie).status_code == 401


def test_an_expired_token_does_not_count(guarded: Served, database: Database) -> None:
    made = guarded.book.tokens.create("tester", roles=["admin"], days=1)
    with database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE tokens SET doc = json_set(doc, '$.expires_at', '2001-01-14T12:00:00Z')"
        )
    assert guarded.book.tokens.list().items[0].expires_at == datetime(2001, 1, 14, 12, tzinfo=UTC)

    answer = guarded.client(made.secret).get("/models")

    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_the_id_of_a_revoked_token_is_never_another_ones(
    guarded: Served, database: Database
) -> None:
    made = guarded.book.tokens.create("tester", roles=["viewer"])
    guarded.book.tokens.revoke(made.token.id)

    with (
        pytest.raises(IntegrityError),
        writing(database, everything("root")) as work,
    ):
        work.tokens.add(made.token, secret_hash="0" * 64)

    assert [t.id for t in guarded.book.tokens.list().items] == [made.token.id]


def test_a_token_revoked_at_one_server_dies_at_the_other_within_a_second(
    postgres_url: str,
) -> None:
    database = Database(postgres_url)
    prepare(database)
    database.close()
    with herdbook.connect(postgres_url) as book:
        root = book.tokens.create("root", roles=["admin"]).secret
        eye = book.tokens.create("eye", roles=["viewer"])

    with served(postgres_url, "--auth") as one, served(postgres_url, "--auth") as other:
        # The same bytes over and over, as a service that polls sends them.
        before = [list(tried(server, [asked(eye.secret)] * 3)) for server in (one, other)]
        with herdbook.connect(one, token=root) as admin:
            admin.tokens.revoke(eye.token.id)
        time.sleep(1.05)
        after = [list(tried(server, [asked(eye.secret)] * 3)) for server in (one, other)]

    assert {head.split(b" ")[1] for heads in before for head in heads} == {b"200"}
    assert {head.split(b" ")[1] for heads in after for head in heads} == {b"401"}


def test_a_request_that_was_answered_before_is_refused_once_its_token_is_revoked(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(url) as book:
        root = book.tokens.create("root", roles=["admin"]).secret
        eye = book.tokens.create("eye", roles=["viewer"])
        book.models.register("majora")
        book.deployments.promote("majora:v1")
    again = asked(eye.secret).replace(b"/models", b"/resolve/majora@champion")

    with served(url, "--auth") as address:
        before = [head for _ in range(5) for head in tried(address, [again])]
        with herdbook.connect(address, token=root) as admin:
            admin.tokens.revoke(eye.token.id)
        time.sleep(1.05)
        after = [head for _ in range(5) for head in tried(address, [again])]

    assert {head.split(b" ")[1] for head in before} == {b"200"}
    assert {head.split(b" ")[1] for head in after} == {b"401"}
