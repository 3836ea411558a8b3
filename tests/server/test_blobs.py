"""Bytes over HTTP: who may send and read which, and what no body and no header can bring about."""

import hashlib
import json
import os
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

import herdbook
from herdbook.core.artifacts import FILES_LIMIT, digest_of
from herdbook.errors import Unavailable
from tests.disks import small
from tests.running import served
from tests.server.conftest import Served

WEIGHTS = b"the weights of gnn"
SECRET = b"what only search knows"
BYTES = {"Content-Type": "application/octet-stream"}
MODES = "sha256:" + "0" * 64


def put(client: TestClient, data: bytes, digest: str = "", **headers: str) -> Response:
    address = f"/blobs/{digest or digest_of(data)}"
    answer: Response = client.put(address, content=data, headers=BYTES | headers)
    return answer


def named(path: str, data: bytes, **more: Any) -> dict[str, Any]:
    """A file of a version to be registered."""
    return {"path": path, "size": len(data), "digest": digest_of(data), "role": "weights"} | more


def registered(client: TestClient, model: str, *files: dict[str, Any]) -> Response:
    body = {"model_name": model, "artifacts": files}
    answer: Response = client.post("/models/register", json=body)
    return answer


def pushed(client: TestClient, model: str, data: bytes) -> str:
    """Send bytes and register a version that holds them; give their digest."""
    assert put(client, data).status_code == 201
    assert registered(client, model, named("model.safetensors", data)).status_code == 201
    return digest_of(data)


def lacking(client: TestClient, *digests: str) -> list[str]:
    answer = client.post("/artifacts/missing", json={"digests": digests})
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["digests"]
    return found


def kept(folder: Path) -> list[str]:
    """Whatever a store keeps, drafts too, but for its marks: of sizes, and of whose it is."""
    every = [p for p in folder.rglob("*") if p.is_file()]
    return sorted(p.name for p in every if p.parent.name != "sizes" and p.name != "register")


