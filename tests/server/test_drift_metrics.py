"""What Prometheus is shown of a register: drift, episodes, champions, averages."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.testclient import TestClient

from herdbook.core.drift import Components, Level, State, StreamState
from herdbook.core.drift import Settings as DriftSettings
from herdbook.core.evaluations import Observation
from herdbook.core.models import Status
from herdbook.core.monitors import Monitor
from herdbook.errors import Forbidden
from herdbook.server.families import families
from herdbook.services import deployments, drift, evaluations, models, observing, versions
from herdbook.services.observing import STREAMS_LIMIT, VERSIONS_LIMIT, Happened, Observed
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests import observed
from tests.observed import Shown, of, read
from tests.registers import Register
from tests.server.conftest import Served, serving

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


@pytest.fixture
def register(database: Database) -> Register:
    """The register that is served."""
    return Register(database)


@pytest.fixture
def asking(local: Served) -> Iterator[TestClient]:
    """A client of a server that has begun, and looks anew at each request."""
    local.app.state.observer._timer = _Ahead()
    with local.client() as client:
        yield client


class _Ahead:
    """A clock by which a minute passes between two looks at it."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 60
        return self._now


def told(client: TestClient) -> Shown:
    """What is shown now."""
    return read(text_string_to_metric_families(client.get("/metrics").text))


def monitor(number: str = "v1", *, streams: tuple[str, ...] = (), **said: object) -> Monitor:
    """A watched version."""
    state = State(**said)  # type: ignore[arg-type]
    return Monitor(
        id=1, model="gnn", number=number, fingerprint="0" * 32, frozen_at=NOON,
        streams=streams, state=state,
    )  # fmt: skip


def shown(*monitors: Monitor, counts: dict[Happened, int] | None = None) -> Shown:
    """What is shown of watched versions."""
    watching = [observing.watching_of(each, DriftSettings()) for each in monitors]
    return read(families(Observed(watching=watching), counts or {}, models=True))


# --- one version ---


def test_a_version_that_drifted_is_shown_as_the_seed_names_it(
    register: Register, asking: TestClient
) -> None:
    observed.drifted(register, "gnn:v2.1.0")

    found = told(asking)

    assert found["model_drift_score"] == {of("v2.1.0"): 1.0}
    assert found["model_drift_level"] == {of("v2.1.0"): 3}
    assert found["model_drift_alarm"] == {of("v2.1.0"): 1}
    assert found["model_drift_evidence_ratio"][of("v2.1.0")] > 1
    assert found["model_drift_component"] == {
        of("v2.1.0", component=name): 1.0 for name in ("statistical", "performance", "distribution")
    }
    assert found["model_drift_samples_total"] == {
        of("v2.1.0", stream="prediction"): 500,
        of("v2.1.0", stream="confidence"): 500,
    }
    assert found["model_drift_missing_total"][of("v2.1.0", stream="prediction")] == 50
    assert found["model_drift_late_total"] == {of("v2.1.0"): 0}
    seen = found["model_drift_last_check_timestamp_seconds"][of("v2.1.0")]
    assert 0 <= register.clock.at.timestamp() - seen < 60


def test_a_score_that_is_not_known_is_left_out_and_is_never_nan(
    register: Register, asking: TestClient
) -> None:
    observed.watch(register, "gnn:v1")

    fresh = told(asking)
    observed.sample(register, "gnn:v1", observed.values(5))
    little = told(asking)

    for found in (fresh, little):
        assert "model_drift_score" not in found
        assert "model_drift_component" not in found
        assert found["model_drift_level"] == {of("v1"): 0}
        assert not any(math.isnan(value) for kind in found.values() for value in kind.values())
    # What was never counted is 0, so that the first batch is an increase.
    assert fresh["model_drift_samples_total"][of("v1", stream="prediction")] == 0
    assert little["model_drift_samples_total"][of("v1", stream="prediction")] == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_shown(value: float) -> None:
    found = shown(
        monitor(
            score=value,
            components=Components(statistical=value, performance=0.5, distribution=0),
            streams=("prediction",),
            level=Level.WATCH,
        )
    )

    assert "model_drift_score" not in found
    assert of("v1", component="statistical") not in found["model_drift_component"]
    assert found["model_drift_component"][of("v1", component="performance")] == 0.5


def test_evidence_that_is_no_number_is_not_shown() -> None:
    state = {"prediction": StreamState(values=9, logs=(math.inf,))}

    watching = observing.watching_of(
        Monitor(
            id=1, model="gnn", number="v1", fingerprint="", frozen_at=NOON,
            streams=("prediction",), state=State(streams=state),
        ),
        DriftSettings(),
    )  # fmt: skip

    assert watching.evidence is None


