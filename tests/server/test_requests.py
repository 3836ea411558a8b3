"""Requests that are refused, whatever they ask: by where they come from and how they look."""

import re
from typing import Any

import pytest

from herdbook.server.limits import BODY_LIMIT_BYTES
from tests.server.conftest import Served

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("x/?", 400),
        ("", 400),
        ("localhost:8477", 200),
        ("[::1]:8477", 200),
    ],
)
def test_local_mode_answers_only_to_its_own_names(local: Served, host: str, status: int) -> None:
    answer = local.client().get("/models", headers={"Host": host})

    assert answer.status_code == status


def test_two_hosts_are_one_too_many(local: Served, guarded: Served) -> None:
    twice = [("Host", "127.0.0.1:8477"), ("Host", "evil.example")]

    assert local.client().get("/models", headers=twice).status_code == 400
    assert guarded.client().get("/models", headers=twice).status_code == 400


def test_a_forwarded_host_changes_nothing(local: Served) -> None:
    answer = local.client().get(
        "/models", headers={"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"}
    )

    assert answer.status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_ask_nothing(local: Served, headers: dict[str, str]) -> None:
    client = local.client()

    for method in ("GET", "POST", "DELETE"):
        answer = client.request(method, "/models/majora", headers=headers)
        assert answer.status_code == 403
        assert answer.json()["code"] == "forbidden"


def test_its_own_page_may_ask(local: Served) -> None:
    headers = {"Origin": "http://127.0.0.1:8477", "Sec-Fetch-Site": "same-origin"}

    assert local.client().get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "text/html<script>",
    ],
)
def test_a_body_that_a_form_could_send_is_refused(local: Served, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}

    answer = local.client().post("/models", content=b'{"name":"majora"}', headers=headers)

    assert answer.status_code == 415
    assert "<script>" not in answer.text
    assert local.book.models.list().items == ()


@pytest.mark.parametrize("packing", ["gzip", "zstd", "br", "gzip, identity"])
def test_a_packed_body_is_refused(local: Served, packing: str) -> None:
    answer = local.client().post(
        "/models", content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": packing}
    )

    assert answer.status_code == 415


def test_a_body_over_the_limit_is_refused(local: Served) -> None:
    client = local.client()
    text = b'{"name":"majora","notes":"' + b"x" * BODY_LIMIT_BYTES + b'"}'

    declared = client.post("/models", content=text, headers=JSON)
    streamed = client.post("/models", content=iter([text]), headers=JSON)

    assert declared.status_code == streamed.status_code == 413
    assert declared.json()["code"] == "too_large"
    assert client.get("/models").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'"' + b'\\"' * 400_000,
        b'{"name":"majora","name":"gnn"}',
        b'{"name":"majora","metadata":{"a":NaN}}',
        b'{"name":"majora","metadata":{"a":-Infinity}}',
        b'{"name":"majora","metadata":{"a":1e999}}',
        b'{"name":"majora","metadata":{"a":' + b"9" * 400 + b"}}",
        b'{"name":"majora","notes":"\\ud800"}',
        b'{"name":"majora","__proto__":{}}',
        b'{"name":"majora","source":"file:///etc"}',
        b'{"name":"../../etc"}',
        b'{"name":"CON"}',
        b'{"name":1}',
        b"[]",
        b"null",
        b"",
    ],
)
def test_a_body_that_is_no_plain_json_is_invalid(local: Served, body: bytes) -> None:
    client = local.client()

    answer = client.post("/models", content=body, headers=JSON)

    assert answer.status_code == 422
    assert answer.json()["code"] in {"invalid", "unknown_field"}
    assert client.get("/models").json()["items"] == []


@pytest.mark.parametrize(
    "metrics",
    [{f"m{i}": 1 for i in range(1_001)}, {"x" * 10_000: 1}, {"accuracy": "high"}, {"f1": True}],
)
def test_metrics_have_limits(local: Served, metrics: dict[str, Any]) -> None:
    local.book.models.register("majora")

    answer = local.client().post("/models/majora/versions/v1/metrics", json={"metrics": metrics})

    assert answer.status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        "page_size=1000000000",
        "page_size=0",
        "page_size=-1",
        "page_size=1e3",
        "page_size=1&page_size=1000",
        "page=Zm9yZ2Vk",
        "page=%00",
        "offset=5",
        "filter=ORDER BY name;drop table models",
        "filter=ORDER BY (select 1)",
        "filter=ORDER BY CASE WHEN",
        "filter=name='x' OR 1=1--",
        "filter=name = ‘x’",  # noqa: RUF001 - the quotes are the point
        "filter=nothing = 'x'",
    ],
)
def test_a_listing_refuses_what_it_does_not_know(local: Served, query: str) -> None:
    answer = local.client().get(f"/models?{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("query", ["token=hb_x", "access_token=x", "a=1&api_key=x"])
def test_a_token_in_the_address_is_refused(guarded: Served, query: str) -> None:
    answer = guarded.client().get(f"/models?{query}")

    assert answer.status_code == 400
    assert "hb_x" not in answer.text


def test_headers_have_a_limit_and_are_not_quoted(local: Served) -> None:
    big = local.client().get("/models", headers={"X-Big": "x" * 65_536})

    assert big.status_code == 431
    assert "xxx" not in big.text


def test_a_number_is_never_given_again(local: Served) -> None:
    client = local.client()
    body = {"model_name": "majora", "version": "1.0.0"}
    assert client.post("/models/register", json=body).status_code == 201

    again = client.post("/models/register", json=body)
    client.delete("/models/majora/versions/1.0.0?reason=wrong")
    after = client.post("/models/register", json=body | {"version": "v1"})
    sealed = client.put(
        "/models/majora/versions/1.0.0/facts", json={"dependencies": ["torch>=2.4"]}
    )

    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    assert (after.status_code, after.json()["code"]) == (409, "already_exists")
    assert sealed.status_code == 410
    assert client.get("/models/majora/versions/1.0.0").json()["code"] == "gone"


def test_a_stale_epoch_is_refused_with_the_present_one(local: Served) -> None:
    client = local.client()
    for _ in range(2):
        client.post("/models/register", json={"model_name": "majora"})
    place = "/models/majora/aliases/champion"
    client.put(place, json={"version": "v1"})
    etag = client.get(place).headers["etag"]
    client.put(place, json={"version": "v2"}, headers={"If-Match": etag})

    stale = client.put(place, json={"version": "v1"}, headers={"If-Match": etag})
    also = client.post(f"{place}/rollback", json={"expected_epoch": 1})

    for answer in (stale, also):
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_epoch")
        assert answer.json()["details"] == {"epoch": 2}
    assert client.get(place).json()["number"] == "v2"
    assert client.put(place, json={"version": "v1"}, headers={"If-Match": "x"}).status_code == 422


def test_every_answer_says_how_it_may_be_used(local: Served) -> None:
    for path in ("/models", "/nothing", "/healthz"):
        headers = local.client().get(path, headers={"X-Request-ID": "r-1"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-request-id"] == "r-1"
    odd = local.client().get("/models", headers={"X-Request-ID": "a b<script>"})
    assert re.fullmatch("[0-9a-f]{16}", odd.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PATCH", "/models", 405), ("GET", "/models/register", 405)],
)
def test_what_is_not_there_is_a_problem_too(
    local: Served, method: str, path: str, status: int
) -> None:
    answer = local.client().request(method, path)

    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert problem.keys() == {
        "type",
        "title",
        "status",
        "code",
        "detail",
        "field",
        "details",
        "request_id",
    }
    assert problem["request_id"] == answer.headers["x-request-id"]