def problem(answer: Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert len(answer.json()["detail"]) > 15
    return answer.status_code, answer.json()["code"]


# --- who ---


def test_a_blob_is_read_through_a_model_the_caller_may_read(guarded: Served) -> None:
    digest = pushed(guarded.holding("contributor:gnn"), "gnn", WEIGHTS)

    reader, other = guarded.holding("viewer:gnn"), guarded.holding("admin:search/*")

    assert reader.get(f"/blobs/{digest}").content == WEIGHTS
    assert reader.head(f"/blobs/{digest}").headers["content-length"] == str(len(WEIGHTS))
    assert problem(other.get(f"/blobs/{digest}")) == (404, "not_found")
    assert other.head(f"/blobs/{digest}").status_code == 404
    assert problem(other.get(f"/blobs/{digest}", headers={"Range": "bytes=0-3"}))[0] == 404
    assert guarded.client().get(f"/blobs/{digest}").status_code == 401


def test_a_blob_that_nobody_has_is_told_of_as_one_that_others_have(guarded: Served) -> None:
    digest = pushed(guarded.holding("contributor:gnn"), "gnn", WEIGHTS)
    other = guarded.holding("contributor:search/*")

    there, nowhere = (other.get(f"/blobs/{one}").json() for one in (digest, MODES))

    assert there["detail"].replace(digest, MODES) == nowhere["detail"]
    assert {k: v for k, v in there.items() if k not in {"detail", "request_id"}} == {
        k: v for k, v in nowhere.items() if k not in {"detail", "request_id"}
    }


def test_bytes_of_a_version_that_was_deleted_are_no_longer_given(guarded: Served) -> None:
    writer = guarded.holding("admin")
    digest = pushed(writer, "gnn", WEIGHTS)

    assert writer.delete("/models/gnn/versions/v1").status_code == 200

    assert problem(writer.get(f"/blobs/{digest}")) == (404, "not_found")
    assert writer.post("/models/gnn/versions/v1/restore").status_code == 200
    assert writer.get(f"/blobs/{digest}").content == WEIGHTS


def test_to_say_that_one_has_bytes_is_no_proof(guarded: Served) -> None:
    digest = pushed(guarded.holding("contributor:gnn"), "gnn", WEIGHTS)
    thief = guarded.client(
        guarded.book.tokens.create("thief", roles=["contributor:search/*"]).secret
    )

    claimed = registered(thief, "search/a", named("a.bin", WEIGHTS))
    unknown = registered(thief, "search/a", named("a.bin", b"of nobody"))

    assert lacking(thief, digest) == [digest]
    assert problem(claimed) == (404, "not_found")
    assert claimed.json()["detail"] == unknown.json()["detail"].replace(
        digest_of(b"of nobody"), digest
    )
    assert problem(thief.get(f"/blobs/{digest}"))[0] == 404
    assert put(thief, WEIGHTS).json()["new"] is True, "it tells that others have them"
    assert lacking(thief, digest) == []
    assert registered(thief, "search/a", named("a.bin", WEIGHTS)).status_code == 201
    assert thief.get(f"/blobs/{digest}").content == WEIGHTS


@pytest.mark.parametrize("size", [0, 1, len(WEIGHTS), 10**9])
@pytest.mark.parametrize("model", ["search/a", "gnn", "new"])
def test_registering_tells_nobody_what_others_have(guarded: Served, model: str, size: int) -> None:
    pushed(guarded.holding("contributor:gnn"), "gnn", WEIGHTS)
    thief = guarded.client(
        guarded.book.tokens.create("thief", roles=["contributor:search/*"]).secret
    )

    there = registered(thief, model, named("a.bin", WEIGHTS, size=size))
    nowhere = registered(thief, model, named("a.bin", b"of nobody", size=size))

    assert problem(there) == problem(nowhere) == (404, "not_found")
    assert there.json()["detail"].replace(digest_of(WEIGHTS), "") == nowhere.json()[
        "detail"
    ].replace(digest_of(b"of nobody"), "")


def test_what_one_sent_another_has_not_proven(guarded: Served) -> None:
    make = guarded.book.tokens.create
    one = guarded.client(make("one", roles=["contributor:search/*"]).secret)
    two = guarded.client(make("two", roles=["contributor:search/*"]).secret)

    assert put(one, SECRET).status_code == 201

    assert lacking(one, digest_of(SECRET)) == []
    assert lacking(two, digest_of(SECRET)) == [digest_of(SECRET)]
    assert registered(two, "search/b", named("b.bin", SECRET)).status_code == 404
    # Sent, but in no version yet: nobody reads it, neither does its sender.
    assert one.get(f"/blobs/{digest_of(SECRET)}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("PUT", f"/blobs/{MODES}", "contributor"),
        ("POST", "/artifacts/missing", "contributor"),
        ("POST", "/artifacts/collect", "admin"),
        ("POST", "/artifacts/verify", "admin"),
        ("GET", f"/blobs/{MODES}", "viewer"),
    ],
)
def test_each_route_asks_for_its_role(guarded: Served, method: str, path: str, least: str) -> None:
    roles = ["viewer", "contributor", "deployer", "admin"]

    for role in roles:
        answer = guarded.holding(role).request(method, path)
        allowed = roles.index(role) >= roles.index(least)
        assert (answer.status_code != 403) == allowed, f"{role}: {answer.text}"


def test_who_administers_some_models_keeps_no_house_for_all(guarded: Served) -> None:
    some = guarded.holding("admin:gnn")

    assert problem(some.post("/artifacts/collect", json={"grace_hours": 0}))[0] == 403
    assert problem(some.post("/artifacts/verify"))[0] == 403


