"""The rules that Herdbook ships for Prometheus: when somebody is to be told, and of what.

They hold for a scrape job named `herdbook`, with any number of servers of one register in it:
each says the same of the register, so `max by` takes one of them.
"""

from typing import Final

from herdbook.protocols.prometheus_rules import Alert, Group, Recorded

_VERSION: Final = "job, model_type, model_version"
_NAMED: Final = "{{ $labels.model_type }} {{ $labels.model_version }}"
_STREAM: Final = f"{_VERSION}, stream"


def _one(expr: str, by: str = _VERSION) -> str:
    return f"max by ({by}) ({expr})"


def _grown(metric: str, since: str) -> str:
    return _one(f"increase({metric}[{since}])", _STREAM)


_MEANS: Final = Group(
    "herdbook_means",
    (Recorded("version:model_drift_score:avg7d", _one("avg_over_time(model_drift_score[7d])")),),
)

_DRIFT: Final = Group(
    "herdbook_drift",
    (
        Alert(
            name="ModelDriftHigh",
            expr=f"{_one('model_drift_score')} > 0.3",
            lasts="5m",
            severity="warning",
            summary=f'{_NAMED} has drifted: score {{{{ $value | printf "%.2f" }}}}',
            description="A retraining is recommended. `herdbook drift show` says what moved.",
        ),
        Alert(
            name="ModelDriftCritical",
            expr=f"{_one('model_drift_score')} > 0.5",
            lasts="5m",
            severity="critical",
            summary=f'{_NAMED} has drifted far: score {{{{ $value | printf "%.2f" }}}}',
            description="Retrain it, or roll back. `herdbook drift show` says what moved.",
        ),
        Alert(
            name="ModelDriftAlarm",
            expr=f"{_one('model_drift_alarm')} == 1",
            lasts="1m",
            severity="warning",
            summary=f"{_NAMED} is proven to have drifted",
            description="The evidence and the score are both above what an alarm takes.",
        ),
        Alert(
            name="ModelValuesMissing",
            expr=(
                f"{_grown('model_drift_missing_total', '30m')}\n"
                f"  / ({_grown('model_drift_samples_total', '30m')}\n"
                f"    + {_grown('model_drift_missing_total', '30m')})\n"
                f"  > 0.1\n"
                f"and {_grown('model_drift_missing_total', '30m')} >= 20"
            ),
            lasts="5m",
            severity="warning",
            summary=(
                f"{_NAMED}: {{{{ $value | humanizePercentage }}}} of {{{{ $labels.stream }}}} "
                "is missing"
            ),
            description="NaN, infinite or nothing, over the last 30 minutes.",
        ),
        Alert(
            name="ModelSamplesStopped",
            expr=(
                f"sum by ({_VERSION}) ({_grown('model_drift_samples_total', '1h')}) == 0\n"
                f"and sum by ({_VERSION}) ({_grown('model_drift_samples_total', '1d')}) > 0"
            ),
            lasts="10m",
            severity="warning",
            summary=f"nothing was sampled of {_NAMED} for an hour",
            description=(
                "It serves no more, or what it serves is no longer recorded. The alert ends by "
                "itself a day after the last sample; `herdbook drift unwatch` ends it at once."
            ),
        ),
        Alert(
            name="ModelDriftUnknown",
            expr=f"{_one('model_drift_level')} unless {_one('model_drift_score')}",
            lasts="1d",
            severity="info",
            summary=f"nothing can be said of the drift of {_NAMED}",
            description="It is watched, and for a day there were too few samples for a score.",
        ),
        Alert(
            name="ModelSamplesLate",
            expr=_one("increase(model_drift_late_total[30m])") + " > 0",
            lasts="30m",
            severity="info",
            summary=f"samples of {_NAMED} cannot be counted",
            description=(
                "They are of streams the reference does not know, or from more than seven days ago."
            ),
        ),
    ),
)

_OTHERS: Final = Group(
    "herdbook_register",
    (
        Alert(
            name="ExperimentRolledBack",
            expr=(
                'max by (job) (increase(herdbook_experiments_ended_total{outcome="rolled_back"}'
                "[10m])) > 0"
            ),
            severity="warning",
            summary="an experiment was rolled back",
            description="`herdbook experiments list` says which, and why.",
        ),
        Alert(
            name="DeploymentRolledBack",
            expr='max by (job) (increase(herdbook_deployments_total{kind="rollback"}[10m])) > 0',
            severity="info",
            summary="an alias was moved back",
            description="`herdbook deployments history` says which, by whom, and why.",
        ),
        Alert(
            name="ExperimentResultsLost",
            expr=(
                'sum by (job) (increase(herdbook_experiment_results_total{outcome="dropped"}'
                "[15m])) > 0"
            ),
            severity="warning",
            summary="results of experiments were dropped",
            description="Journals of workers are full: they could not reach the server for long.",
        ),
    ),
)

_SERVER: Final = Group(
    "herdbook_server",
    (
        Alert(
            name="HerdbookDown",
            expr='up{job="herdbook"} == 0',
            lasts="2m",
            severity="critical",
            summary="{{ $labels.instance }} cannot be scraped",
            description="The server is gone, or it refuses the token that Prometheus shows.",
        ),
        Alert(
            name="HerdbookAbsent",
            expr='absent(herdbook_events_head{job="herdbook"})',
            lasts="5m",
            severity="critical",
            summary="no Herdbook server is scraped at all",
            description="As long as this holds, none of the other alerts can be raised.",
        ),
        Alert(
            name="HerdbookErrors",
            expr=(
                'sum by (job) (rate(herdbook_requests_total{status=~"5.."}[5m]))\n'
                "  / sum by (job) (rate(herdbook_requests_total[5m]))\n"
                "  > 0.05"
            ),
            lasts="5m",
            severity="warning",
            summary="{{ $value | humanizePercentage }} of requests fail",
            description="The server's log says why.",
        ),
        Alert(
            name="HerdbookWebhooksFail",
            expr=(
                'sum by (job) (increase(herdbook_webhook_attempts_total{outcome="failed"}[15m]))'
                " >= 3\n"
                'unless sum by (job) (increase(herdbook_webhook_attempts_total{outcome="taken"}'
                "[15m])) > 0"
            ),
            lasts="5m",
            severity="warning",
            summary="no webhook is delivered",
            description="`herdbook webhooks deliveries` says what the receivers answer.",
        ),
        Alert(
            name="HerdbookMetricsLeftOut",
            expr="max by (job, what) (herdbook_metrics_left_out) > 0",
            lasts="1h",
            severity="info",
            summary="{{ $value }} {{ $labels.what }} are not in the metrics",
            description=(
                "Labels are bounded: the oldest watched versions are left out. Stop watching what "
                "serves no more, with `herdbook drift unwatch`."
            ),
        ),
    ),
)

GROUPS: Final = (_MEANS, _DRIFT, _OTHERS, _SERVER)
HEADING: Final = (
    "Rules of Herdbook for Prometheus, written by `herdbook observability rules`.\n"
    "They hold for a scrape job named herdbook."
)
