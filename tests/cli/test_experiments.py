"""Experiments on the command line: how a plan is written, what people read, what is asked."""

import json
from typing import Any

import pytest

from herdbook.cli.intervals import _range
from herdbook.cli.trying import guardrail, taken_plan
from herdbook.core.decisions import Interval
from herdbook.core.guardrails import Guardrail, Worse
from herdbook.errors import Invalid
from tests.cli.conftest import Run


@pytest.fixture
def trying(example: Run) -> Run:
    """A register in which majora v3 is tried against v2, the champion."""
    assert example("add", "majora", "v3", "-q").status == 0
    assert example("experiments", "start", "majora_v3_test", "majora", "v3").status == 0
    return example


def shown(run: Run, *words: str) -> Any:
    """What a command says as JSON."""
    answer = run(*words, "--json")
    assert (answer.status, answer.err) == (0, ""), answer.err
    return json.loads(answer.out)


GUARDRAILS: list[tuple[str, Guardrail]] = [
    ("cost", Guardrail(metric="cost")),
    ("cost:mean", Guardrail(metric="cost")),
    ("cost:0.1", Guardrail(metric="cost", margin=0.1)),
    ("cost:1e-3", Guardrail(metric="cost", margin=0.001)),
    ("precision@5:lower", Guardrail(metric="precision@5", worse=Worse.LOWER)),
    ("cost:mean:lower:0.1", Guardrail(metric="cost", worse=Worse.LOWER, margin=0.1)),
    ("cost: lower : mean", Guardrail(metric="cost", worse=Worse.LOWER)),
    ("inference_time_ms:p95", Guardrail(metric="inference_time_ms", quantile=0.95)),
    ("inference_time_ms:p99.9", Guardrail(metric="inference_time_ms", quantile=0.999)),
]


@pytest.mark.parametrize(("text", "expected"), GUARDRAILS)
def test_a_guardrail_is_written_in_a_word(text: str, expected: Guardrail) -> None:
    assert guardrail(text) == expected


@pytest.mark.parametrize("text", ["cost:lowr", "cost:", "cost:p", "cost:px", "cost:95%", "a:b:c"])
def test_a_slip_in_a_guardrail_is_not_taken_for_a_metric(text: str) -> None:
    with pytest.raises(Invalid, match="says nothing of a guardrail") as caught:
        guardrail(text)
    assert caught.value.field == "guardrails"


@pytest.mark.parametrize("text", ["cost:mean:p95", "cost:lower:higher", "cost:1:2"])
def test_a_guardrail_says_each_thing_once(text: str) -> None:
    with pytest.raises(Invalid, match="twice"):
        guardrail(text)


def test_every_option_of_a_plan_arrives(trying: Run) -> None:
    trying("experiments", "finalize", "majora_v3_test", "stop", "--yes")
    line = (
        "experiments start ramp majora v3 --control v2 --ramp 1,5,50 --ramp-hours 6 --days 14 "
        "--min-requests 500 --max-error-increase 0.01 --min-confidence 0.1 --alpha 0.01 "
        "--target country=de,at --target country=ch --target plan=free --holdout 5 "
        "--exclusion search --share 40 --shadow --guardrail cost:0.1 --guardrail t:p95 "
        "--policy thresholds-only --no-auto-rollback --auto-ramp --auto-promote "
        "--requests-per-day 20000 --units-per-day 900"
    )

    made = json.loads(trying(*line.split(), "--json").out)

    unset = {"worse": "higher", "margin": 0.0}
    assert made["plan"] == {
        "name": "ramp", "model": "majora", "control": "v2", "treatments": ["v3"],
        "treatment_traffic_pct": 50.0, "ramp": [1.0, 5.0, 50.0], "ramp_hours": 6.0,
        "duration_days": 14.0, "min_requests": 500, "max_error_rate_increase": 0.01,
        "min_confidence_improvement": 0.1, "alpha": 0.01,
        "targeting": {"country": ["de", "at", "ch"], "plan": ["free"]}, "holdout_pct": 5.0,
        "exclusion": "search", "exclusion_pct": 40.0, "shadow": True,
        "guardrails": [{"metric": "cost", "quantile": None, "worse": "higher", "margin": 0.1},
                       {"metric": "t", "quantile": 0.95} | unset],
        "policy": "thresholds-only", "auto_rollback": False, "auto_ramp": True,
        "auto_promote": True, "aa": False,
    }  # fmt: skip


