"""Experiments over HTTP: who may what, and what every route refuses."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.server.conftest import Served

PLAN: dict[str, Any] = {"name": "gnn_test", "model": "gnn", "treatments": ["v2"]}
ARM: dict[str, Any] = {"phase": 1, "arm": "control", "results": 3, "firsts": [5]}
RECORDED = {"experiment": "gnn_test", "arms": [ARM]}
RESULTS: dict[str, Any] = {"worker": "worker-1", "sequence": 1, "recorded": [RECORDED]}


@pytest.fixture
def served(guarded: Served) -> Served:
    """A server with gnn v1 in production and gnn v2 beside it."""
    for number in ("v1", "v2"):
        guarded.book.models.register("gnn", number, git_commit="")
    guarded.book.deployments.promote("gnn:v1")
    return guarded


@pytest.fixture
def client(served: Served) -> TestClient:
    """A client that may deploy, of a server on which gnn v2 is tried."""
    found = served.holding("deployer")
    assert found.post("/experiments", json=PLAN).status_code == 201
    return found


def check_problem(answer: Any, status: int, field: str = "") -> None:
    """Check that an answer tells what was wrong, without internals."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert len(problem["detail"]) > 15
    assert not any(word in answer.text for word in ("Traceback", "SELECT ", ".py"))
    if field:
        assert problem["field"] == field, problem


def test_an_experiment_from_its_start_to_its_end(served: Served) -> None:
    client = served.holding("deployer")
    tried = client.post("/experiments", json=PLAN | {"dry_run": True, "requests_per_day": 10})
    started = client.post("/experiments", json=PLAN | {"ramp": [5, 10.5], "min_requests": 10})

    assert (tried.status_code, tried.json()["id"]) == (200, 0)
    assert started.status_code == 201
    assert client.get("/experiments/gnn_test").json() == started.json()
    assert client.get("/experiments?model=gnn&state=running").json()["items"] == [started.json()]
    assert client.post("/experiments/results", json=RESULTS).json() == {
        "sequence": 1,
        "new": True,
        "late": {},
    }
    assert client.post("/experiments/results", json=RESULTS).json()["new"] is False
    said = {"reason": "incident"}
    assert client.post("/experiments/gnn_test/pause", json=said).json()["reason"] == "incident"
    assert client.post("/experiments/gnn_test/resume").json()["phases"][1]["number"] == 2
    assert client.post("/experiments/gnn_test/widen").json()["phases"][2]["coverage"] == 0.21
    ended = client.post("/experiments/gnn_test/finalize", json={"decision": "promote"}).json()
    assert (ended["state"], ended["outcome"], ended["winner"]) == ("ended", "promoted", "v2")
    assert client.get("/models/gnn").json()["aliases"]["champion"] == "v2"


def test_an_aa_experiment_over_http(served: Served) -> None:
    client = served.holding("deployer")
    plan = {"name": "gnn_aa", "model": "gnn", "aa": True}

    started = client.post("/experiments", json=plan)

    assert (started.status_code, started.json()["plan"]["treatments"]) == (201, ["v1"])
    routed = client.get("/experiments/routing").json()["experiments"][0]
    assert [(arm["name"], arm["number"]) for arm in routed["arms"]] == [
        ("control", "v1"),
        ("control-aa", "v1"),
    ]
    again = {**RECORDED, "experiment": "gnn_aa", "arms": [ARM, ARM | {"arm": "control-aa"}]}
    told = client.post("/experiments/results", json=RESULTS | {"recorded": [again]}).json()
    assert (told["new"], told["late"]) == (True, {})
    judged = client.post("/experiments/gnn_aa/evaluate", json={"language": "de"}).json()
    assert [arm["results"] for arm in judged["arms"]] == [3, 3]
    assert "A/A-Experiment" in judged["recommendation"]
    refused = client.post("/experiments/gnn_aa/finalize", json={"decision": "promote"})
    check_problem(refused, 409, "decision")
    both = {"name": "other", "treatments": ["v2"]}
    check_problem(client.post("/experiments", json=plan | both), 422, "treatments")


