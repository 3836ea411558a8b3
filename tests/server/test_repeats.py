"""What was asked before is answered from memory: the same answer, and never an older one."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import herdbook as hb
from herdbook.bootstrap import prepare
from herdbook.server.transactions import MEMORY_LIMIT_BYTES, Register
from herdbook.storage.sql.engine import Database
from tests.running import served

NOW = "/resolve/majora@champion"


class Asking:
    """One connection that is kept open, and what it was told."""

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._sock = socket.create_connection((host, int(port)), timeout=10)
        self._stream = self._sock.makefile("rb")

    def say(self, text: bytes) -> None:
        self._sock.sendall(text)

    def hear(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self._stream.readline().split()[1])
        lines = [line.decode().strip() for line in iter(self._stream.readline, b"\r\n")]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return status, headers, self._stream.read(int(headers.get("content-length", 0)))

    def ask(self, text: bytes) -> tuple[int, dict[str, str], bytes]:
        self.say(text)
        return self.hear()

    def closed(self) -> bool:
        return self._stream.read(1) == b""

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._sock.close()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


@pytest.fixture
def register(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with hb.connect(url) as book:
        for _ in range(3):
            book.models.register("majora", git_commit="")
        book.deployments.promote("majora:v1")
    return url


@pytest.fixture
def asking(address: str) -> Iterator[Asking]:
    with Asking(address) as opened:
        yield opened


@pytest.fixture
def address(register: str) -> Iterator[str]:
    with served(register) as found:
        yield found


def number(answer: tuple[int, dict[str, str], bytes]) -> str:
    assert answer[0] == 200, answer
    return str(json.loads(answer[2])["number"])


def counted(address: str, route: str, status: int = 200) -> float:
    with Asking(address) as asking:
        _, _, text = asking.ask(get("/metrics"))
    wanted = f'herdbook_requests_total{{method="GET",route="{route}",status="{status}"}} '
    lines = [line for line in text.decode().splitlines() if line.startswith(wanted)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0


@pytest.mark.parametrize("path", [NOW, "/models/majora/versions/@champion"])
def test_a_repeated_question_has_the_same_answer_and_an_id_of_its_own(
    asking: Asking, path: str
) -> None:
    answers = [asking.ask(get(path)) for _ in range(3)]

    ids = {headers.pop("x-request-id") for _, headers, _ in answers}
    for _, headers, _ in answers:
        assert headers.pop("date")
    assert len(ids) == 3
    assert answers[0] == answers[1] == answers[2]


def test_repeated_questions_are_counted_like_the_first(address: str, asking: Asking) -> None:
    for _ in range(5):
        asking.ask(get(NOW))

    assert counted(address, "/resolve/{ref}") == 5


def test_what_is_held_already_is_not_sent_again_however_often_it_is_asked(asking: Asking) -> None:
    tag = asking.ask(get(NOW))[1]["etag"]

    answers = [asking.ask(get(NOW, f"If-None-Match: {tag}")) for _ in range(3)]

    assert [status for status, _, _ in answers] == [304, 304, 304]
    assert all(headers["etag"] == tag for _, headers, _ in answers)


def test_a_promotion_changes_the_next_answer_on_every_connection(address: str) -> None:
    with Asking(address) as one, Asking(address) as other, hb.connect(address) as book:
        for to in ("v2", "v3", "v1", "v2"):
            for asking in (one, other, one):
                asking.ask(get(NOW))

            book.deployments.promote(f"majora:{to}")

            assert {number(one.ask(get(NOW))), number(other.ask(get(NOW)))} == {to}


def test_a_body_that_says_what_was_asked_before_is_no_question(
    address: str, asking: Asking
) -> None:
    hidden = get(NOW)
    asking.ask(hidden)
    asking.ask(hidden)

    # The head is answered at once: there is no such address, whatever follows.
    asking.say(f"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(hidden)}"
               "\r\n\r\n".encode())  # fmt: skip
    status, _, _ = asking.hear()
    asking.say(hidden)

    assert status == 404
    assert number(asking.ask(get("/models/majora/versions/v3"))) == "v3"
    assert counted(address, "/resolve/{ref}") == 2


def test_what_has_a_body_is_never_remembered(asking: Asking) -> None:
    longer = get(NOW, "Content-Length: 4")

    for _ in range(2):
        asking.say(longer)
        asking.say(b"body")
        assert number(asking.hear()) == "v1"

    assert number(asking.ask(get(NOW))) == "v1"


def test_questions_sent_together_are_answered_in_their_order(asking: Asking) -> None:
    asking.ask(get(NOW))

    asking.say(get("/models/majora/versions/v3") + get(NOW) + get("/models/majora/versions/v2"))

    assert [number(asking.hear()) for _ in range(3)] == ["v3", "v1", "v2"]


def test_a_question_that_arrives_in_pieces_is_answered(asking: Asking) -> None:
    text = get(NOW)
    asking.ask(text)

    for piece in (text[:10], text[10:30], text[30:]):
        asking.say(piece)
        time.sleep(0.02)

    assert number(asking.hear()) == "v1"
    assert number(asking.ask(text)) == "v1"


def test_a_connection_that_is_to_be_closed_is_closed(address: str) -> None:
    for _ in range(3):
        with Asking(address) as asking:
            assert number(asking.ask(get(NOW, "Connection: close"))) == "v1"
            assert asking.closed()


def test_a_question_under_an_id_of_its_own_is_answered_under_it(asking: Asking) -> None:
    for _ in range(3):
        _, headers, _ = asking.ask(get(NOW, "X-Request-Id: nightly-7"))
        assert headers["x-request-id"] == "nightly-7"


def test_a_foreign_page_is_refused_however_often_others_asked_the_same(asking: Asking) -> None:
    for _ in range(3):
        asking.ask(get(NOW))

    answers = [asking.ask(get(NOW, "Origin: http://elsewhere.example")) for _ in range(2)]

    assert [status for status, _, _ in answers] == [403, 403]


def test_a_revoked_token_is_refused_within_a_second_though_its_question_was_answered(
    register: str,
) -> None:
    database = Database(register)
    prepare(database)
    database.close()
    with hb.connect(register) as book:
        admin = book.tokens.create("root", roles=["admin"])
        reader = book.tokens.create("reader", roles=["viewer"])
    with served(register, "--auth") as address, Asking(address) as asking:
        question = get(NOW, f"Authorization: Bearer {reader.secret}")
        assert [asking.ask(question)[0] for _ in range(5)] == [200] * 5

        with hb.connect(address, token=admin.secret) as book:
            book.tokens.revoke(reader.token.id)
        began = time.monotonic()
        while asking.ask(question)[0] == 200:
            assert time.monotonic() - began < 1.5

        assert asking.ask(question)[0] == 401
        assert asking.ask(get(NOW))[0] == 401


def test_one_who_sees_less_is_never_given_what_another_was(register: str) -> None:
    with hb.connect(register) as book:
        everything = book.tokens.create("reader", roles=["viewer"])
        other = book.tokens.create("other", roles=["viewer:gnn"])
        book.tokens.create("root", roles=["admin"])
    with served(register, "--auth") as address, Asking(address) as asking:
        for _ in range(3):
            asking.ask(get(NOW, f"Authorization: Bearer {everything.secret}"))

        answers = [asking.ask(get(NOW, f"Authorization: Bearer {other.secret}")) for _ in range(3)]

        assert [status for status, _, _ in answers] == [404, 404, 404]


LISTING = "/versions?filter=model%20%3D%20%27majora%27&page_size=100"


def test_a_repeated_listing_shows_what_was_registered_meanwhile(address: str) -> None:
    with Asking(address) as asking, hb.connect(address) as book:
        for count in (3, 4, 5):
            for _ in range(3):
                _, _, body = asking.ask(get(LISTING))
                assert len(json.loads(body)["items"]) == count
            book.models.register("majora", git_commit="")


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/herdbook.db", owner_url="http://127.0.0.1:8477")
    register = Register(database)
    memory = register.memory()
    assert memory is not None
    assert register.memory() is memory

    memory.held_bytes = MEMORY_LIMIT_BYTES

    assert register.memory() is not memory
    database.close()
