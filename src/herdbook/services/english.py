"""What is said of experiments and of drift, in English."""

from collections.abc import Mapping
from typing import Final

MESSAGES: Final[Mapping[str, str]] = {
    "better": "Confidence improved by {gain} points.",
    "errors_bounded": "That errors did not rise by more than {limit} points is proven.",
    "harm": "Errors rose from {control_rate} % to {treatment_rate} %: proven, {factor} to one.",
    "harm_beyond_limit": "By more than the {limit} points that are put up with is proven too.",
    "guardrail_harmed": (
        "{subject} got worse, from {control} to {treatment}: proven, {factor} to one."
    ),
    "sample_ratio_mismatch": (
        "The versions do not receive the units they should ({factor} to one): assignment or "
        "recording is broken, and no comparison can be trusted."
    ),
    "silent": "Nothing was recorded of {subject} for {hours} hours.",
    "no_confidence": (
        "Results of {subject} come without a confidence: record it, or nothing can be promoted."
    ),
    "few_results": "{subject} has {results} of {needed} results.",
    "confidence_unknown": "It is too early to tell anything of confidence.",
    "gain_unproven": (
        "Confidence differs by {gain} points so far, which may yet be chance (at least {low})."
    ),
    "gain_too_small": "Confidence differs by {gain} points; {least} are asked for.",
    "errors_not_bounded": (
        "That errors did not rise too much is not proven yet ({factor} to one, {proof} are needed)."
    ),
    "harm_suspected": "It may err more often ({factor} to one).",
    "guardrail_unknown": "Of the guardrail {subject} nothing is known yet: record its metric.",
    "guardrail_unrecorded": (
        "None of the {results} results so far came with {subject}: its guardrail watches nothing, "
        "record it."
    ),
    "futile": "Confidence improves by at most {high} points; {least} are out of reach.",
    "time_is_up": "The {days} days are over without a decision.",
    "errors_above_threshold": (
        "Errors went from {control_rate} % to {treatment_rate} %, by more than {limit} points."
    ),
    "bare_averages": (
        "These are bare averages against thresholds: looked at again and again they promote "
        "versions that are no better, and ones that err more; the policy 'evidence' does not."
    ),
    "clustering_unknown": (
        "Results came without a unit: where users come again and again, all of this is less "
        "certain than it looks."
    ),
    "aa": "Both arms are the same version, {subject}: this is an A/A experiment.",
    "aa_no_difference": "After {results} results no difference is seen, as it has to be.",
    "aa_difference": (
        "Yet a difference is seen: either a false alarm, which at most {alpha} % of such "
        "experiments give, or a fault in assigning, recording or serving."
    ),
    "aa_confidence": "Confidence differs by {gain} points (between {low} and {high}).",
    "aa_errors": "The error rate differs by {gain} points (between {low} and {high}).",
    "act_aa_alarm": "Find out why before the first real experiment; nothing is rolled back.",
    "act_aa_over": "Stop: assigning, recording and evaluating are sound, as far as this shows.",
    "act_promote": "Promote {arm}.",
    "act_rollback": "Roll back: control stays, {arm} is taken out.",
    "act_continue": "Continue.",
    "act_hold": "Hold: decide nothing before that is mended.",
    "act_keep": "Stop: control stays.",
    "margin_above_base": (
        "max_error_rate_increase {limit} points on a base of {base} % means up to {times} times"
        " as many errors pass."
    ),
    "no_room": (
        "max_error_rate_increase {limit} points above a base of {base} % is more than all "
        "results: nothing can be proven about it."
    ),
    "too_little_traffic": (
        "A decision takes about {requests} requests, {days} days at {per_day} a day; the "
        "experiment ends after {duration}."
    ),
    "too_little_traffic_for_aa": (
        "Enough results of both arms take about {requests} requests, {days} days at {per_day} a "
        "day; the experiment ends after {duration}."
    ),
    "never_decides": "An improvement of the size asked for cannot be shown: lower the demands.",
    "few_units": (
        "{per_unit} requests a unit and day: units, not requests, are what counts, so that one "
        "request is worth {worth} of an independent one."
    ),
    "few_units_before": (
        "In {subject} {units} units had {per_unit} results each: units, not requests, are what "
        "counts, so that one request is worth {worth} of an independent one."
    ),
    "ramp_missing": "auto_ramp does nothing without a ramp, such as 1, 5, 10, 25, 50.",
    "guardrails_ignored": (
        "The policy thresholds-only looks at no guardrails: those of the plan do nothing."
    ),
    "too_few_units": (
        "To bound the errors takes about {units} different units; {days} days bring at most "
        "{there}, if they all are new."
    ),
}

# Of drift, by level and status.
DRIFT: Final[Mapping[str, str]] = {
    "no_reference": "There is no reference: freeze one before drift can be seen.",
    "insufficient_data": "Too few values to say anything: {values} of {least}.",
    "normal": "No drift: nothing to do.",
    "watch": "Slightly unlike the reference: keep watching, nothing is proven.",
    "retrain": "Drift is proven: retraining is recommended.",
    "critical": "Critical drift! Retrain urgently.",
}