def test_a_process_that_holds_the_routing_is_told_nothing_anew(client: TestClient) -> None:
    routing = client.get("/experiments/routing").json()

    again = client.get("/experiments/routing", params={"mark": routing["mark"]}).json()

    assert routing["champions"] == {"gnn": "v1"}
    assert routing["experiments"][0]["arms"][1] == {
        "name": "treatment",
        "number": "v2",
        "share": 0.5,
    }
    assert again == {"mark": routing["mark"], "champions": {}, "experiments": []}


# --- who may what ---


def test_a_viewer_reads_a_contributor_records_a_deployer_decides(
    served: Served, client: TestClient
) -> None:
    viewer, contributor = served.holding("viewer"), served.holding("contributor")

    for reader in (viewer, contributor, client):
        for path in ("", "/gnn_test", "/routing"):
            assert reader.get(f"/experiments{path}").status_code == 200
    check_problem(viewer.post("/experiments/results", json=RESULTS), 403)
    assert contributor.post("/experiments/results", json=RESULTS).json()["new"] is True
    for lesser in (viewer, contributor):
        check_problem(lesser.post("/experiments", json=PLAN | {"name": "other"}), 403)
        for verb in ("pause", "resume", "widen", "finalize"):
            check_problem(lesser.post(f"/experiments/gnn_test/{verb}"), 403)
    assert client.get("/experiments/gnn_test").json()["state"] == "running"


def test_a_stranger_to_the_model_learns_nothing_of_it(served: Served, client: TestClient) -> None:
    served.book.models.register("oracle", "v1", git_commit="")
    stranger = served.holding("deployer:oracle")

    assert stranger.get("/experiments").json()["items"] == []
    assert stranger.get("/experiments/routing").json()["champions"] == {}
    check_problem(stranger.get("/experiments?model=gnn"), 404)
    check_problem(stranger.post("/experiments", json=PLAN), 404)
    for path in ("gnn_test", "none"):
        check_problem(stranger.get(f"/experiments/{path}"), 404)
        for verb in ("pause", "resume", "widen", "finalize"):
            check_problem(stranger.post(f"/experiments/{path}/{verb}"), 404)
    told = stranger.post("/experiments/results", json=RESULTS).json()
    assert told == {"sequence": 1, "new": True, "late": {"gnn_test": 3}}
    assert client.get("/experiments/gnn_test").json()["state"] == "running"


# --- what is refused ---

GUARDRAIL = {"metric": "inference_time_ms", "quantile": 0.95}
BAD_PLANS: list[tuple[dict[str, Any], int, str]] = [
    ({"name": "a b"}, 422, "name"),
    ({"name": "routing"}, 422, "name"),
    ({"name": None}, 422, "name"),
    ({"model": "none"}, 404, ""),
    ({"control": "v2", "treatments": ["v1"]}, 409, "control"),
    ({"treatments": []}, 422, "treatments"),
    ({"treatments": "v2"}, 422, "treatments"),
    ({"treatments": ["v1"]}, 422, "treatments"),
    ({"treatments": ["v9"]}, 404, ""),
    ({"alpha": 2}, 422, "alpha"),
    ({"alpha": "0.05"}, 422, "alpha"),
    ({"alpha": True}, 422, "alpha"),
    ({"min_requests": 10.5}, 422, "min_requests"),
    ({"min_requests": 2**63}, 422, "body"),
    ({"ramp": [5, 1]}, 422, "ramp"),
    ({"targeting": {"country": "de"}}, 422, "targeting.country"),
    ({"targeting": {"country": []}}, 422, "targeting"),
    ({"guardrails": [GUARDRAIL | {"worse": "lower"}]}, 422, "guardrails.worse"),
    ({"guardrails": [GUARDRAIL | {"limit": 3}]}, 422, ""),
    ({"guardrails": [{}]}, 422, ""),
    ({"policy": "guesswork"}, 422, "policy"),
    ({"shadow": 1}, 422, "shadow"),
    ({"salt": "00"}, 422, ""),
]


@pytest.mark.parametrize(("said", "status", "field"), BAD_PLANS, ids=lambda x: str(x)[:40])
def test_a_plan_that_cannot_be_is_a_problem(
    served: Served, said: dict[str, Any], status: int, field: str
) -> None:
    client = served.holding("deployer")

    for dry_run in (True, False):
        answer = client.post("/experiments", json=PLAN | said | {"dry_run": dry_run})
        check_problem(answer, status, field)
    assert client.get("/experiments").json()["items"] == []


