"""The dashboard that Herdbook ships for Grafana: drift, experiments, deployments, averages, server.

Each server of a register says the same of the register itself, so what several say is never
added up: `max by` takes one of them. What a server counts of its own work is added up.
"""

from typing import Final

from herdbook.core.drift import Level
from herdbook.protocols.grafana import Choice, Dashboard, Panel, Query, Row

_JOB: Final = 'job=~"$job"'
_VERSION: Final = f'{_JOB},model_type=~"$model",model_version=~"$version"'
_NAMED: Final = "job, model_type, model_version"
_LEGEND: Final = "{{model_type}} {{model_version}}"
_SINCE: Final = "[$__rate_interval]"
# The seeds' thresholds; a model may have others, see `Settings.thresholds`.
_STEPS: Final = ((0.1, "yellow"), (0.3, "orange"), (0.5, "red"))
_WORDS: Final = {at: str(level) for at, level in enumerate(Level)}
_BAD: Final = ((1.0, "red"),)
_COLUMNS: Final = {"job": "Job", "model_type": "Model", "model_version": "Version"}


def _one(metric: str, *more: str) -> str:
    """Ask for a metric of versions, whichever server says it."""
    return f"max by ({', '.join((_NAMED, *more))}) ({metric}{{{_VERSION}}})"


def _pace(metric: str, *more: str) -> str:
    """Ask for how much a count of versions grows in a second."""
    return f"max by ({', '.join((_NAMED, *more))}) (rate({metric}{{{_VERSION}}}{_SINCE}))"


def _grown(metric: str, by: str) -> str:
    """Ask for how much a count of the register grew between two points of the picture."""
    return f"max by (job, {by}) (increase({metric}{{{_JOB}}}{_SINCE}))"


def _mean(metric: str) -> str:
    """Ask for the mean of what was served of late."""
    return f"{_pace(f'{metric}_sum')} / ({_pace(f'{metric}_count')} > 0)"


_DRIFT: Final = Row(
    "Drift",
    (
        Panel(
            title="Versions watched",
            kind="stat",
            queries=(Query(f"count({_one('model_drift_level')}) or vector(0)"),),
            width=4,
            height=6,
        ),
        Panel(
            title="Alarms",
            kind="stat",
            description="Versions whose evidence and score are both above what an alarm takes.",
            queries=(Query(f"sum({_one('model_drift_alarm')}) or vector(0)"),),
            steps=_BAD,
            width=4,
            height=6,
        ),
        Panel(
            title="Level",
            kind="state-timeline",
            description="The seeds' four levels, with hysteresis.",
            queries=(Query(_one("model_drift_level"), _LEGEND),),
            steps=((1, "yellow"), (2, "orange"), (3, "red")),
            words=_WORDS,
            width=16,
            height=6,
        ),
        Panel(
            title="Drift score",
            kind="timeseries",
            description="0 to 1; a gap where there is too little to say anything.",
            queries=(Query(_one("model_drift_score"), _LEGEND),),
            steps=_STEPS,
            most=1,
        ),
        Panel(
            title="Drift score, mean of 7 days",
            kind="timeseries",
            queries=(
                Query(
                    f"max by ({_NAMED}) (avg_over_time(model_drift_score{{{_VERSION}}}[7d]))",
                    _LEGEND,
                ),
            ),
            steps=_STEPS,
            most=1,
        ),
        Panel(
            title="Parts of the score",
            kind="timeseries",
            description="Before they are weighted, each 0 to 1.",
            queries=(
                Query(_one("model_drift_component", "component"), f"{_LEGEND} {{{{component}}}}"),
            ),
            most=1,
        ),
        Panel(
            title="Evidence",
            kind="timeseries",
            description="Of the stream with most of it, as a share of what an alarm takes.",
            queries=(Query(_one("model_drift_evidence_ratio"), _LEGEND),),
            steps=_BAD,
        ),
        Panel(
            title="Samples",
            kind="timeseries",
            unit="cps",
            queries=(
                Query(_pace("model_drift_samples_total", "stream"), f"{_LEGEND} {{{{stream}}}}"),
            ),
        ),
        Panel(
            title="Missing values",
            kind="timeseries",
            unit="percentunit",
            description="NaN, infinite or nothing, as a share of all values of a stream.",
            queries=(
                Query(
                    f"{_pace('model_drift_missing_total', 'stream')} / "
                    f"(({_pace('model_drift_samples_total', 'stream')} + "
                    f"{_pace('model_drift_missing_total', 'stream')}) > 0)",
                    f"{_LEGEND} {{{{stream}}}}",
                ),
            ),
            most=1,
        ),
        Panel(
            title="Episodes and retrainings",
            kind="timeseries",
            queries=(
                Query(
                    f"sum by (job) ({_grown('model_drift_episodes_total', _NAMED[5:])})",
                    "{{job}} began",
                ),
                Query(
                    f"sum by (job) ({_grown('model_drift_retrainings_total', _NAMED[5:])})",
                    "{{job}} retraining asked for",
                ),
            ),
        ),
        Panel(
            title="Values that could not be counted",
            kind="timeseries",
            unit="cps",
            description="Of another reference than the register's, or from too long ago.",
            queries=(Query(_pace("model_drift_late_total"), _LEGEND),),
        ),
    ),
)