# --- digests ---


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "md5:" + "a" * 32,
        "sha512:" + "a" * 128,
        "a" * 64,
        "sha256:" + "a" * 64 + "%0A",
        "sha256:" + "..%5C" * 12 + "aaaa",
        "%2e%2e",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_what_is_no_digest_is_refused(
    local: Served, tmp_path: Path, method: str, digest: str
) -> None:
    answer = local.client().request(method, f"/blobs/{digest}", content=b"x", headers=BYTES)

    assert answer.status_code in ({404, 405, 422} if digest == "%2e%2e" else {422}), answer.text
    assert kept(tmp_path / "blobs") == []


def test_a_digest_never_leads_elsewhere(local: Served, tmp_path: Path) -> None:
    client = local.client()

    for path in (
        "/blobs/sha256:../../x",
        "/blobs/sha256:%2e%2e%2f%2e%2e%2fx",
        "/blobs//etc/passwd",
    ):
        assert client.put(path, content=b"x", headers=BYTES).status_code in {404, 405, 422}
        assert client.get(path).status_code in {404, 405, 422}

    assert kept(tmp_path / "blobs") == []


# --- what is sent ---


def test_other_bytes_than_those_of_the_digest_are_refused(local: Served, tmp_path: Path) -> None:
    client = local.client()

    answer = put(client, b"something else", digest_of(WEIGHTS))

    assert problem(answer) == (422, "invalid")
    assert answer.json()["field"] == "digest"
    assert kept(tmp_path / "blobs") == []
    assert lacking(client, digest_of(WEIGHTS)) == [digest_of(WEIGHTS)]