def test_the_levels_are_0_to_3() -> None:
    found = shown(*(monitor(f"v{at}", level=level) for at, level in enumerate(Level)))

    assert found["model_drift_level"] == {of(f"v{at}"): at for at in range(4)}


def test_names_that_would_break_a_line_are_escaped() -> None:
    broken = 'a"b\\c\nd'
    registry = CollectorRegistry()
    registry.register(_Given(Observed(champions={broken: "v1", "deepset/gbert-base": "v2"})))

    text = generate_latest(registry).decode()

    assert read(text_string_to_metric_families(text))["herdbook_champion_info"] == {
        of("v1", broken): 1,
        of("v2", "deepset/gbert-base"): 1,
    }


class _Given(Collector):
    """Shows what it is given."""

    def __init__(self, given: Observed) -> None:
        self._given = given

    def collect(self) -> Iterator[Metric]:
        return families(self._given, {}, models=True)


# --- versions come and go ---


def test_versions_that_are_gone_are_not_in_the_next_scrape(
    register: Register, asking: TestClient
) -> None:
    for at in range(1, 5):
        observed.steady(register, f"gnn:v{at}")
    observed.steady(register, "majora:v1")
    before = told(asking)

    register.write(versions.delete, "gnn:v1")
    register.write(versions.set_status, "gnn:v2", status=Status.ARCHIVED)
    register.write(drift.unwatch, "gnn:v3")
    register.write(models.delete, "majora")
    after = told(asking)

    assert len(before["model_drift_score"]) == 5
    for name, found in after.items():
        if name.startswith("model_drift"):
            assert {dict(labels)["model_version"] for labels in found} == {"v4"}, name
    assert "majora" not in str(after)


def test_a_version_that_comes_back_is_shown_again(register: Register, asking: TestClient) -> None:
    observed.steady(register, "gnn:v1")
    register.write(versions.delete, "gnn:v1")
    gone = told(asking)

    register.write(versions.restore, "gnn:v1")

    assert "model_drift_score" not in gone
    assert of("v1") in told(asking)["model_drift_score"]


# --- bounded ---


def test_labels_are_bounded_and_what_is_left_out_is_counted(
    register: Register, asking: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "VERSIONS_LIMIT", 3)
    for at in range(1, 6):
        observed.watch(register, f"gnn:v{at}", streams=[f"feature_{n:02}" for n in range(at * 3)])
    for at in range(2, 6):
        register.write(evaluations.observe, f"gnn:v{at}", observations=[Observation()])

    found = told(asking)

    def left_out(what: str) -> float:
        return found["herdbook_metrics_left_out"][frozenset({("what", what)})]

    assert set(found["model_drift_level"]) == {of("v5"), of("v4"), of("v3")}
    assert set(found["herdbook_served_total"]) == {of("v5"), of("v4"), of("v3")}
    assert left_out("versions") == 2
    assert left_out("served") == 1
    assert left_out("champions") == 0
    assert left_out("streams") == (9 + 2 - 10) + (12 + 2 - 10) + (15 + 2 - 10)


def test_streams_are_bounded_the_predictions_first() -> None:
    names = tuple(f"feature_{at:02}" for at in range(40))

    watching = observing.watching_of(
        monitor(streams=(*names, "prediction", "confidence")), DriftSettings()
    )

    assert watching.streams[:3] == ("prediction", "confidence", "feature_00")
    assert len(watching.streams) == STREAMS_LIMIT


def test_the_most_there_can_be_is_some_ten_thousand_lines() -> None:
    names = tuple(f"feature_{at:02}" for at in range(200))
    every = [
        monitor(f"v{at}", streams=names, score=0.2, components=Components(
            statistical=0, performance=0, distribution=0))
        for at in range(VERSIONS_LIMIT)
    ]  # fmt: skip

    lines = sum(len(found) for found in shown(*every).values())

    assert lines < 10_000


# --- what happened ---


def test_what_happens_is_counted_from_the_servers_start(register: Register, local: Served) -> None:
    observed.drifted(register, "gnn:v1")
    register.add("majora:v1")
    register.write(deployments.promote, "majora:v1")
    local.app.state.observer._timer = _Ahead()

    with local.client() as client:
        before = told(client)
        observed.drifted(register, "gnn:v2")
        register.add("majora:v2")
        register.write(deployments.promote, "majora:v2")
        register.write(deployments.rollback, "majora")
        after, again = told(client), told(client)

    def moves(found: Shown) -> dict[str, float]:
        return {
            dict(labels)["kind"]: value
            for labels, value in found["herdbook_deployments_total"].items()
        }

    assert moves(before) == {"promote": 0, "rollback": 0, "switch": 0, "remove": 0}
    assert moves(after) == moves(again) == {"promote": 1, "rollback": 1, "switch": 0, "remove": 0}
    assert after["model_drift_episodes_total"] == {of("v1"): 0, of("v2"): 1}
    assert after["model_drift_retrainings_total"] == {of("v1"): 0, of("v2"): 1}
    assert after["herdbook_champion_info"] == {of("v1", "majora"): 1}


