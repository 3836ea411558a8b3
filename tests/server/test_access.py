"""Who may do what over HTTP: every route, every role."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from herdbook.core.access import Action, Role
from herdbook.server.routing import Bare, Guarded, Open
from tests.server.conftest import Served

PUBLIC = {"/healthz", "/readyz", "/openapi.json"}
ROLES = list(Role)


def _routes(served: Served) -> list[tuple[str, str, Any]]:
    found = []
    for route in served.app.routes:
        assert isinstance(route, Guarded | Bare), f"{route} is no route of ours"
        found += [(method, route.path_format, route.policy) for method in route.methods or ()]
    return found


def _address(path: str) -> str:
    given = {"model": "majora", "version": "v1", "alias": "champion", "id": "1", "ref": "majora"}
    for name, value in given.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def _ask(client: TestClient, method: str, path: str) -> int:
    sent: dict[str, Any] = {}
    if method in {"POST", "PUT", "PATCH"} and path != "/import":
        sent["json"] = {"no such field": 1}
    # Only an admin may read the events of all models, a viewer those of one.
    query = "?model=majora" if path == "/events" else ""
    return int(client.request(method, _address(path) + query, **sent).status_code)


def test_every_route_has_a_policy(guarded: Served) -> None:
    for method, path, policy in _routes(guarded):
        assert isinstance(policy, Action | Open), f"{method} {path} has no policy"
        assert (policy is Open.TO_ANYONE) == (path in PUBLIC), f"{method} {path}"


def test_without_a_token_only_the_public_routes_answer(guarded: Served) -> None:
    client = guarded.client()

    for method, path, policy in _routes(guarded):
        expected = 200 if policy is Open.TO_ANYONE else 401
        assert _ask(client, method, path) == expected, f"{method} {path}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_exactly_the_routes_of_its_rank(guarded: Served, role: Role) -> None:
    guarded.book.models.register("majora")
    client = guarded.holding(str(role))

    for method, path, policy in _routes(guarded):
        refused = isinstance(policy, Action) and policy > ROLES.index(role)
        assert (_ask(client, method, path) == 403) is refused, f"{method} {path}"


@pytest.mark.parametrize("role", ROLES)
def test_a_stranger_to_a_model_does_not_learn_that_it_is_there(guarded: Served, role: Role) -> None:
    guarded.book.models.register("majora", metrics={"accuracy": 0.9}, training_data=["oracle"])
    guarded.book.deployments.promote("majora:v1")
    client = guarded.holding(f"{role}:search/*")

    for method, path, policy in _routes(guarded):
        if policy is Open.TO_ANYONE:
            continue
        answer = client.request(method, _address(path))
        told = answer.text.replace("there is no model 'majora'", "")
        assert answer.status_code in {200, 403, 404, 415, 422, 501}, f"{method} {path}"
        assert "majora" not in told.replace("`herdbook list`", ""), f"{method} {path}: {told}"
        assert "oracle" not in told, f"{method} {path}"


def test_collections_count_nothing_that_is_hidden(guarded: Served) -> None:
    guarded.book.models.register("majora", training_data=["oracle"], cost_usd=7.5)
    guarded.book.deployments.promote("majora:v1")
    client = guarded.holding("viewer:search/*")

    for path in ("/models", "/versions", "/deployments", "/datasets", "/models/info"):
        assert client.get(path).json()["items"] == [], path
    totals = client.get("/summary").json()["totals"]
    assert (totals["models"], totals["versions"], totals["cost_usd"]) == (0, 0, 0.0)


def test_a_contributor_may_not_promote(guarded: Served) -> None:
    guarded.book.models.register("majora")
    client = guarded.holding("contributor")

    answers = [
        client.put("/models/majora/aliases/champion", json={"version": "v1"}),
        client.post("/models/majora/versions/v1/set-current"),
        client.post("/models/majora/versions/v1/status", json={"status": "production"}),
        client.post("/models/register", json={"model_name": "gnn", "status": "production"}),
    ]

    assert [a.status_code for a in answers] == [403] * 4
    assert [a.json()["code"] for a in answers] == ["forbidden"] * 4
    assert guarded.book.deployments.at().items == ()


def test_a_token_for_one_model_is_lost_on_another(guarded: Served) -> None:
    guarded.book.models.register("majora")
    guarded.book.models.register("gnn")
    client = guarded.holding("viewer:gnn")

    assert client.get("/models/gnn").status_code == 200
    assert client.get("/models/majora").status_code == 404
    assert client.post("/models/gnn/versions/v1/metrics", json={}).status_code == 403


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Bearer null", "Bearer undefined", "Basic YWRtaW46YWRtaW4="],
)
def test_what_is_no_token_does_not_count(guarded: Served, given: str) -> None:
    headers = {"Authorization": given} if given else {}

    answer = guarded.client().get("/models", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_expired_and_revoked_tokens_do_not_count(
    guarded: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = guarded.book.tokens.create("tester", roles=["viewer"])
    client = guarded.client(made.secret)
    assert client.get("/models").status_code == 200

    guarded.book.tokens.revoke(made.token.id)
    gate = guarded.app.state.gate
    later = gate._timer() + 1.0
    monkeypatch.setattr(gate, "_timer", lambda: later)

    assert client.get("/models").status_code == 401


def test_many_wrong_tokens_are_throttled_and_a_right_one_still_counts(guarded: Served) -> None:
    token = guarded.token("viewer")

    answers = [guarded.client("hb_" + "x" * 57).get("/models") for _ in range(25)]

    assert [a.status_code for a in answers[:20]] == [401] * 20
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert guarded.client(token).get("/models").status_code == 200


def test_a_fresh_register_has_no_token_that_works(guarded: Served) -> None:
    for word in ("admin", "hb_admin", "hb_" + "0" * 57, "password1234"):
        assert guarded.client(word).get("/models").status_code == 401


def test_metrics_need_a_viewer_of_everything(guarded: Served) -> None:
    guarded.book.models.register("majora")

    assert guarded.holding("viewer:search/*").get("/metrics").status_code == 403
    told = guarded.holding("viewer").get("/metrics")
    assert told.status_code == 200
    assert "herdbook_events_head" in told.text
    assert "majora" not in told.text


def test_the_use_of_a_token_is_noted(guarded: Served) -> None:
    client = guarded.holding("viewer")

    client.get("/models")

    assert guarded.book.tokens.list().items[0].last_used_at is not None


def test_what_one_is_shown_of_a_version_is_never_given_to_another(guarded: Served) -> None:
    guarded.book.models.register("majora", "v1")
    guarded.book.models.register("gnn", "v1", parent="majora:v1")
    whole, less = guarded.holding("viewer"), guarded.holding("viewer:gnn")
    route = "/models/gnn/versions/v1"

    for _ in range(2):
        assert less.get(route).json()["facts"]["parents"] == []
        assert whole.get(route).json()["facts"]["parents"][0]["model"] == "majora"
    assert less.get(route).headers["etag"] != whole.get(route).headers["etag"]