def test_other_bytes_do_not_replace_those_that_are_there(local: Served) -> None:
    client = local.client()
    digest = pushed(client, "gnn", WEIGHTS)

    same_size = put(client, WEIGHTS[::-1], digest)
    longer = put(client, WEIGHTS + b"!", digest)

    assert problem(same_size) == problem(longer) == (422, "invalid")
    assert client.get(f"/blobs/{digest}").content == WEIGHTS


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "zstd"}, 415),
        ({"Content-Encoding": "identity, gzip"}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
def test_a_body_of_another_kind_is_refused(
    local: Served, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    answer = put(local.client(), WEIGHTS, **headers)

    assert problem(answer)[0] == status
    assert kept(tmp_path / "blobs") == []


def test_an_empty_file_is_a_file(local: Served) -> None:
    digest = pushed(local.client(), "gnn", b"")

    answer = local.client().get(f"/blobs/{digest}")

    assert (answer.status_code, answer.content) == (200, b"")


# --- what is registered ---


@pytest.mark.parametrize("size", [0, len(WEIGHTS) - 1, len(WEIGHTS) + 1, 2**53 - 1])
def test_a_size_that_lies_is_refused(local: Served, size: int) -> None:
    client = local.client()
    put(client, WEIGHTS)

    answer = registered(client, "gnn", named("model.safetensors", WEIGHTS, size=size))

    assert problem(answer) == (422, "invalid")
    assert f"{len(WEIGHTS)}" in answer.json()["detail"]
    assert client.get("/models/gnn").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": 2**53},
        {"size": 1.5},
        {"size": "1"},
        {"size": True},
        {"digest": "md5:" + "a" * 32},
        {"digest": digest_of(WEIGHTS).upper()},
        {"path": "../x"},
        {"path": "/etc/passwd"},
        {"path": "a\\b"},
        {"path": "C:\\x"},
        {"path": "a/./b"},
        {"path": "con.txt"},
        {"path": "a\nb"},
        {"path": "a\u202eb"},
        {"path": "a."},
        {"path": "e\u0301"},
        {"path": "x" * 300},
        {"path": "/".join(["x"] * 3_000)},
        {"role": "../x"},
        {"location": "file:///etc/passwd"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_file_that_is_none_is_refused(
    local: Served, tmp_path: Path, change: dict[str, Any]
) -> None:
    client = local.client()
    put(client, WEIGHTS)
    before = kept(tmp_path / "blobs")

    answer = registered(client, "gnn", named("a.bin", WEIGHTS) | change)

    assert problem(answer)[0] == 422
    assert kept(tmp_path / "blobs") == before
    assert client.get("/models/gnn").status_code == 404


@pytest.mark.parametrize(
    "paths", [("a", "a"), ("a", "A"), ("a", "a/b"), ("x/a", "X/b"), ("straße", "STRASSE")]
)
def test_paths_a_disk_could_confuse_are_refused(local: Served, paths: tuple[str, str]) -> None:
    client = local.client()
    put(client, WEIGHTS)

    answer = registered(client, "gnn", *(named(path, WEIGHTS) for path in paths))

    assert problem(answer) == (422, "invalid")


def test_bytes_that_were_lost_after_they_were_sent_are_noticed(
    local: Served, tmp_path: Path
) -> None:
    client = local.client()
    put(client, WEIGHTS)
    (path,) = [p for p in (tmp_path / "blobs" / "sha256").rglob("*") if p.is_file()]
    path.unlink()

    answer = registered(client, "gnn", named("a.bin", WEIGHTS))

    assert problem(answer) == (404, "not_found")
    assert lacking(client, digest_of(WEIGHTS)) == [digest_of(WEIGHTS)]
    assert pushed(client, "gnn", WEIGHTS)


def test_bytes_that_were_cut_off_have_to_be_sent_again(local: Served, tmp_path: Path) -> None:
    client = local.client()
    put(client, WEIGHTS)
    (path,) = [p for p in (tmp_path / "blobs" / "sha256").rglob("*") if p.is_file()]
    os.truncate(path, 3)

    answer = registered(client, "gnn", named("a.bin", WEIGHTS))

    assert problem(answer) == (500, "corrupt")
    assert lacking(client, digest_of(WEIGHTS)) == [digest_of(WEIGHTS)]
    assert pushed(client, "gnn", WEIGHTS)
    assert client.get(f"/blobs/{digest_of(WEIGHTS)}").content == WEIGHTS


def test_ten_thousand_files_are_a_version_and_one_more_is_one_clear_error(local: Served) -> None:
    client = local.client()
    put(client, WEIGHTS)
    many = [named(f"shards/{number:05}.bin", WEIGHTS) for number in range(FILES_LIMIT + 1)]

    assert registered(client, "gnn", *many[1:]).status_code == 201
    refused = registered(client, "gnn", *many)

    assert len(client.get("/models/gnn/versions/v1/files").json()["files"]) == FILES_LIMIT
    assert problem(refused) == (422, "invalid")
    assert "10,001 files" in refused.json()["detail"]
    assert client.get("/models/gnn/versions/v2").status_code == 404
    assert len(lacking(client, *(digest_of(b"%d" % n) for n in range(10_000)))) == 10_000
    over = client.post("/artifacts/missing", json={"digests": [digest_of(b"x")] * 10_001})
    assert problem(over)[0] in {413, 422}


# --- parts ---


@pytest.fixture
def readable(local: Served) -> TestClient:
    """A client, and in the register behind it the digits 0 to 9."""
    client = local.client()
    pushed(client, "gnn", b"0123456789")
    return client


DIGITS = digest_of(b"0123456789")


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
        ("bytes=0-1,1-2", b"012", "bytes 0-2/10"),
    ],
)
def test_a_part_is_given(readable: TestClient, asked: str, part: bytes, told: str) -> None:
    answer = readable.get(f"/blobs/{DIGITS}", headers={"Range": asked})

    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"] == told
    assert answer.headers["etag"] == f'"{DIGITS}"'


def test_several_parts_come_apart(readable: TestClient) -> None:
    answer = readable.get(f"/blobs/{DIGITS}", headers={"Range": "bytes=0-1, 8-9"})

    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert re.findall(rb"\r\n\r\n(\d+)\r\n", answer.content) == [b"01", b"89"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=10-", 416),
        ("bytes=99-100", 416),
        ("bytes=-0", 416),
        ("bytes=0-1,10-11", 416),
        ("bytes=" + "9" * 19 + "-", 416),
        ("bytes=3-1", 400),
        ("bytes=", 400),
        ("bytes=-", 400),
        ("bytes=a-b", 400),
        ("bytes=1", 400),
        ("bytes=0x1-2", 400),
        ("bytes=" + "9" * 5_000 + "-", 400),
        ("lines=0-1", 400),
        ("bytes=" + ",".join(["0-0"] * 101), 400),
        ("bytes=0-1,,2-3", 400),
    ],
)
def test_a_part_that_is_none_is_a_problem(readable: TestClient, asked: str, status: int) -> None:
    answer = readable.get(f"/blobs/{DIGITS}", headers={"Range": asked})

    assert problem(answer)[0] == status
    assert answer.headers.get("content-range") == ("bytes */10" if status == 416 else None)