def test_experiments_that_end_are_counted_by_their_outcome(
    register: Register, asking: TestClient
) -> None:
    told(asking)

    observed.busy(register)

    ended = told(asking)["herdbook_experiments_ended_total"]
    assert {dict(labels)["outcome"]: value for labels, value in ended.items()} == {
        "rolled_back": 1, "promoted": 0, "stopped": 0,
    }  # fmt: skip


def test_a_flood_of_events_is_counted_in_the_end(
    register: Register, asking: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "_EVENTS_AT_ONCE", 2)
    for at in range(1, 4):
        register.add(f"majora:v{at}")
    for at in (1, 2, 3, 1, 2):
        register.write(deployments.promote, f"majora:v{at}", alias="blue")

    seen = [
        told(asking)["herdbook_deployments_total"][frozenset({("kind", "promote")})]
        for _ in range(4)
    ]

    assert seen == [2, 4, 5, 5]


def test_averages_are_shown_as_sums_so_that_any_window_can_be_asked_of(
    register: Register, asking: TestClient
) -> None:
    register.add("gnn:v1")
    seen = [Observation(inference_time_ms=100, confidence=0.5), Observation(error=True)]
    register.write(evaluations.observe, "gnn:v1", observations=seen)

    found = told(asking)

    assert found["herdbook_served_total"] == {of("v1"): 2}
    assert found["herdbook_served_errors_total"] == {of("v1"): 1}
    assert found["herdbook_served_seconds_sum"] == {of("v1"): 0.1}
    assert found["herdbook_served_seconds_count"] == {of("v1"): 1}
    assert found["herdbook_served_confidence_sum"] == {of("v1"): 0.5}


# --- who may see it ---


def test_models_are_named_only_where_the_setting_says_so(
    database: Database, register: Register, tmp_path: Path
) -> None:
    quiet = Settings(home=tmp_path, metrics_models=False)
    observed.busy(register)

    found: Shown = {}
    for server in serving(database, quiet, auth=False):
        found = told(server.client())

    names = str([name for name in found if name.startswith(("model_", "herdbook_served"))])
    assert names == "[]"
    assert not any(word in str(found) for word in ("gnn", "majora_test", "v2.1.0"))
    assert found["herdbook_deployments_total"]
    assert found["herdbook_events_head"] == {frozenset(): register.read(observing.head)}


def test_who_may_not_see_every_model_is_shown_none(guarded: Served, register: Register) -> None:
    observed.drifted(register, "gnn:v1")

    some = guarded.holding("viewer:majora").get("/metrics")
    every = guarded.holding("viewer").get("/metrics")

    assert some.status_code == 403
    assert "gnn" not in some.text
    assert guarded.client().get("/metrics").status_code == 401
    assert 'model_drift_score{model_type="gnn",model_version="v1"} 1.0' in every.text


# --- what it costs ---


def test_the_register_is_read_once_for_whoever_asks_within_a_second(
    register: Register, local: Served
) -> None:
    now = [0.0]
    local.app.state.observer._timer = lambda: now[0]

    def head() -> float:
        return told(client)["herdbook_events_head"][frozenset()]

    with local.client() as client:
        first = head()
        register.add("majora:v1")
        now[0] += 0.9
        within = head()
        now[0] += 0.2
        later = head()

    assert (first, within, later) == (0, 0, 2)


def test_a_register_that_could_not_be_read_is_tried_again_at_the_next_scrape(
    register: Register, asking: TestClient
) -> None:
    observed.drifted(register, "gnn:v1")
    register.execute("ALTER TABLE monitors RENAME TO elsewhere")
    failed = asking.get("/metrics")

    register.execute("ALTER TABLE elsewhere RENAME TO monitors")

    assert failed.status_code >= 500
    assert told(asking)["model_drift_episodes_total"] == {of("v1"): 1}


def test_only_who_may_read_everything_observes(database: Database) -> None:
    by = Register(database).seen_by("viewer:gnn")

    for verb in (observing.observed, observing.head):
        with pytest.raises(Forbidden, match="not viewer on all models"):
            by.read(verb)
