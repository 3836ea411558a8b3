"""Experiments as people write and read them: the options of a plan, tables, sentences."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import click

from herdbook.cli.output import Table, facts, line, number
from herdbook.cli.parameters import Decorator
from herdbook.cli.session import Session
from herdbook.core.experiments import Experiment, Outcome, Plan, Policy, State
from herdbook.core.guardrails import Guardrail, Worse
from herdbook.errors import Invalid

_DEFAULTS: Final = {field.name: field.default for field in fields(Plan)}
_MEAN: Final = "mean"
_SAID: Final = {
    "worse": "which way is worse, higher or lower",
    "quantile": "what is watched, a quantile or the mean",
    "margin": "its margin; a quantile is written p95",
}
_ENDS: Final = {
    Outcome.PROMOTED: "promoted",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.STOPPED: "stopped",
}


class _Percented(click.ParamType[float]):
    """A number that may be written with a percent sign: 10 and 10%, or 0.05 and 5%."""

    def __init__(self, name: str, *, percent: float) -> None:
        """Take its name in help texts and what 1% is worth."""
        self.name = name
        self._percent = percent

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number, with or without a percent sign."""
        text = str(value).strip()
        bare = text.removesuffix("%").rstrip()
        try:
            found = float(bare)
        except ValueError:
            self.fail(f"{value!r:.60} is no number; write 10 or 0.05 or 5%", param, ctx)
        # Divided, not multiplied by 0.01, so that 7% is 0.07 to the last digit.
        return found if bare == text else found / (1 / self._percent)


PERCENT: Final = _Percented("PCT", percent=1.0)
SHARE: Final = _Percented("SHARE", percent=0.01)


def _setting(option: str, name: str, help_: str, kind: Any = float) -> Decorator:
    default = _DEFAULTS[name]
    return click.option(
        option, name, type=kind, default=default, show_default=default != "", help=help_
    )


def _switch(option: str, name: str, help_: str) -> Decorator:
    default = _DEFAULTS[name]
    return click.option(
        f"--{option}/--no-{option}", name, default=default, show_default=True, help=help_
    )


_OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--control", default="", help="The version to beat; left out, the champion."),
    click.option(
        "--traffic",
        "treatment_traffic_pct",
        type=PERCENT,
        help="Percent of the traffic treatments get together; left out, 50.",
    ),
    click.option("--ramp", metavar="PCT,PCT", help="Stages instead, such as 1,5,10,25,50."),
    _setting("--ramp-hours", "ramp_hours", "How long a stage lasts at least."),
    _setting("--days", "duration_days", "After so long without a decision the control stays."),
    _setting("--min-requests", "min_requests", "Results each version needs.", int),
    _setting(
        "--max-error-increase",
        "max_error_rate_increase",
        "More errors that are put up with, as a share of results: 0.05 or 5%.",
        SHARE,
    ),
    _setting(
        "--min-confidence",
        "min_confidence_improvement",
        "How much the mean confidence must rise: 0.02 or 2%.",
        SHARE,
    ),
    _setting("--alpha", "alpha", "Probability of a wrong decision: 0.05 or 5%.", SHARE),
    click.option(
        "--target",
        "targeting",
        multiple=True,
        metavar="KEY=VALUE[,VALUE]",
        help="Who takes part. (repeat)",
    ),
    _setting("--holdout", "holdout_pct", "Percent of units that never take part.", PERCENT),
    _setting(
        "--exclusion", "exclusion", "The group that shares its units; left out, the model's.", str
    ),
    _setting("--share", "exclusion_pct", "Percent of the group's units that are its own.", PERCENT),
    click.option(
        "--shadow", is_flag=True, help="Call the treatment beside the control, never serve it."
    ),
    click.option(
        "--guardrail",
        "guardrails",
        multiple=True,
        metavar="METRIC[:PART]",
        help="A metric that must not get worse, with p95 or mean, higher or lower (which is "
        "worse), and a margin: inference_time_ms:p95, cost:mean:higher:0.1. (repeat)",
    ),
    click.option(
        "--policy",
        type=click.Choice([str(each) for each in Policy]),
        default=str(Policy.EVIDENCE),
        show_default=True,
        help="What a decision rests on.",
    ),
    _switch("auto-rollback", "auto_rollback", "End it when harm is proven."),
    _switch("auto-ramp", "auto_ramp", "Go to the next stage while nothing speaks against it."),
    _switch("auto-promote", "auto_promote", "Make the treatment champion when it is better."),
    click.option("--requests-per-day", type=float, help="The traffic there is, for the warnings."),
    click.option("--units-per-day", type=float, help="From how many users, for the warnings."),
)


def plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take what of a plan may be left out, and the traffic there is."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_plan(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the options of `plan_options` into arguments of `book.experiments.start`.

    Raises:
        Invalid: one of them does not say what it has to.
    """
    ramp, traffic = given.pop("ramp"), given.pop("treatment_traffic_pct")
    if ramp is not None and traffic is not None:
        raise Invalid(
            "--traffic and --ramp both say how much of the traffic treatments get; give one",
            field="ramp",
        )
    given |= {"ramp": _stages(ramp)} if ramp is not None else {}
    given |= {"treatment_traffic_pct": traffic} if traffic is not None else {}
    targeting = _targets(given.pop("targeting"))
    guardrails = tuple(guardrail(text) for text in given.pop("guardrails"))
    return given | {
        "targeting": targeting,
        "guardrails": guardrails,
        "policy": Policy(given["policy"]),
    }


def _stages(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(stage.strip().removesuffix("%")) for stage in text.split(","))
    except ValueError:
        raise Invalid(
            f"--ramp {text!r:.60} is no list of percentages; write --ramp 1,5,10,25,50",
            field="ramp",
        ) from None


def _targets(given: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, _, values = text.partition("=")
        said = tuple(value.strip() for value in values.split(",") if value.strip())
        if not name.strip() or not said:
            raise Invalid(
                f"--target {text!r:.60} is no attribute with values; write --target country=de,at",
                field="targeting",
            )
        found[name.strip()] = (*found.get(name.strip(), ()), *said)
    return found


def guardrail(text: str) -> Guardrail:
    """Read a guardrail: its metric, then what of it is watched, each part at most once.

    Raises:
        Invalid: a part says nothing of a guardrail, or is there twice.

    Example:
        >>> guardrail("inference_time_ms:p99.9").quantile
        0.999
        >>> guardrail("precision@5:lower:0.1")
        Guardrail(metric='precision@5', quantile=None, worse=<Worse.LOWER: 'lower'>, margin=0.1)
    """
    metric, *parts = (part.strip() for part in text.split(":"))
    found: dict[str, Any] = {}
    for part in parts:
        name, value = _part(part, text)
        if name in found:
            raise Invalid(f"--guardrail {text!r:.80} says twice {_SAID[name]}", field="guardrails")
        found[name] = value
    return Guardrail(metric=metric, **found)


def _part(part: str, text: str) -> tuple[str, object]:
    if part in set(Worse):
        return "worse", Worse(part)
    if part == _MEAN:
        return "quantile", None
    try:
        if part.startswith("p"):
            # Through a decimal: p99.9 is 0.999, not 0.9990000000000001.
            return "quantile", float(Decimal(part[1:]) / 100)
        return "margin", float(part)
    except (ValueError, InvalidOperation):
        raise Invalid(
            f"{part!r:.40} in --guardrail {text!r:.80} says nothing of a guardrail; after the "
            "metric come p95 or mean, higher or lower, and a margin, such as "
            "inference_time_ms:p95 or cost:mean:higher:0.1",
            field="guardrails",
        ) from None


# --- as people read them ---


def traffic(found: Experiment) -> str:
    """Say how much of the traffic treatments get now."""
    stage = found.plan.treatment_share * found.phase.coverage * 100
    what = "is called in the shadow for" if found.plan.shadow else "gets"
    several = len(found.plan.treatments) > 1
    one = found.plan.arms[1].name if found.plan.aa else found.plan.treatments[0]
    who = "treatments get together" if several else f"{one} {what}"
    narrowed = found.plan.targeting or found.plan.holdout_pct or found.plan.exclusion_pct < 100
    whose = "those who may take part" if narrowed else "the traffic"
    return f"{who} {stage:.4g} % of {whose}"


def begun(found: Experiment, *, dry_run: bool) -> str:
    """Say in a sentence what was started."""
    tried = " and ".join(found.plan.treatments)
    verb = "would try" if dry_run else "tries"
    compared = f"against {found.plan.control} of {found.model}"
    if found.plan.aa:
        compared = f"of {found.model} against itself"
    told = f"{found.name} {verb} {tried} {compared}: {traffic(found)}."
    # Who rehearses wants to see how each setting was understood.
    return "\n".join([told, "", "Plan", *facts(_plan(found.plan))]) if dry_run else told


def over(found: Experiment, *, dry_run: bool = False) -> str:
    """Say in a sentence how an experiment ended, or would."""
    ended, is_now = ("would end", "would become") if dry_run else ("ended", "is now")
    if found.outcome is Outcome.PROMOTED:
        return f"{found.name} {ended}: {found.winner} {is_now} the champion of {found.model}."
    how = _ENDS[found.outcome] if found.outcome else found.state
    stays = "would stay" if dry_run else "stays"
    return f"{found.name} {ended}, {how}: the champion of {found.model} {stays} as it is."


def standing(found: Experiment) -> str:
    """Say that an experiment pauses or is over; nothing of one that runs."""
    if found.state is State.RUNNING:
        return ""
    why = f" {line(found.reason)}" if found.reason else ""
    if found.state is State.PAUSED:
        return f"{found.name} pauses: all get the champion of {found.model}.{why}"
    how = _ENDS[found.outcome] if found.outcome else "ended"
    return f"{found.name} is over: {how}.{why}"


def table(session: Session, found: Sequence[Experiment]) -> Table:
    """Set experiments in rows."""
    rows = [
        [
            each.name,
            each.model,
            str(each.state) if each.outcome is None else _ENDS[each.outcome],
            f"{each.plan.control} / {', '.join(each.plan.treatments)}"
            + (" (A/A)" if each.plan.aa else ""),
            _now(each),
            str(each.phase.number),
            session.when(each.started_at),
            session.when(each.ended_at) or "-",
        ]
        for each in found
    ]
    titles = ("name", "model", "state", "versions", ">treated", ">phase", "started", "ended")
    return Table(titles, rows, empty="There are no experiments.")


def _now(found: Experiment) -> str:
    if found.state is not State.RUNNING:
        return "-"
    shadow = " (shadow)" if found.plan.shadow else ""
    return f"{found.plan.treatment_share * found.phase.coverage * 100:.4g} %{shadow}"


def text(session: Session, found: Experiment) -> str:
    """Write all that is known about an experiment but its evidence."""
    pairs = [
        ("model", found.model),
        ("state", str(found.state)),
        ("outcome", _ENDS[found.outcome] if found.outcome else ""),
        ("winner", found.winner),
        ("reason", found.reason),
        ("versions", ", ".join(f"{arm.name} {arm.number}" for arm in found.plan.arms)),
        ("traffic", traffic(found) if found.state is State.RUNNING else ""),
        ("kind", "A/A: the control against itself" if found.plan.aa else ""),
        ("phase", f"{found.phase.number}, since {session.when(found.phase.at)}"),
        ("started", f"{session.when(found.started_at)} by {line(found.started_by)}"),
        ("ended", session.when(found.ended_at)),
        ("warnings", "\n".join(found.warnings)),
    ]
    return "\n".join([found.name, *facts(pairs), "", "Plan", *facts(_plan(found.plan))])


def _plan(plan: Plan) -> list[tuple[str, str]]:
    acts = ("auto_rollback", "auto_ramp", "auto_promote")
    return [
        ("ramp", ", ".join(f"{stage:g} %" for stage in plan.ramp)),
        ("ramp hours", number(plan.ramp_hours) if plan.ramp else ""),
        ("days", number(plan.duration_days)),
        ("results needed", number(plan.min_requests)),
        ("more errors allowed", number(plan.max_error_rate_increase)),
        ("confidence to gain", number(plan.min_confidence_improvement)),
        ("alpha", number(plan.alpha)),
        ("target", "; ".join(f"{k} {', '.join(values)}" for k, values in plan.targeting.items())),
        ("holdout", f"{plan.holdout_pct:g} %" if plan.holdout_pct else ""),
        ("units of", f"{plan.group}, {plan.exclusion_pct:g} %"),
        ("guardrails", ", ".join(_written(each) for each in plan.guardrails)),
        ("policy", str(plan.policy)),
        ("by itself", ", ".join(name[5:] for name in acts if getattr(plan, name)) or "nothing"),
    ]


def _written(each: Guardrail) -> str:
    part = _MEAN if each.quantile is None else f"p{each.quantile * 100:g}"
    margin = f":{each.margin:g}" if each.margin else ""
    return f"{each.metric}:{part}:{each.worse}{margin}"