_EXPERIMENTS: Final = Row(
    "Experiments",
    (
        Panel(
            title="Experiments by state",
            kind="timeseries",
            queries=(
                Query(f"max by (job, state) (herdbook_experiments{{{_JOB}}})", "{{job}} {{state}}"),
            ),
        ),
        Panel(
            title="Ended",
            kind="timeseries",
            queries=(
                Query(_grown("herdbook_experiments_ended_total", "outcome"), "{{job}} {{outcome}}"),
            ),
        ),
        Panel(
            title="Results told of",
            kind="timeseries",
            unit="cps",
            queries=(
                Query(
                    "sum by (job, outcome) "
                    f"(rate(herdbook_experiment_results_total{{{_JOB}}}{_SINCE}))",
                    "{{job}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Looked at, and acted on",
            kind="timeseries",
            unit="cps",
            queries=(
                Query(
                    f"sum by (job) (rate(herdbook_experiment_looks_total{{{_JOB}}}{_SINCE}))",
                    "{{job}} looks",
                ),
                Query(
                    f"sum by (job) (rate(herdbook_experiment_acts_total{{{_JOB}}}{_SINCE}))",
                    "{{job}} acts",
                ),
            ),
        ),
    ),
)

_DEPLOYMENTS: Final = Row(
    "Deployments",
    (
        Panel(
            title="Champions",
            kind="table",
            queries=(Query(_one("herdbook_champion_info")),),
            columns=_COLUMNS,
        ),
        Panel(
            title="Moves of aliases",
            kind="timeseries",
            queries=(Query(_grown("herdbook_deployments_total", "kind"), "{{job}} {{kind}}"),),
        ),
    ),
)

_AVERAGES: Final = Row(
    "Operational averages",
    (
        Panel(
            title="Served",
            kind="timeseries",
            unit="reqps",
            queries=(Query(_pace("herdbook_served_total"), _LEGEND),),
        ),
        Panel(
            title="Mean inference time",
            kind="timeseries",
            unit="s",
            queries=(Query(_mean("herdbook_served_seconds"), _LEGEND),),
        ),
        Panel(
            title="Mean confidence",
            kind="timeseries",
            unit="percentunit",
            queries=(Query(_mean("herdbook_served_confidence"), _LEGEND),),
            most=1,
        ),
        Panel(
            title="Error rate",
            kind="timeseries",
            unit="percentunit",
            queries=(
                Query(
                    f"{_pace('herdbook_served_errors_total')} / "
                    f"({_pace('herdbook_served_total')} > 0)",
                    _LEGEND,
                ),
            ),
            most=1,
        ),
    ),
)

_SERVER: Final = Row(
    "Server",
    (
        Panel(
            title="Requests",
            kind="timeseries",
            unit="reqps",
            queries=(
                Query(
                    f"sum by (job, status) (rate(herdbook_requests_total{{{_JOB}}}{_SINCE}))",
                    "{{job}} {{status}}",
                ),
            ),
        ),
        Panel(
            title="Slowest routes, 95th percentile",
            kind="timeseries",
            unit="s",
            queries=(
                Query(
                    "topk(5, histogram_quantile(0.95, sum by (job, route, le) "
                    f"(rate(herdbook_request_seconds_bucket{{{_JOB}}}{_SINCE}))))",
                    "{{job}} {{route}}",
                ),
            ),
        ),
        Panel(
            title="Webhooks",
            kind="timeseries",
            unit="cps",
            queries=(
                Query(
                    "sum by (job, outcome) "
                    f"(rate(herdbook_webhook_attempts_total{{{_JOB}}}{_SINCE}))",
                    "{{job}} {{outcome}}",
                ),
            ),
            width=8,
        ),
        Panel(
            title="Memory",
            kind="timeseries",
            unit="bytes",
            queries=(Query(f"process_resident_memory_bytes{{{_JOB}}}", "{{job}} {{instance}}"),),
            width=8,
        ),
        Panel(
            title="Left out of the metrics",
            kind="timeseries",
            description="What there is beside what is shown, because labels are bounded.",
            queries=(
                Query(
                    f"max by (job, what) (herdbook_metrics_left_out{{{_JOB}}})", "{{job}} {{what}}"
                ),
            ),
            width=8,
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="herdbook",
    title="Herdbook",
    description="Drift, experiments, deployments and operational averages of a register.",
    tags=("herdbook", "drift", "machine learning"),
    choices=(
        Choice("job", "Job", "label_values(herdbook_events_head, job)"),
        Choice("model", "Model", 'label_values(model_drift_level{job=~"$job"}, model_type)'),
        Choice(
            "version",
            "Version",
            'label_values(model_drift_level{job=~"$job",model_type=~"$model"}, model_version)',
        ),
    ),
    rows=(_DRIFT, _EXPERIMENTS, _DEPLOYMENTS, _AVERAGES, _SERVER),
)
