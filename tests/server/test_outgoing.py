"""Webhooks go where they were judged to go, and nowhere else."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from herdbook.bootstrap import LocalDoor
from herdbook.core.access import everything
from herdbook.errors import Invalid
from herdbook.front.book import Herdbook
from herdbook.server import outgoing
from herdbook.server.metrics import Metrics
from herdbook.server.outbox import Outbox
from herdbook.server.transactions import Register
from herdbook.storage.sql.engine import Database
from tests.server.conftest import Served

PUBLIC = "93.184.216.34"
UNSPECIFIED = "0.0.0.0"  # noqa: S104 - an address like the others


@dataclass
class Listener:
    """A real listener and what it heard."""

    port: int = 0
    status: int = 200
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/herdbook"


@contextmanager
def listening(*, status: int = 200) -> Iterator[Listener]:
    listener = Listener(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.heard.append((dict(self.headers), body))
            self.send_response(listener.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(url: str, *, private: bool = False, lookup: outgoing.Lookup = outgoing.look_up) -> str:
    return asyncio.run(outgoing.post(url, b"{}", headers={}, private=private, lookup=lookup))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", UNSPECIFIED]
)
def test_no_spelling_of_loopback_is_reached(host: str) -> None:
    with listening() as listener:
        problem = post(f"http://{host}:{listener.port}/")

        assert problem.startswith("blocked_address")
        assert listener.heard == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        UNSPECIFIED,
        "fe80::1",
        "fd00::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public_are_blocked(address: str) -> None:
    assert outgoing.is_blocked(ipaddress.ip_address(address))
    assert not outgoing.is_blocked(ipaddress.ip_address(PUBLIC))


def test_a_name_with_one_inner_address_is_blocked() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return [PUBLIC, "10.0.0.1"]

    assert "10.0.0.1" in post("https://hooks.example/", lookup=lookup)


def test_a_name_that_answers_differently_later_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    connected = []

    async def connect(_loop: object, _factory: object, host: str, *_: object, **__: object) -> None:
        connected.append(host)
        raise OSError("no network in this test")

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", connect)
    with listening() as listener:
        problem = post(f"http://hooks.example:{listener.port}/", lookup=lookup)

        assert problem
        assert asked == ["hooks.example"]
        assert connected == [PUBLIC]
        assert listener.heard == []


def test_the_name_stays_in_the_host_header() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with listening() as listener:
        problem = post(f"http://hooks.example:{listener.port}/", private=True, lookup=lookup)

        assert problem == ""
        assert listener.heard[0][0]["Host"] == f"hooks.example:{listener.port}"


def test_redirects_are_not_followed() -> None:
    with listening(status=302) as listener:
        assert "redirects are not followed" in post(listener.url, private=True)
        assert len(listener.heard) == 1


def test_a_refusal_and_a_closed_port_are_problems() -> None:
    with listening(status=500) as listener:
        assert post(listener.url, private=True) == "answered 500"
    assert "Error" in post(listener.url, private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:80/",
        "http://[::1]/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://localhost/",
        "http://a.localhost/",
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/",
    ],
)
def test_a_webhook_to_a_literal_inner_address_is_refused(local: Served, url: str) -> None:
    with pytest.raises(Invalid):
        outgoing.refuse_literal(url)

    answer = local.client().post("/webhooks", json={"url": url})

    assert answer.status_code == 422
    assert answer.json()["details"] == {"reason": "blocked_address"}
    assert local.book.webhooks.list().items == ()


@pytest.mark.parametrize("url", ["file:///etc", "ftp://host/", "gopher://host", "http://a@host/"])
def test_a_webhook_is_an_http_address(local: Served, url: str) -> None:
    assert local.client().post("/webhooks", json={"url": url}).status_code == 422


def outbox(database: Database, *, private: bool) -> Outbox:
    return Outbox(Register(database), metrics=Metrics(), private=private)


def test_an_event_is_delivered_once_and_signed(database: Database, tmp_path: Path) -> None:
    del tmp_path
    book = Herdbook(LocalDoor(database, everything("curator")))
    with listening() as listener:
        secret = book.webhooks.create(listener.url, actions=["alias.moved"]).secret
        book.models.register("majora")
        book.deployments.promote("majora:v1")

        sent = [asyncio.run(outbox(database, private=True).deliver()) for _ in range(2)]

        [(headers, body)] = listener.heard
    stamp, mark = (part.partition("=")[2] for part in headers["Herdbook-Signature"].split(","))
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    delivery = book.webhooks.deliveries(1).items[0]
    assert sent == [1, 0]
    assert mark == expected.hexdigest()
    assert headers["Herdbook-Event"] == "alias.moved"
    assert headers["Idempotency-Key"] == str(delivery.id)
    assert (delivery.attempts, delivery.problem) == (1, "")
    assert delivery.delivered_at is not None


def test_a_delivery_is_a_cloud_event_to_whoever_reads_those(database: Database) -> None:
    book = Herdbook(LocalDoor(database, everything("curator")))
    with listening() as listener:
        book.webhooks.create(listener.url, actions=["alias.moved"])
        book.models.register("majora")
        book.deployments.promote("majora:v1")

        asyncio.run(outbox(database, private=True).deliver())

        [(headers, body)] = listener.heard
    message = HTTPMessage(headers=dict(headers), body=body)
    told, event = from_http_event(message), book.events.list(action="alias.moved").items[0]
    assert told.get_type() == "herdbook.alias.moved"
    assert told.get_subject() == "majora:v1"
    assert told.get_id() == event.hash
    assert told.get_time() == event.at
    assert told.get_data() == json.loads(body)


def test_a_refused_delivery_is_tried_again_later(database: Database) -> None:
    book = Herdbook(LocalDoor(database, everything("curator")))
    with listening(status=503) as listener:
        book.webhooks.create(listener.url, actions=["model.registered"])
        book.models.create("majora")

        asyncio.run(outbox(database, private=True).deliver())

    delivery = book.webhooks.deliveries(1).items[0]
    assert delivery.problem == "answered 503"
    assert delivery.delivered_at is None
    assert delivery.next_at is not None


def test_a_delivery_to_an_inner_address_is_blocked(database: Database) -> None:
    book = Herdbook(LocalDoor(database, everything("curator")))
    with listening() as listener:
        book.webhooks.create(listener.url, actions=["model.registered"])
        book.models.create("majora")

        asyncio.run(outbox(database, private=False).deliver())

        assert listener.heard == []
    assert book.webhooks.deliveries(1).items[0].problem.startswith("blocked_address")