WRONG: list[tuple[str, int, str]] = [
    ("--ramp 1,x", 2, "--ramp 1,5,10,25,50"),
    ("--ramp=", 2, "--ramp 1,5,10,25,50"),
    ("--ramp 1,5 --traffic 3", 2, "give one"),
    ("--target country", 2, "--target country=de,at"),
    ("--target =de", 2, "--target country=de,at"),
    ("--guardrail cost:lowr", 2, "says nothing of a guardrail"),
    ("--traffic 100", 2, "treatment_traffic_pct is 100"),
    ("--traffic nan", 2, "treatment_traffic_pct is nan"),
    ("--policy guesswork", 2, "evidence"),
    ("--control v1", 4, "the champion of majora is v2"),
    ("--share 10", 4, "--share"),
]


@pytest.mark.parametrize(("options", "status", "told"), WRONG)
def test_each_mistake_is_told_with_what_mends_it(
    trying: Run, options: str, status: int, told: str
) -> None:
    answer = trying("experiments", "start", "other", "majora", "v3", *options.split())

    assert (answer.status, answer.out) == (status, "")
    assert told in answer.err


def test_what_is_left_out_of_a_plan_is_the_plans_to_say() -> None:
    from herdbook.cli.experiments import start

    options = {p.name: p.default for p in start.params if p.param_type_name == "option"}
    given = options | {"targeting": (), "guardrails": (), "dry_run": False, "ramp": None}
    given |= {"treatment_traffic_pct": None, "requests_per_day": None, "units_per_day": None}

    settings = taken_plan(given)

    assert not {"ramp", "treatment_traffic_pct"} & settings.keys()
    assert (settings["alpha"], settings["duration_days"], settings["control"]) == (0.05, 7.0, "")


def test_a_dry_run_says_so_and_starts_nothing(trying: Run) -> None:
    trying("experiments", "finalize", "majora_v3_test", "stop", "--yes")

    answer = trying("experiments", "start", "other", "majora", "v3", "--traffic", "10", "--dry-run")

    told = "other would try v3 against v2 of majora: v3 gets 10 % of the traffic.\n\nPlan\n"
    assert answer.out.startswith(told)
    assert "dry run" in answer.err
    assert trying("experiments", "show", "other").status == 3


def test_the_story_of_an_experiment(trying: Run) -> None:
    listed = trying("experiments", "list", "majora", "--state", "running")
    assert "majora_v3_test  majora  running  v2 / v3      50 %" in listed.out
    assert "v3 gets 50 % of the traffic" in trying("experiments", "show", "majora_v3_test").out
    paused = trying("experiments", "pause", "majora_v3_test", "--reason", "incident")
    assert paused.out == "majora_v3_test pauses: all get the champion of majora.\n"
    assert "incident" in trying("experiments", "show", "majora_v3_test").out
    resumed = trying("experiments", "resume", "majora_v3_test")
    assert resumed.out == "majora_v3_test goes on in phase 2.\n"
    assert trying("experiments", "widen", "majora_v3_test").status == 4
    rehearsed = trying("experiments", "finalize", "majora_v3_test", "promote", "--dry-run")
    assert "dry run" in rehearsed.err
    assert shown(trying, "experiments", "show", "majora_v3_test")["state"] == "running"
    ended = trying("experiments", "finalize", "majora_v3_test", "promote", "--yes")
    assert ended.out == "majora_v3_test ended: v3 is now the champion of majora.\n"
    assert shown(trying, "experiments", "list")["items"][0]["outcome"] == "promoted"
    assert trying("experiments", "list", "-q").out == "majora_v3_test\n"


def test_a_version_is_tried_against_itself(trying: Run) -> None:
    trying("experiments", "finalize", "majora_v3_test", "stop", "--yes")

    begun = trying("experiments", "start", "majora_aa", "majora", "--aa", "--auto-ramp")

    assert begun.out == (
        "majora_aa tries v2 of majora against itself: control-aa gets 50 % of the traffic.\n"
    )
    assert "Warning: auto_ramp does nothing without a ramp" in begun.err
    assert "majora  running  v2 / v2 (A/A)" in trying("experiments", "list").out
    assert "control v2, control-aa v2" in trying("experiments", "show", "majora_aa").out
    said = trying("experiments", "evaluate", "majora_aa", "--language", "ru").out
    assert "A/A-тест" in said
    refused = trying("experiments", "finalize", "majora_aa", "promote", "--yes")
    assert (refused.status, refused.out) == (4, "")
    assert "end it with stop" in refused.err
    assert trying("experiments", "finalize", "majora_aa", "stop", "--yes").status == 0