def test_if_range_gives_all_when_the_tag_is_another(readable: TestClient) -> None:
    def asked(tag: str) -> tuple[int, bytes]:
        headers = {"Range": "bytes=2-3", "If-Range": tag}
        answer = readable.get(f"/blobs/{DIGITS}", headers=headers)
        return answer.status_code, answer.content

    assert asked(f'"{DIGITS}"') == (206, b"23")
    assert asked('"another"') == (200, b"0123456789")
    assert asked(f'W/"{DIGITS}"') == (200, b"0123456789")


def test_what_is_given_is_never_shown_as_a_page(readable: TestClient) -> None:
    answer = readable.get(f"/blobs/{DIGITS}")

    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "private" in answer.headers["cache-control"]


# --- a real server ---


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps things."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """A server in a process of its own."""
    url = f"sqlite:///{home}/herdbook.db"
    with served(url, HERDBOOK_HOME=str(home), HERDBOOK_RECEIVE_SECONDS="3") as found:
        yield found


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def spoken(address: str, text: bytes) -> tuple[int, bytes]:
    """Send bytes over a connection, end it, and give the status and what came."""
    with connected(address) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        found = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(found.split(b" ", 2)[1]) if found else 0, found


def head(digest: str, *headers: str) -> bytes:
    lines = [f"PUT /blobs/{digest} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    return "\r\n".join(
        [*lines, "Content-Type: application/octet-stream", *headers, "", ""]
    ).encode()


CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(WEIGHTS), WEIGHTS)


@pytest.mark.parametrize(
    ("headers", "body", "statuses"),
    [
        ((), b"", {411}),
        (("Transfer-Encoding: chunked",), CHUNKED, {411}),
        ((f"Content-Length: {len(WEIGHTS) + 5}",), WEIGHTS, {0, 400}),
        (("Content-Length: 5",), WEIGHTS, {0, 400, 422}),
        (("Content-Length: -1",), WEIGHTS, {400}),
        (("Content-Length: 1e3",), WEIGHTS, {400}),
        (("Content-Length: " + "9" * 30,), WEIGHTS, {400}),
        ((f"Content-Length: {len(WEIGHTS)}", "Content-Length: 3"), WEIGHTS, {400}),
        ((f"Content-Length: {len(WEIGHTS)}", "Transfer-Encoding: chunked"), CHUNKED, {400, 411}),
    ],
    ids=["none", "chunked", "more", "less", "negative", "no number", "endless", "two", "both"],
)
def test_a_length_that_lies_keeps_nothing(
    address: str, home: Path, headers: tuple[str, ...], body: bytes, statuses: set[int]
) -> None:
    status, text = spoken(address, head(digest_of(WEIGHTS), *headers) + body)

    assert status in statuses, text
    wait_for(lambda: kept(home / "blobs") == [])


def test_who_goes_away_in_the_middle_leaves_nothing(address: str, home: Path) -> None:
    data = os.urandom(3 << 20)
    with connected(address) as connection:
        connection.sendall(head(digest_of(data), f"Content-Length: {len(data)}") + data[:-1])
        until_draft(home)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    wait_for(lambda: kept(home / "blobs") == [])
    with urllib.request.urlopen(f"{address}/healthz", timeout=5) as alive:  # noqa: S310
        assert alive.status == 200


def test_who_sends_too_slowly_is_answered_and_leaves_nothing(address: str, home: Path) -> None:
    data = os.urandom(3 << 20)
    with connected(address) as connection:
        connection.sendall(head(digest_of(data), f"Content-Length: {len(data)}") + data[:-1])
        until_draft(home)
        found = connection.recv(65_536)

    assert b" 408 " in found.split(b"\r\n")[0]
    wait_for(lambda: kept(home / "blobs") == [])


def until_draft(home: Path) -> None:
    wait_for(lambda: any(name.startswith(".herdbook-") for name in kept(home / "blobs")))


def wait_for(condition: Any) -> None:
    again = threading.Event()
    for _ in range(600):
        if condition():
            return
        again.wait(0.02)
    pytest.fail("it did not come about")


def memory(address: str) -> int:
    """The resident bytes of a server."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:  # noqa: S310
        found = re.search(r"^process_resident_memory_bytes (\S+)$", answer.read().decode(), re.M)
    assert found is not None
    return int(float(found[1]))


