"""What no route may take, whatever it is for: the same refusals, walked over the description."""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from herdbook.bootstrap import prepare
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests.server.conftest import HERE, Served, serving

JSON = {"Content-Type": "application/json"}
ASKED = {"/best": {"metric": "accuracy"}, "/compare": {"refs": "majora:v1"}}
GIVEN = {"model": "majora", "version": "v1", "alias": "champion", "id": "1", "ref": "majora"}
# Protocols of others say in their own words what is wrong, and have tests of their own.
FOREIGN = {"ofrep"}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}


def address(path: str, **given: str) -> str:
    for name, value in (GIVEN | given).items():
        path = path.replace(f"{{{name}}}", value)
    return path


def routes(
    served: Served, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[tuple[str, str]]:
    """Methods and paths of the description's operations that are as wanted."""
    paths = served.client().get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if wanted(operation)
    ]


def asked(path: str) -> dict[str, str]:
    """The arguments a route cannot be asked without."""
    return ASKED.get(path, {})


def takes_json(operation: dict[str, Any]) -> bool:
    if FOREIGN.intersection(operation["tags"]):
        return False
    return "application/json" in operation.get("requestBody", {}).get("content", {})


def takes(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda operation: name in {p["name"] for p in operation.get("parameters", [])}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A register that this process owns; what is refused leaves it as it is, so it is shared."""
    path = tmp_path_factory.mktemp("negative") / "herdbook.db"
    opened = Database(f"sqlite:///{path}", owner_url=HERE)
    prepare(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def begun(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A version in production, behind a server in local mode."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), actor="curator")
    for served in serving(database, settings, auth=False):
        served.book.models.register("majora", git_commit="", metrics={"accuracy": 0.85})
        served.book.deployments.promote("majora:v1")
        yield served


def kept(database: Database) -> list[str]:
    """Everything a register holds."""
    with closing(sqlite3.connect(str(database.path))) as reading:
        return list(reading.iterdump())


def is_problem(answer: Any) -> bool:
    """Whether an answer tells what was wrong, in full and without internals."""
    problem = answer.json()
    inside = ("Traceback", "sqlite", "SELECT ", "/src/", ".py")
    return (
        answer.headers["content-type"] == "application/problem+json"
        and problem["status"] == answer.status_code < 500
        and len(problem["detail"]) > 15
        and not any(word in answer.text for word in inside)
    )


UNREADABLE = {
    "half": b'{"name":',
    "not UTF-8": b"\xff\xfe",
    "another depth": b"[" * 100_000,
    "a deep object": b'{"a":' * 65 + b"1" + b"}" * 65,
    "a name twice": b'{"name":"majora","name":"gnn"}',
    "NaN": b'{"metrics":{"accuracy":NaN}}',
    "infinity": b'{"metrics":{"accuracy":-Infinity}}',
    "too large a number": b'{"metrics":{"accuracy":1e999}}',
    "a long integer": b'{"metrics":{"accuracy":' + b"9" * 400 + b"}}",
    "half of a pair": b'{"name":"\\ud800"}',
    "a list": b"[]",
    "a text": b'"majora"',
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_no_route_takes_a_body_that_is_read_in_two_ways(
    begun: Served, database: Database, kind: str
) -> None:
    client, before = begun.client(), kept(database)

    found = routes(begun, takes_json)
    for method, path in found:
        answer = client.request(method, address(path), content=UNREADABLE[kind], headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), f"{method} {path}"
        assert is_problem(answer), answer.text

    assert len(found) > 15
    assert kept(database) == before
    assert client.get("/models/majora").status_code == 200


@pytest.mark.parametrize("field", ["no such field", "source", "__proto__", "path", "url ", "id"])
def test_no_route_takes_a_field_it_does_not_know(
    begun: Served, database: Database, field: str
) -> None:
    client, before = begun.client(), kept(database)

    for method, path in routes(begun, takes_json):
        if (path, field) == ("/models/{model}/versions/{version}/metrics", "source"):
            continue  # Who scored it is a field there; a text, of which nothing is fetched.
        answer = client.request(method, address(path), json={field: "file:///etc/passwd"})
        named = {problem["field"] for problem in answer.json()["details"]["problems"]}
        assert answer.status_code == 422, f"{method} {path}"
        assert field in named, f"{method} {path}: {answer.text}"
        assert is_problem(answer), answer.text

    assert kept(database) == before


_WATCHED: list[list[object]] = []


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.getaddrinfo", "open"} and _WATCHED:
        if event == "open" and not str(args[0]).startswith("/etc"):
            return
        _WATCHED[-1].append((event, args))


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[object]]:
    """What is connected to, looked up, or read of the system meanwhile, in this whole process."""
    _WATCHED.append([])
    try:
        yield _WATCHED[-1]
    finally:
        _WATCHED.pop()


ELSEWHERE = [
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "file://localhost/etc/passwd",
    "/etc/passwd",
    "../../../../etc/passwd",
    "s3://other/../x",
    "http://169.254.169.254/latest/meta-data/",
    "ftp://127.0.0.1/x",
    "gopher://127.0.0.1:8477/_x",
    "dbfs:/x",
    "jar:http://127.0.0.1!/x",
    "\\\\host\\share",
]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_place_is_written_down_and_never_visited(begun: Served, place: str) -> None:
    body = {
        "model_name": f"elsewhere-{ELSEWHERE.index(place)}",
        "description": place,
        "notes": place,
        "training": {"base_model": place, "framework": place, "hardware": place},
        "files": [{"role": "checkpoint", "location": place}],
        "dependencies": [place],
        "metadata": {"source": place},
        "metrics_source": place,
        "tags": {"from": place},
    }

    with watched() as visits:
        answer = begun.client().post("/models/register", json=body)
        client = begun.client()
        for path in ("/versions", "/datasets", "/events", "/export"):
            assert client.get(path).status_code == 200

    assert answer.status_code in {201, 422}
    assert visits == []


def test_the_watch_sees_a_visit() -> None:
    import socket

    with watched() as visits, socket.socket() as visiting, pytest.raises(OSError):  # noqa: PT011
        visiting.connect(("127.0.0.1", 1))

    assert len(visits) == 1


SQL = [
    "model = 'x' OR 1=1--",
    "name = 'x'; DROP TABLE models",
    "name = 'x' UNION SELECT secret_hash FROM tokens",
    "ORDER BY name; DROP TABLE models",
    "ORDER BY (SELECT 1)",
    "ORDER BY CASE WHEN 1=1 THEN name END",
    "ORDER BY 1",
    "name = \u2018majora\u2019",
    "no_such_column = 'x'",
    "secret_hash LIKE '%'",
    "models.name = 'x'",
    "name = 'x'/**/OR/**/1=1",
    "name = 'x\\' OR 1=1",
    'tags."x\' OR 1=1--" = ',
    "name IN ()",
    "\x1b[31m = 1",
    "\u202ename = 'x'",
]


@pytest.mark.parametrize("text", SQL)
def test_sql_in_a_filter_is_no_filter(begun: Served, database: Database, text: str) -> None:
    client, before = begun.client(), kept(database)

    found = routes(begun, takes("filter"))
    for method, path in found:
        answer = client.request(method, address(path), params=asked(path) | {"filter": text})
        assert (answer.status_code, is_problem(answer)) == (422, True), f"{path}: {answer.text}"
        assert answer.json()["code"] in {"invalid_filter", "unknown_field"}
        assert answer.json()["field"], path

    assert found
    assert kept(database) == before


@pytest.mark.parametrize(
    "query",
    ["page_size=1001", "page_size=1000000000", "page_size=0", "page_size=-1", "page_size=1e3",
     "page_size=1.5", "page_size=", "page_size=NaN", "page_size=1&page_size=1000",
     "page_size=99999999999999999999", "page=Zm9yZ2Vk", "page=%00", "page=%ff", "page=x&page=y",
     "offset=1000000000000000000", "limit=1&limit=1000", "no_such=1", "%00=1"],
)  # fmt: skip
def test_no_listing_takes_a_page_it_does_not_know(begun: Served, query: str) -> None:
    client = begun.client()

    found = routes(begun, takes("page_size"))
    for method, path in found:
        answer = client.request(method, f"{address(path)}?{query}")
        assert answer.status_code in {404, 422}, f"{path}: {answer.status_code}"
        assert is_problem(answer), answer.text
        if answer.status_code == 422:
            assert answer.json()["field"], f"{path}: {answer.text}"

    assert len(found) > 8


@pytest.mark.parametrize(
    "word",
    ["%00", "%ff", "%0d%0aX-Injected:%201", "..%2f..%2fetc", "%252e%252e", "%e2%80%ae", "%1b%5b31m",
     "%d0%b0", "a" * 5_000, "'%20OR%201=1--", "%3Cscript%3E", "{{7*7}}", "$(id)", "-1", "%20"],
)  # fmt: skip
def test_no_word_of_an_address_is_taken_for_more_than_a_word(
    begun: Served, database: Database, word: str
) -> None:
    client, before = begun.client(), kept(database)

    for method, path in routes(begun):
        for name in (name for name in GIVEN if f"{{{name}}}" in path):
            answer = client.request(method, address(path, **{name: word}))
            assert answer.status_code in {400, 404, 405, 415, 422}, f"{method} {path} {name}"
            assert is_problem(answer), answer.text
            assert "x-injected" not in answer.headers

    assert kept(database) == before


def test_what_is_asked_for_changes_nothing(begun: Served, database: Database) -> None:
    client, before = begun.client(), kept(database)

    for method, path in routes(begun):
        if method == "GET":
            client.get(address(path), params=asked(path))

    assert kept(database) == before


def test_no_address_takes_a_method_it_does_not_name(guarded: Served) -> None:
    admin, stranger = guarded.holding("admin"), guarded.client()
    named: dict[str, set[str]] = {}
    for route in guarded.app.routes:
        path, methods = address(route.path_format), set(route.methods or ())  # type: ignore[attr-defined]
        named[path] = named.get(path, set()) | methods

    for path, methods in named.items():
        for method in METHODS - methods:
            for client in (admin, stranger):
                answer = client.request(method, path)
                assert answer.status_code == 405, f"{method} {path}"
                assert set(answer.headers["allow"].split(", ")) <= methods


HEADERS = ["Accept", "Accept-Language", "Authorization", "Content-Encoding", "Content-Type",
           "Cookie", "Host", "Idempotency-Key", "If-Match", "If-None-Match", "Origin", "Range",
           "Referer", "Sec-Fetch-Site", "User-Agent", "X-Forwarded-Host", "X-Http-Method-Override",
           "X-Request-ID", "X-Original-URL"]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("value", ["text/html<script>alert(1)</script>", "\xff\xfe", "x" * 20_000])
def test_no_header_comes_back_in_an_answer(begun: Served, header: str, value: str) -> None:
    client = begun.client()
    sent = {b"Content-Type": b"application/json", header.encode(): value.encode("latin-1")}

    for answer in (
        client.get("/models/gnn", headers=sent),
        client.put("/models/majora/aliases/blue", content=b"{}", headers=sent),
    ):
        assert 400 <= answer.status_code < 500
        assert is_problem(answer)
        told = answer.text + str(answer.headers)
        assert "<script>" not in told
        assert "x" * 100 not in told


def test_a_wish_for_another_kind_of_answer_gets_json(begun: Served) -> None:
    for wish in ("text/html", "application/xml", "*/*;q=0", "x"):
        for path in ("/models/majora", "/nothing", "/models/gnn"):
            answer = begun.client().get(path, headers={"Accept": wish})
            assert answer.headers["content-type"] in {
                "application/json",
                "application/problem+json",
            }
            assert json.loads(answer.text)


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[x](javascript:alert(1))",
     "{{7*7}}", "=cmd|' /C calc'!A0", "\x1b]0;title\x07", "\u202eevil", "$(id) `id` ; rm -rf /",
     "%s%n%x", "'; DROP TABLE models; --"],
)  # fmt: skip
def test_a_text_comes_back_as_it_was_written_and_nothing_obeys_it(begun: Served, text: str) -> None:
    client = begun.client()

    made = client.post("/models/register", json={"model_name": "oracle", "description": text})

    assert made.status_code == 201
    found = client.get(f"/models/oracle/versions/{made.json()['number']}")
    assert found.json()["description"] == text
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert client.get("/models/majora").status_code == 200


def test_a_host_of_ones_own_choice_changes_no_decision(guarded: Served) -> None:
    for headers in (
        {"Host": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Host": "localhost", "X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost", "Forwarded": "for=127.0.0.1;host=localhost"},
        {"X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz"},
        {"X-Http-Method-Override": "GET", "X-Forwarded-User": "admin", "X-Remote-User": "admin"},
    ):
        assert guarded.client().get("/models", headers=headers).status_code == 401
    for path in ("/models/..%2fhealthz", "/healthz%2f..%2fmodels", "//models", "/./models"):
        assert guarded.client().get(path).status_code in {400, 401, 404}


def test_no_secret_comes_out_where_it_is_not_given(begun: Served) -> None:
    client = begun.client()
    token = client.post("/tokens", json={"name": "ci", "roles": ["viewer"]}).json()["secret"]
    hook = client.post("/webhooks", json={"url": "https://hooks.example/h"}).json()["secret"]
    client.get("/models", headers={"Authorization": f"Bearer {token}"})

    for method, path in routes(begun):
        if method == "GET":
            told = client.get(address(path), params=asked(path)).text
            assert token[3:54] not in told, path
            assert hook not in told, path
