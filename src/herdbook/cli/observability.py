"""`herdbook observability …`: what Grafana and Prometheus are given."""

import json
from pathlib import Path

import click

from herdbook.cli.commands import group
from herdbook.cli.session import Session

STANDARD = "-"


@group(
    "observability",
    examples=("observability dashboard -o herdbook.json", "observability rules -o herdbook.yml"),
)
def observability() -> None:
    """Dashboard for Grafana and alert rules for Prometheus."""


_OUTPUT = click.option(
    "--output", "-o", default=STANDARD, metavar="FILE", help="Where to; - is standard output."
)


@observability.command(
    "dashboard", examples=("observability dashboard", "observability dashboard -o herdbook.json")
)
@_OUTPUT
@click.pass_obj
def dashboard(session: Session, output: str) -> None:
    """Write a dashboard that Grafana imports.

    Drift, experiments, deployments, operational averages and the server, over a Prometheus
    that is chosen when the dashboard is looked at.
    """
    from herdbook.protocols.grafana import dashboard_text
    from herdbook.services.dashboards import DASHBOARD

    _write(session, output, dashboard_text(DASHBOARD))


@observability.command(
    "rules", examples=("observability rules", "observability rules -o herdbook.yml")
)
@_OUTPUT
@click.pass_obj
def rules(session: Session, output: str) -> None:
    """Write alert rules that Prometheus loads, as YAML.

    They hold for a scrape job named herdbook. With --json the same comes as JSON, which
    Prometheus reads too.
    """
    from herdbook.protocols import prometheus_rules
    from herdbook.services.alerts import GROUPS, HEADING

    if session.as_json:
        text = json.dumps(prometheus_rules.rules(GROUPS), indent=2, ensure_ascii=False) + "\n"
    else:
        text = prometheus_rules.rules_text(GROUPS, heading=HEADING)
    _write(session, output, text)


def _write(session: Session, output: str, text: str) -> None:
    if output == STANDARD:
        click.echo(text, nl=False)
        return
    Path(output).write_text(text, encoding="utf-8", newline="\n")
    session.note(f"Written to {output}")