def test_who_names_no_version_is_told_of_both_ways(trying: Run) -> None:
    answer = trying("experiments", "start", "other", "majora")

    assert (answer.status, answer.out) == (2, "")
    assert "such as v2; or --aa" in answer.err


def test_an_end_is_asked_about(trying: Run) -> None:
    answer = trying("experiments", "finalize", "majora_v3_test", "promote")

    assert answer.status == 2
    assert "give --yes" in answer.err
    assert shown(trying, "experiments", "show", "majora_v3_test")["state"] == "running"


def test_a_refusal_names_a_command_that_mends_it(trying: Run) -> None:
    refused = trying("versions", "delete", "majora:v3", "--yes")
    assert refused.status == 4
    command = refused.err.split("`")[1].removeprefix("herdbook ")
    assert command == "experiments finalize majora_v3_test stop"

    ended = trying(*command.split(), "--yes")

    assert ended.out == ("majora_v3_test ended, stopped: the champion of majora stays as it is.\n")
    assert trying("versions", "delete", "majora:v3", "--yes").status == 0


def test_percentages_are_taken_with_their_sign(trying: Run) -> None:
    trying("experiments", "finalize", "majora_v3_test", "stop", "--yes")
    line = "experiments start pct majora v3 --traffic 10% --max-error-increase 7% --alpha 1%"

    plan = shown(trying, *line.split(), "--holdout", "5 %", "--dry-run", "--quiet")["plan"]

    assert (plan["treatment_traffic_pct"], plan["holdout_pct"]) == (10.0, 5.0)
    assert (plan["max_error_rate_increase"], plan["alpha"]) == (0.07, 0.01)
    assert taken_plan(
        {"ramp": "1%, 5%", "treatment_traffic_pct": None, "targeting": (), "guardrails": (),
         "policy": "evidence"}
    )["ramp"] == (1.0, 5.0)  # fmt: skip


def test_no_number_is_told_so(trying: Run) -> None:
    answer = trying(*["experiments", "start", "pct", "majora", "v3", "--traffic", "ten"])

    assert answer.status == 2
    assert "'ten' is no number; write 10 or 0.05 or 5%" in answer.err


def test_a_dry_run_shows_how_each_setting_was_understood(trying: Run) -> None:
    trying("experiments", "finalize", "majora_v3_test", "stop", "--yes")

    answer = trying(
        *["experiments", "start", "g", "majora", "v3", "--guardrail", "t:95", "--dry-run"]
    )

    assert "t:mean:higher:95" in answer.out


def test_the_rehearsal_of_an_end_says_what_would_be(trying: Run) -> None:
    answer = trying(*["experiments", "finalize", "majora_v3_test", "promote", "--dry-run"])

    assert answer.out == "majora_v3_test would end: v3 would become the champion of majora.\n"


def test_the_evidence_of_what_pauses_or_is_over_says_so(trying: Run) -> None:
    trying(*["experiments", "pause", "majora_v3_test", "--reason", "incident"])
    paused = trying(*["experiments", "evaluate", "majora_v3_test"])
    trying(*["experiments", "finalize", "majora_v3_test", "stop", "--yes", "--reason", "enough"])
    over = trying(*["experiments", "evaluate", "majora_v3_test"])

    assert "majora_v3_test pauses: all get the champion of majora. incident" in paused.err
    assert "majora_v3_test is over: stopped. enough" in over.err


def test_a_guardrail_without_results_is_not_said_to_hold(trying: Run) -> None:
    trying("experiments", "finalize", "majora_v3_test", "stop", "--yes")
    trying(*["experiments", "start", "g", "majora", "v3", "--guardrail", "t:p95"])

    answer = trying(*["experiments", "evaluate", "g"])

    assert "t_p95                nothing is known yet" in answer.out


def test_the_last_interval_is_drawn_whole() -> None:
    first = Interval(metric="confidence", difference=0.04, low=0.027, high=0.056)

    low, high = _range([first])

    assert low <= -0.056
    assert high >= 0.056
