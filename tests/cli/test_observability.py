"""`herdbook observability …`: the files for Grafana and Prometheus."""

import json
from pathlib import Path

import pytest

from herdbook.protocols.grafana import dashboard_text
from herdbook.protocols.prometheus_rules import rules, rules_text
from herdbook.services.alerts import GROUPS, HEADING
from herdbook.services.dashboards import DASHBOARD
from tests.cli.conftest import Run

WHAT = [("dashboard", dashboard_text(DASHBOARD)), ("rules", rules_text(GROUPS, heading=HEADING))]


@pytest.mark.parametrize(("verb", "text"), WHAT)
def test_it_is_written_to_standard_output_and_nothing_else(run: Run, verb: str, text: str) -> None:
    answer = run("observability", verb)

    assert (answer.status, answer.out, answer.err) == (0, text, "")


@pytest.mark.parametrize(("verb", "text"), WHAT)
def test_it_is_written_to_a_file_over_what_was_there(
    run: Run, tmp_path: Path, verb: str, text: str
) -> None:
    target = tmp_path / "written"
    target.write_text("old" * 100_000)

    answer = run("observability", verb, "--output", str(target))

    assert (answer.status, answer.out, answer.err) == (0, "", f"Written to {target}\n")
    assert target.read_text(encoding="utf-8") == text


def test_rules_are_given_as_json_too(run: Run) -> None:
    assert json.loads(run("observability", "rules", "--json").out) == rules(GROUPS)


def test_a_folder_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    answer = run("observability", "rules", "-o", str(tmp_path / "nowhere" / "rules.yml"))

    assert answer.status == 2
    assert "No such file or directory" in answer.err


def test_it_needs_no_register(run: Run, tmp_path: Path) -> None:
    assert run("observability", "dashboard", "--url", f"sqlite:///{tmp_path}/none.db").status == 0

    assert list(tmp_path.glob("*.db")) == []