BAD_RESULTS: list[dict[str, Any]] = [
    {"worker": ""},
    {"worker": "a\u0000"},
    {"worker": None},
    {"sequence": 0},
    {"sequence": 1.5},
    {"dropped": -1},
    {"recorded": {}},
    {"recorded": [{"experiment": "gnn_test"}]},
    {"recorded": [RECORDED | {"experiment": "a\u0000b"}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"phase": 0}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"results": -1}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"errors": 4}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"firsts": [-1]}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"firsts": ["5"]}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"means": {"t": {"cells": 1}}}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"histograms": {"t": {"1": 0}}}]}]},
    {"recorded": [{"experiment": "gnn_test", "arms": [ARM | {"guessed": 1}]}]},
]  # fmt: skip


@pytest.mark.parametrize("said", BAD_RESULTS, ids=lambda said: str(said)[:70])
def test_results_that_cannot_be_are_a_problem_and_may_be_sent_again_mended(
    client: TestClient, said: dict[str, Any]
) -> None:
    check_problem(client.post("/experiments/results", json=RESULTS | said), 422)

    assert client.post("/experiments/results", json=RESULTS).json()["new"] is True


def test_results_may_be_longer_than_other_bodies_but_not_endless(client: TestClient) -> None:
    firsts = list(range(1_000_000, 1_300_000))
    arm = ARM | {"results": 400_000, "firsts": firsts}
    long = {"worker": "w", "sequence": 1, "recorded": [{"experiment": "gnn_test", "arms": [arm]}]}

    assert client.post("/experiments/results", json=long).json()["new"] is True
    endless = client.post("/experiments/results", content=b"[" + b" " * (17 << 20))
    check_problem(endless, 413)


BAD_REQUESTS: list[tuple[str, str, Any, int]] = [
    ("GET", "/experiments?state=over", None, 422),
    ("GET", "/experiments?model=none", None, 404),
    ("GET", "/experiments?page_size=0", None, 422),
    ("GET", "/experiments?page=x", None, 422),
    ("GET", "/experiments?limit=3", None, 422),
    ("GET", "/experiments/routing?mark=1&mark=2", None, 422),
    ("GET", "/experiments/none", None, 404),
    ("GET", "/experiments/a%20b", None, 404),
    ("GET", "/experiments/%00", None, 422),
    ("GET", "/experiments/results", None, 405),
    ("POST", "/experiments/routing", {}, 405),
    ("POST", "/experiments/gnn_test", {}, 405),
    ("POST", "/experiments/gnn_test/pause", {"why": "x"}, 422),
    ("POST", "/experiments/gnn_test/pause", {"reason": 3}, 422),
    ("POST", "/experiments/gnn_test/resume", None, 409),
    ("POST", "/experiments/gnn_test/resume", {"reason": "x"}, 422),
    ("POST", "/experiments/gnn_test/widen", None, 409),
    ("POST", "/experiments/gnn_test/finalize", {"decision": "win"}, 422),
    ("POST", "/experiments/gnn_test/finalize", {"decision": "promote", "winner": "v1"}, 422),
    ("POST", "/experiments/none/finalize", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), BAD_REQUESTS)
def test_a_request_that_cannot_be_is_a_problem(
    client: TestClient, method: str, path: str, body: Any, status: int
) -> None:
    answer = client.request(method, path, json=body) if body else client.request(method, path)

    check_problem(answer, status)
    assert client.get("/experiments/gnn_test").json()["state"] == "running"


def test_a_repeated_start_with_a_key_is_one_experiment(served: Served) -> None:
    client, key = served.holding("deployer"), {"Idempotency-Key": "start-1"}

    first, again = (client.post("/experiments", json=PLAN, headers=key) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    check_problem(client.post("/experiments", json=PLAN), 409)


def test_what_workers_tell_is_counted_once_for_prometheus(client: TestClient) -> None:
    stray = {"experiment": "nobodys", "arms": [{"phase": 1, "arm": "control", "results": 4}]}
    told = RESULTS | {"recorded": [RECORDED, stray], "dropped": 2}

    for _ in range(2):
        client.post("/experiments/results", json=told)

    text = client.get("/metrics").text
    for outcome, count in (("taken", 3), ("late", 4), ("dropped", 2)):
        line = f'herdbook_experiment_results_total{{outcome="{outcome}"}} {count}.0'
        assert line in text.splitlines()
