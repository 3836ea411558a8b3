"""The dashboard and the rules, held to a real Prometheus that scrapes a real server."""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from herdbook.bootstrap import prepare
from herdbook.client.remote import RemoteDoor
from herdbook.core.drift import Watched as DriftWatched
from herdbook.core.evaluations import Observation, Operational
from herdbook.core.recording import Delta, Folded
from herdbook.protocols.grafana import COLUMNS, dashboard_text
from herdbook.protocols.prometheus_rules import Alert, Group, Recorded, rules, rules_text
from herdbook.services import access
from herdbook.services.alerts import GROUPS, HEADING
from herdbook.services.dashboards import DASHBOARD
from herdbook.services.episodes import hour_of
from herdbook.storage.sql.engine import Database
from tests import observed
from tests.prometheus import Prometheus, promtool, scraping, wait_for
from tests.registers import Clock, Register
from tests.running import served

SHIPPED = Path(__file__).parents[2] / "examples" / "observability"
TESTS = ("herdbook-rules-test.yml", "herdbook-rules-days-test.yml")
# What Grafana puts in.
VARIABLES = {"$__rate_interval": "1m", "$job": ".*", "$model": ".*", "$version": ".*"}
WORDS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?=\{|\[)|\b(?:model_drift|herdbook)_\w+")
RULES = [rule for group in GROUPS for rule in group.rules]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard, without the headings."""
    found: list[dict[str, Any]] = json.loads(dashboard_text(DASHBOARD))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """What the dashboard asks, as Grafana would ask it: by panel and letter."""
    found = {}
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            assert "$" not in expr, expr
            found[f"{panel['title']} {target['refId']}"] = expr
    return found


# --- the files ---


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("herdbook-dashboard.json", dashboard_text(DASHBOARD)),
        ("herdbook-rules.yml", rules_text(GROUPS, heading=HEADING)),
    ],
)
def test_the_files_that_are_shipped_are_what_the_commands_write(name: str, text: str) -> None:
    assert (SHIPPED / name).read_text(encoding="utf-8") == text


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    checked = promtool("check", "rules", "herdbook-rules.yml", within=SHIPPED)
    configured = promtool("check", "config", "prometheus.yml", within=SHIPPED)

    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout
    assert configured.returncode == 0, configured.stderr


def test_the_rules_as_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps(rules(GROUPS)))

    checked = promtool("check", "rules", "rules.yml", within=tmp_path)

    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


@pytest.mark.parametrize("name", TESTS)
def test_the_rules_do_what_the_shipped_test_files_say(name: str) -> None:
    done = promtool("test", "rules", name, within=SHIPPED)

    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_that_never_find_anything_fail_the_shipped_test_files(tmp_path: Path) -> None:
    silent = [
        Group(
            group.name,
            tuple(replace(rule, expr=f"({rule.expr}) and vector(0) == 1") for rule in group.rules),
        )
        for group in GROUPS
    ]
    (tmp_path / "herdbook-rules.yml").write_text(rules_text(silent))
    for name in TESTS:
        (tmp_path / name).write_text((SHIPPED / name).read_text(encoding="utf-8"))

    said = ""
    for name in TESTS:
        done = promtool("test", "rules", name, within=tmp_path)
        said += done.stdout + done.stderr

    # Each of them is held to something by a test of its own.
    assert [rule.name for rule in RULES if rule.name not in said] == []


def test_the_commands_that_alerts_speak_of_are_there() -> None:
    page = (SHIPPED.parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    alerts = [rule for rule in RULES if isinstance(rule, Alert)]

    named = {word for rule in alerts for word in re.findall("`([^`]+)`", rule.description)}

    assert len(named) >= 5
    assert [word for word in named if f"#### `{word}" not in page] == []


# --- the dashboard ---


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    asked = [Recorded(f"panel:{at}", expr) for at, expr in enumerate(queries().values())]
    (tmp_path / "rules.yml").write_text(rules_text([Group("panels", tuple(asked))]))

    checked = promtool("check", "rules", "rules.yml", within=tmp_path)

    assert checked.returncode == 0, checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    every = json.loads(dashboard_text(DASHBOARD))["panels"]
    taken: dict[tuple[int, int], str] = {}

    for panel in every:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]

    ids = [panel["id"] for panel in every]
    assert len(set(ids)) == len(ids)
    # Nothing floats: each row of the grid that is reached has something in it.
    assert {y for _, y in taken} == set(range(max(y for _, y in taken) + 1))


def test_every_panel_asks_the_prometheus_that_was_chosen_and_has_a_unit() -> None:
    told = json.loads(dashboard_text(DASHBOARD))

    variables = {each["name"]: each for each in told["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert list(variables) == ["datasource", "job", "model", "version"]
    for panel in panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


# --- live ---


@dataclass(frozen=True)
class Watched:
    """A server with a busy register, and the Prometheus that scrapes it."""

    server: str
    prometheus: Prometheus
    token: str

    def http(self, method: str, path: str) -> str:
        """Ask the server."""
        asked = urllib.request.Request(f"{self.server}{path}", method=method)  # noqa: S310
        asked.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - on this machine
            return str(answer.read().decode())


def at_once() -> list[Group]:
    """The rules, with alerts raised after a second."""
    return [
        Group(
            group.name,
            tuple(
                replace(rule, lasts="1s") if isinstance(rule, Alert) else rule
                for rule in group.rules
            ),
        )
        for group in GROUPS
    ]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server that asks for tokens, scraped with one that may only read."""
    folder = tmp_path_factory.mktemp("watched")
    url = f"sqlite:///{folder}/herdbook.db"
    database = Database(url)
    register = Register(database, clock=Clock(datetime.now(UTC)))
    prepare(database)
    observed.busy(register)
    reader = register.write(access.create, "prometheus", roles=["viewer"]).secret
    admin = register.write(access.create, "admin", roles=["admin"]).secret
    database.close()
    with (
        served(url, "--auth", HERDBOOK_HOME=str(folder)) as address,
        scraping(folder, [address], rules=rules_text(at_once()), token=reader) as prometheus,
    ):
        yield Watched(address, prometheus, admin)


def test_a_real_prometheus_sees_the_alert(watched: Watched) -> None:
    found = wait_for(lambda: watched.prometheus.alerts().get("ModelDriftCritical"))

    known = {"model_type": "gnn", "model_version": "v2.1.0"}
    assert found == [
        {"alertname": "ModelDriftCritical", "severity": "critical", "job": "herdbook", **known}
    ]
    (score,) = watched.prometheus.series('model_drift_score{model_type="gnn"}')
    assert score[1] == 1.0
    assert score[0] | known == score[0]
    names = wait_for(
        lambda: watched.prometheus.alerts().keys() & {"ModelDriftAlarm", "ModelDriftHigh"}
    )
    assert names == {"ModelDriftAlarm", "ModelDriftHigh"}
    assert "HerdbookDown" not in watched.prometheus.alerts()


def test_every_metric_that_is_asked_for_is_in_a_live_scrape(watched: Watched) -> None:
    text = watched.http("GET", "/metrics")
    shown = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines()}

    asked = {*queries().values(), *(rule.expr for rule in RULES)}
    asked |= {choice.query for choice in DASHBOARD.choices}
    names = {name for expr in asked for name in WORDS.findall(expr)}
    assert len(names) > 20
    assert names - shown - {"up"} == set()