def sent(address: str, model: str, data: bytes) -> str:
    """Push one file over plain HTTP; give its digest."""
    digest = digest_of(data)
    asked(address, "PUT", f"/blobs/{digest}", data, "application/octet-stream")
    body = {"model_name": model, "artifacts": [named("model.safetensors", data)]}
    asked(address, "POST", "/models/register", json.dumps(body).encode(), "application/json")
    return digest


def asked(address: str, method: str, path: str, data: bytes, kind: str) -> bytes:
    request = urllib.request.Request(  # noqa: S310
        address + path, data=data, method=method, headers={"Content-Type": kind}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found: bytes = answer.read()
    return found


def downloaded(address: str, digest: str) -> tuple[str, int]:
    """Fetch a blob a piece at a time; give its digest and the most memory the server took."""
    passed, most = hashlib.sha256(), 0
    with urllib.request.urlopen(f"{address}/blobs/{digest}", timeout=60) as answer:  # noqa: S310
        for count, piece in enumerate(iter(lambda: answer.read(1 << 20), b"")):
            passed.update(piece)
            if count % 32 == 0:
                most = max(most, memory(address))
    return f"sha256:{passed.hexdigest()}", most


@pytest.mark.parametrize("verified", [True, False], ids=["verified before", "verified on the way"])
def test_eight_at_once_get_the_same_bytes_in_constant_memory(
    address: str, home: Path, *, verified: bool
) -> None:
    digest = sent(address, "majora", os.urandom(1 << 20) * 96)
    if not verified:
        (path,) = (home / "blobs" / "sha256").rglob(digest.removeprefix("sha256:"))
        os.utime(path)
    before = memory(address)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: downloaded(address, digest), range(8)))

    assert {each for each, _ in found} == {digest}
    assert max(most for _, most in found) - before < 64 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four mebibytes."""
    with small(tmp_path / "small", "4m") as folder:
        yield folder


def test_a_full_disk_is_told_and_the_server_goes_on(small_disk: Path, tmp_path: Path) -> None:
    data, less = os.urandom(8 << 20), os.urandom(1 << 20)
    store = small_disk / "blobs"
    with served(f"sqlite:///{tmp_path}/herdbook.db", HERDBOOK_BLOBS=str(store)) as address:
        (tmp_path / "model.safetensors").write_bytes(data)
        refused = pytest.raises(Unavailable, match="free some space")
        with herdbook.connect(address) as book, refused:
            book.artifacts.push("majora", path=tmp_path / "model.safetensors")

        wait_for(lambda: kept(store) == [])
        digest = sent(address, "majora", less)
        assert downloaded(address, digest)[0] == digest
