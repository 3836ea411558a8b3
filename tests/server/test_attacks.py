"""What an attack once opened stays closed."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

import herdbook
from herdbook.core.access import grants
from herdbook.errors import Invalid, Owned
from herdbook.server.outgoing import is_blocked
from herdbook.settings import Settings
from herdbook.storage.sql.engine import WAL_SAFE, Database
from tests.running import served
from tests.server.conftest import HERE, Served


def test_headers_without_end_are_cut_off(tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path}/herdbook.db") as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as flood:
            flood.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
            with pytest.raises(ConnectionError):
                _keep_sending(flood, b"X-More: " + b"x" * 1_000 + b"\r\n")

        with herdbook.connect(address) as book:
            assert book.models.list().items == ()


def _keep_sending(flood: socket.socket, line: bytes) -> None:
    for _ in range(200_000):
        flood.sendall(line)


@pytest.mark.skipif(WAL_SAFE, reason="this SQLite needs no owner for its journal")
def test_a_file_has_one_owner_whatever_link_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "link.db"
    link.symlink_to(tmp_path / "herdbook.db")
    owner = Database(f"sqlite:///{tmp_path}/herdbook.db", owner_url=HERE)

    with pytest.raises(Owned):
        Database(f"sqlite:///{link}", owner_url="http://127.0.0.1:1")
    with pytest.raises(Invalid, match="uri"):
        Database(f"sqlite:///file:{tmp_path}/herdbook.db?uri=true")

    owner.close()


def test_a_project_file_does_not_choose_who_is_sent_the_token(tmp_path: Path) -> None:
    (tmp_path / "herdbook.toml").write_text('url = "http://elsewhere:8477"\n')

    with pytest.raises(Invalid, match="HERDBOOK_URL"):
        Settings.load(environ={"HERDBOOK_TOKEN": "hb_1"}, folder=tmp_path)

    said = {"HERDBOOK_TOKEN": "hb_1", "HERDBOOK_URL": "http://elsewhere:8477"}
    assert Settings.load(environ=said, folder=tmp_path).token == "hb_1"
    assert Settings.load(environ={}, folder=tmp_path).url == "http://elsewhere:8477"


def test_a_role_for_no_models_is_not_one_for_all() -> None:
    with pytest.raises(Invalid):
        grants(["admin:"])

    assert grants(["admin"])[0].pattern == "*"


@pytest.mark.parametrize(
    "path",
    [
        "/deployments?alias=%00",
        "/deployments/history?alias=%00",
        "/models?model_type=%00",
        "/events?model=m%00",
        "/events?action=%00",
        "/models/%00",
    ],
)
def test_a_nul_in_an_address_is_refused(local: Served, path: str) -> None:
    assert local.client().get(path).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"slots": []},
        {"slots": ["blue"]},
        {"slots": ["blue", "green", "red"]},
        {"slots": ["a\x00", "b"]},
        {"to": "\x00"},
        {"slots": ["s"] * 20_000},
    ],
)
def test_a_switch_takes_two_aliases(local: Served, body: dict[str, object]) -> None:
    local.book.models.register("gnn", git_commit="")

    answer = local.client().post("/models/gnn/aliases/champion/switch", json=body)

    assert answer.status_code == 422
    assert len(answer.content) < 2_000


def test_another_if_match_is_another_request(local: Served) -> None:
    client = local.client()
    for _ in range(2):
        local.book.models.register("gnn", git_commit="")
    for number in ("v1", "v2"):
        local.book.deployments.promote(f"gnn:{number}")
    again = {"Idempotency-Key": "one", "If-Match": '"2"'}
    route = "/models/gnn/aliases/champion/rollback"
    assert client.post(route, json={}, headers=again).status_code == 200

    answer = client.post(route, json={}, headers=again | {"If-Match": '"7"'})

    assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")


@pytest.mark.parametrize(
    "address",
    ["fec0::1", "64:ff9b:1::7f00:1", "::127.0.0.1", "::ffff:0:7f00:1", "3fff::1", "5f00::1"],
)
def test_addresses_that_are_not_public_are_blocked(address: str) -> None:
    assert is_blocked(ip_address(address))
    assert not is_blocked(ip_address("2606:4700:4700::1111"))