def test_what_is_shown_is_as_prometheus_wants_it(watched: Watched) -> None:
    checked = promtool("check", "metrics", given=watched.http("GET", "/metrics"))

    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_every_panel_is_answered_by_a_live_prometheus(watched: Watched) -> None:
    door = RemoteDoor(watched.server, token=watched.token)
    known = door.call(DriftWatched, "drift.references", ref="majora:v1")
    sequence = iter(range(1, 1_000))

    def unanswered() -> list[str]:
        # What is asked for is how counts grow, so something must happen meanwhile.
        told = observed.sampled(
            known, [0.1] * 10, sure=[0.8] * 10, missing=1, hour=hour_of(datetime.now(UTC))
        )
        delta = Delta(worker="w", sequence=next(sequence), recorded=(), sampled=(told,))
        door.call(Folded, "experiments.fold", delta=delta)
        seen = [Observation(inference_time_ms=100.0, confidence=0.5)]
        door.call(Operational, "evaluations.observe", ref="majora:v1", observations=seen)
        answers = {name: watched.prometheus.series(expr) for name, expr in queries().items()}
        return [name for name, found in answers.items() if not found]

    with closing(door):
        wait_for(lambda: not unanswered())


def test_a_version_that_is_deleted_is_gone_from_the_next_scrape_and_its_alert_ends(
    watched: Watched,
) -> None:
    wait_for(lambda: "ModelDriftCritical" in watched.prometheus.alerts())

    watched.http("DELETE", "/models/gnn/versions/v2.1.0")

    wait_for(lambda: not watched.prometheus.series('model_drift_score{model_type="gnn"}'))
    wait_for(lambda: "ModelDriftCritical" not in watched.prometheus.alerts())
    assert watched.prometheus.series('model_drift_score{model_type="majora"}')
