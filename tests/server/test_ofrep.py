"""OpenFeature's remote evaluation, as its specification says and as its clients need it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from herdbook.protocols import ofrep
from herdbook.storage.sql.engine import Database
from tests.server.conftest import Served
from tests.server.test_negative import UNREADABLE

FLAGS = "/ofrep/v1/evaluate/flags"
USERS = [f"user{at}" for at in range(60)]


def tried(served: Served, model: str = "gnn", **plan: Any) -> None:
    """Two versions of a model, the first in production, and an experiment that compares them."""
    champion(served, model)
    served.book.models.register(model)
    served.book.experiments.start(f"{model.replace('/', '-')}_test", model, "v2", **plan)


def champion(served: Served, model: str) -> None:
    served.book.models.register(model)
    served.book.deployments.promote(f"{model}:v1")


def context(unit: object = None, **attributes: object) -> dict[str, object]:
    return {"context": ({} if unit is None else {"targetingKey": unit}) | attributes}


def one(served: Served, model: str, unit: object = None, **attributes: object) -> dict[str, Any]:
    answer = served.client().post(f"{FLAGS}/{model}", json=context(unit, **attributes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# --- one flag ---


def test_a_unit_of_an_experiment_gets_an_arms_version_and_is_told_which(local: Served) -> None:
    tried(local)

    found = {user: one(local, "gnn", user) for user in USERS}

    arms = {(each["variant"], each["value"], each["reason"]) for each in found.values()}
    assert arms == {("control", "v1", "SPLIT"), ("treatment", "v2", "SPLIT")}
    assert found["user0"] == one(local, "gnn", "user0")
    assert found["user0"]["key"] == "gnn"
    assert found["user0"]["metadata"] == {"experiment": "gnn_test", "phase": 1, "hash_version": 1}


def test_a_model_without_experiments_gives_its_champion_to_everyone_and_to_nobody(
    local: Served,
) -> None:
    champion(local, "majora")
    expected = {
        "key": "majora",
        "value": "v1",
        "reason": "STATIC",
        "variant": "champion",
        "metadata": {},
    }

    assert one(local, "majora", "user1") == expected
    assert one(local, "majora") == expected


def test_who_is_outside_an_experiment_gets_the_champion(local: Served) -> None:
    tried(local, ramp=[1.0, 50.0])

    found = [one(local, "gnn", user) for user in USERS[:60]]

    outside = [each for each in found if each["variant"] == "champion"]
    assert len(outside) > 50
    assert {(each["value"], each["reason"]) for each in outside} == {("v1", "STATIC")}
    assert all(each["metadata"] == {} for each in outside)


def test_whom_targeting_lets_in_is_told_so(local: Served) -> None:
    tried(local, targeting={"country": ["de"], "age": ["42"], "beta": ["true"]})

    let_in = one(local, "gnn", "user1", country="de", age=42, beta=True, plan={"deep": [1]})
    kept_out = one(local, "gnn", "user1", country="fr", age=42, beta=True)

    assert (let_in["reason"], let_in["metadata"]["experiment"]) == ("TARGETING_MATCH", "gnn_test")
    assert (kept_out["reason"], kept_out["variant"]) == ("STATIC", "champion")


def test_a_paused_experiment_is_a_disabled_flag(local: Served) -> None:
    tried(local)
    local.book.experiments.pause("gnn_test")

    found = one(local, "gnn", "user1")

    assert (found["reason"], found["variant"], found["value"]) == ("DISABLED", "champion", "v1")


def test_everybody_gets_the_control_when_the_champion_was_taken_away(local: Served) -> None:
    tried(local)

    local.book.deployments.remove("gnn", "champion")

    found = one(local, "gnn", "user1")
    assert (found["reason"], found["variant"], found["value"]) == ("DISABLED", "champion", "v1")
    assert every(local, "user1").json()["flags"] == [found]


def test_a_whole_number_is_the_unit_of_its_digits(local: Served) -> None:
    tried(local)

    assert one(local, "gnn", 42) == one(local, "gnn", "42")


def test_the_slashes_of_a_name_may_stand_as_they_are_or_not(local: Served) -> None:
    tried(local, "search/ranker")

    found = one(local, "search/ranker", "user1")

    assert found["key"] == "search/ranker"
    assert found["metadata"]["experiment"] == "search-ranker_test"
    assert one(local, "search%2Franker", "user1") == found


def test_what_changes_shows_at_the_next_evaluation(local: Served) -> None:
    champion(local, "gnn")
    local.book.models.register("gnn")
    assert one(local, "gnn", "user1")["value"] == "v1"

    local.book.deployments.promote("gnn:v2")
    promoted = one(local, "gnn", "user1")
    local.book.deployments.rollback("gnn")
    local.book.experiments.start("gnn_test", "gnn", "v2", treatment_traffic_pct=99.9)
    started = [one(local, "gnn", user)["variant"] for user in USERS[:20]]
    local.book.experiments.finalize("gnn_test", decision="promote")
    ended = one(local, "gnn", "user1")

    assert (promoted["value"], promoted["variant"]) == ("v2", "champion")
    assert "treatment" in started
    assert (ended["value"], ended["reason"], ended["variant"]) == ("v2", "STATIC", "champion")


# --- all flags ---


def every(served: Served, unit: object = None, token: str = "", **headers: str) -> Any:
    return served.client(token).post(FLAGS, json=context(unit), headers=headers)


def test_all_flags_are_what_each_of_them_is(local: Served) -> None:
    tried(local)
    tried(local, "search/ranker")
    champion(local, "majora")
    local.book.models.register("oracle")

    found = every(local, "user7").json()

    names = ["gnn", "majora", "search/ranker"]
    assert found == {"flags": [one(local, name, "user7") for name in names]}


def test_without_a_key_only_what_needs_one_has_no_value(local: Served) -> None:
    tried(local)
    champion(local, "majora")

    tried_flag, plain = every(local).json()["flags"]

    assert tried_flag["key"] == "gnn"
    assert tried_flag["errorCode"] == "TARGETING_KEY_MISSING"
    assert "targetingKey" in tried_flag["errorDetails"]
    assert plain == one(local, "majora")


def test_what_is_held_is_answered_without_a_body_until_it_changes_for_the_unit(
    local: Served,
) -> None:
    tried(local)
    first = every(local, "user1")
    etag = first.headers["etag"]

    again = every(local, "user1", **{"If-None-Match": etag})
    local.book.models.register("oracle")  # which has no champion, so it is no flag
    unmoved = every(local, "user1", **{"If-None-Match": etag})
    local.book.experiments.pause("gnn_test")
    changed = every(local, "user1", **{"If-None-Match": etag})

    assert [a.status_code for a in (first, again, unmoved, changed)] == [200, 304, 304, 200]
    assert (again.content, again.headers["etag"]) == (b"", etag)
    assert changed.headers["etag"] != etag
    assert first.headers["cache-control"] == "private, no-cache"


def test_the_etag_of_one_unit_does_not_stand_for_what_another_gets(local: Served) -> None:
    tried(local)
    etags = {
        one(local, "gnn", user)["variant"]: every(local, user).headers["etag"] for user in USERS
    }

    assert etags["control"] != etags["treatment"]


def test_what_clients_ask_beside_the_context_is_passed_over(local: Served) -> None:
    champion(local, "majora")

    query = "?flagConfigEtag=abc&flagConfigLastModified=1771622898"
    answer = local.client().post(FLAGS + query, json={"context": {}, "later": 1})

    assert (answer.status_code, len(answer.json()["flags"])) == (200, 1)


def test_more_flags_than_the_limit_are_left_out_and_said_to_be(
    local: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ofrep, "BULK_LIMIT", 3)
    for model in ("a", "b", "c", "d"):
        champion(local, model)
    tried(local, "z")

    found = every(local, "user1").json()

    assert [each["key"] for each in found["flags"]] == ["a", "b", "z"]
    assert found["metadata"] == {"left_out": True}


# --- who may see what ---


def test_a_model_one_may_not_see_is_no_flag(guarded: Served) -> None:
    tried(guarded)
    tried(guarded, "search/ranker")
    client = guarded.holding("viewer:search/*")

    hidden = client.post(f"{FLAGS}/gnn", json=context("user1"))
    nobody = client.post(f"{FLAGS}/nobody", json=context("user1"))
    seen = client.post(FLAGS, json=context("user1")).json()["flags"]

    assert hidden.status_code == 404
    assert hidden.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert hidden.text.replace("gnn", "nobody") == nobody.text
    assert [each["key"] for each in seen] == ["search/ranker"]
    everything = guarded.holding("viewer").post(FLAGS, json=context("user1")).json()["flags"]
    assert [each["key"] for each in everything] == ["gnn", "search/ranker"]


def test_who_has_no_token_that_counts_is_told_so_in_the_protocols_words(guarded: Served) -> None:
    for token in ("", "hb_wrong"):
        for address in (FLAGS, f"{FLAGS}/gnn"):
            answer = guarded.client(token).post(address, json=context("user1"))

            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["errorCode"] == "GENERAL"
            assert answer.json().get("key", FLAGS) == address.removeprefix(f"{FLAGS}/")


def test_too_many_wrong_tokens_are_told_when_to_come_again(guarded: Served) -> None:
    client = guarded.client("hb_wrong")

    answers = [client.post(FLAGS, json={}) for _ in range(30)]

    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    assert answers[-1].json()["errorCode"] == "GENERAL"


# --- what is wrong with a request ---


WRONG = [
    *((body, "PARSE_ERROR") for body in UNREADABLE.values()),
    (b'{"context": {"targetingKey": "a", "targetingKey": "b"}}', "PARSE_ERROR"),
    (b'{"context": []}', "INVALID_CONTEXT"),
    (b'{"context": null}', "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": 1.5}}', "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": true}}', "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": ["user1"]}}', "INVALID_CONTEXT"),
]


def test_what_cannot_be_read_is_named_as_the_specification_does(local: Served) -> None:
    tried(local)
    client = local.client()

    for address in (FLAGS, f"{FLAGS}/gnn"):
        for body, code in WRONG:
            answer = client.post(
                address, content=body, headers={"Content-Type": "application/json"}
            )

            said = answer.json()
            assert (answer.status_code, said["errorCode"]) == (400, code), (address, body)
            assert said["errorDetails"]
            assert said.get("key", FLAGS) == address.removeprefix(f"{FLAGS}/")
    typed = client.post(FLAGS, content=b"{}", headers={"Content-Type": "text/plain"})
    assert (typed.status_code, typed.json()["errorCode"]) == (400, "PARSE_ERROR")
    asked = client.post(FLAGS + "?user=1", json={})
    assert (asked.status_code, asked.json()["errorCode"]) == (400, "PARSE_ERROR")


def test_an_experiment_needs_a_key_and_a_request_needs_no_context(local: Served) -> None:
    tried(local)
    client = local.client()

    for body in ("", "{}", '{"context": {}}', '{"context": {"targetingKey": ""}}'):
        headers = {"Content-Type": "application/json"}
        answer = client.post(f"{FLAGS}/gnn", content=body, headers=headers)

        assert answer.status_code == 400
        assert answer.json()["errorCode"] == "TARGETING_KEY_MISSING"
        assert "gnn has an experiment" in answer.json()["errorDetails"]


def test_a_name_nobody_has_is_no_flag(local: Served) -> None:
    for name in ("nobody", "info", "versions", "a b", "*", "x" * 3000, "a/", ""):
        answer = local.client().post(f"{FLAGS}/{name}", json=context("user1"))

        assert (answer.status_code, answer.json()["errorCode"]) == (404, "FLAG_NOT_FOUND"), name
        assert len(answer.json()["errorDetails"]) < 300


def test_a_model_without_a_champion_is_no_flag(local: Served) -> None:
    local.book.models.register("oracle")

    answer = local.client().post(f"{FLAGS}/oracle", json=context("user1"))

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


# --- what it costs ---


@contextmanager
def asked(database: Database) -> Iterator[list[str]]:
    """What SQLite is asked meanwhile, by whoever serves."""
    said: list[str] = []
    assert database._reader is not None
    driver: Any = database._reader.connection.driver_connection
    driver.set_trace_callback(said.append)
    yield said
    driver.set_trace_callback(None)


def test_an_evaluation_asks_the_database_one_thing(local: Served, database: Database) -> None:
    tried(local)
    champion(local, "majora")
    client = local.client()
    for address in (FLAGS, f"{FLAGS}/gnn", f"{FLAGS}/majora"):
        client.post(address, json=context("user1"))

    with asked(database) as said:
        for address in (FLAGS, f"{FLAGS}/gnn", f"{FLAGS}/majora"):
            client.post(address, json=context("user2"))

    selects = [each for each in said if each.startswith("SELECT")]
    assert len(selects) == 3
    assert all("chain" in each for each in selects), selects


# --- what the page says ---


def test_the_page_shows_true_answers(local: Served) -> None:
    with open("docs/openfeature.md", encoding="utf-8") as page:  # noqa: PTH123 - read once
        fences = [part.partition("```")[0] for part in page.read().split("```json\n")[1:]]
    request, in_experiment, bulk = map(json.loads, fences)
    tried(local)
    champion(local, "majora")

    unit = request["context"]["targetingKey"]
    found = one(local, "gnn", unit)
    every_flag = every(local, unit).json()

    # Which of the two arms it is depends on the experiment's own salt.
    random = {"value", "variant"}
    assert found.keys() == in_experiment.keys()
    assert {k: v for k, v in found.items() if k not in random} == {
        k: v for k, v in in_experiment.items() if k not in random
    }
    assert [each["key"] for each in bulk["flags"]] == ["gnn", "majora"]
    assert bulk["flags"][1] == every_flag["flags"][1]
