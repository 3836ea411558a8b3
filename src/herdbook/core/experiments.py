"""Experiments: two or more versions of a model serve at once, until it is known which is better.

A plan says what is compared and what counts as better; it never changes. What changes is how much
of the traffic takes part: that is a phase, and results of different phases are never pooled.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, get_type_hints

from herdbook.core import names, wire
from herdbook.core.guardrails import GUARDRAILS_LIMIT, Guardrail, in_range
from herdbook.core.numbers import Number
from herdbook.errors import Invalid

CONTROL: Final = "control"
# What an A/A experiment calls its second arm, which is the control's version once more.
AGAIN: Final = "control-aa"
NAME_LIMIT: Final = 100
TREATMENTS_LIMIT: Final = 10
VALUES_LIMIT: Final = 100
ATTRIBUTES_LIMIT: Final = 50
STAGES_LIMIT: Final = 100
DAYS_LIMIT: Final = 365.0
TIME_METRIC: Final = "inference_time_ms"
CONFIDENCE: Final = "confidence"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")
ROUTE_WORDS: Final = frozenset({"advance", "results", "routing", "simulate"})
# What is recorded of every result without being named by a plan.
BUILT_IN: Final = frozenset({TIME_METRIC, CONFIDENCE, "error"})


class State(StrEnum):
    """Where an experiment is."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class Outcome(StrEnum):
    """How an experiment ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    STOPPED = "stopped"


class Decision(StrEnum):
    """What the evidence says to do."""

    CONTINUE = "continue"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    HOLD = "hold"


class Policy(StrEnum):
    """What a decision rests on."""

    EVIDENCE = "evidence"
    THRESHOLDS_ONLY = "thresholds-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an experiment compares and what counts as better; it never changes.

    Args:
        name: unique among experiments, such as `gnn_v2.2_test`.
        model: the model.
        control: the number of the version to beat.
        treatments: the numbers of the versions to try, most often one.
        treatment_traffic_pct: how much of the traffic of those who take part treatments get
            together, above 0 and below 100.
        ramp: how much of all traffic treatments get at each stage, in percent, rising, such as
            `(1, 5, 10, 25, 50)`. Then the split among those who take part is even at every stage,
            and `treatment_traffic_pct` is left out. Widening moves nobody who takes part already.
        ramp_hours: how long a stage lasts at least before the next begins by itself.
        duration_days: after so long without a decision the control stays.
        min_requests: results each version needs before anything but a rollback is decided.
        max_error_rate_increase: how many errors more, as a share of results, are put up with: 0.05
            for five points.
        min_confidence_improvement: how much the mean confidence has to rise: 0.02 for two points.
        alpha: probability of a wrong promotion, and of a wrong rollback, however often one looks.
        targeting: attribute to the values that take part; who lacks one does not.
        holdout_pct: how many of the model's units never take part in an experiment, in percent.
        exclusion: experiments of one group share its units without overlap; left out, those of one
            model are such a group.
        exclusion_pct: how many of the group's units are this experiment's, in percent.
        shadow: the treatment is called and recorded beside the control, never served.
        guardrails: metrics that must not get worse.
        policy: `evidence`, or `thresholds-only` for the bare averages against the thresholds.
        auto_rollback: end it, control stays, when harm is proven.
        auto_ramp: go to the next stage while nothing speaks against it.
        auto_promote: make the treatment champion when it is proven to be better.
        aa: an A/A experiment: its one treatment is the control once more, to see that assignment,
            recording and evaluation are sound; it promotes nothing and rolls nothing back.
    """

    name: str
    model: str
    control: str
    treatments: tuple[str, ...]
    treatment_traffic_pct: float = 50.0
    ramp: tuple[float, ...] = ()
    ramp_hours: float = 24.0
    duration_days: float = 7.0
    min_requests: int = 1000
    max_error_rate_increase: float = 0.05
    min_confidence_improvement: float = 0.02
    alpha: float = 0.05
    targeting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    holdout_pct: float = 0.0
    exclusion: str = ""
    exclusion_pct: float = 100.0
    shadow: bool = False
    guardrails: tuple[Guardrail, ...] = ()
    policy: Policy = Policy.EVIDENCE
    auto_rollback: bool = True
    auto_ramp: bool = False
    auto_promote: bool = False
    aa: bool = False

    @property
    def group(self) -> str:
        """The group whose units it shares without overlap."""
        return self.exclusion or f"model:{self.model}"

    @property
    def arms(self) -> "tuple[Arm, ...]":
        """Control first, then the treatments."""
        only = AGAIN if self.aa else "treatment"
        several = len(self.treatments) > 1
        share = self.treatment_share / len(self.treatments)
        tried = tuple(
            Arm(name=f"treatment-{at}" if several else only, number=number, share=share)
            for at, number in enumerate(self.treatments, start=1)
        )
        return (Arm(name=CONTROL, number=self.control, share=1 - self.treatment_share), *tried)

    @property
    def treatment_share(self) -> float:
        """What of those who take part treatments get together, 0 to 1."""
        if self.ramp:
            return len(self.treatments) / (len(self.treatments) + 1)
        return self.treatment_traffic_pct / 100

    @property
    def coverages(self) -> tuple[float, ...]:
        """How many take part at each stage, 0 to 1."""
        if not self.ramp:
            return (1.0,)
        return tuple(min(1.0, stage / 100 / self.treatment_share) for stage in self.ramp)

    def checked(self) -> "Plan":
        """Give it with its values checked and its numbers in their canonical form.

        Raises:
            Invalid: naming the field.
        """
        typed = self._typed()
        experiment_name(typed.name)
        names.model_name(typed.model)
        typed._check_arms()
        typed._check_traffic()
        typed._check_limits()
        typed._check_guardrails()
        if len(typed.targeting) > ATTRIBUTES_LIMIT:
            raise Invalid(f"more than {ATTRIBUTES_LIMIT} attributes", field="targeting")
        for name, values in typed.targeting.items():
            names.key(name, field="targeting")
            if not 1 <= len(values) <= VALUES_LIMIT:
                raise Invalid(f"{name} needs 1 to {VALUES_LIMIT} values", field="targeting")
            for value in values:
                names.line(value, field="targeting")
        return replace(
            typed,
            control=Number(typed.control).text,
            treatments=tuple(Number(each).text for each in typed.treatments),
            auto_rollback=typed.auto_rollback and not typed.aa,
        )

    def _typed(self) -> "Plan":
        """Give it as it is read again: what could not be read must never be written."""
        found: dict[str, Any] = {}
        for name, kind in get_type_hints(Plan).items():
            given = getattr(self, name)
            try:
                found[name] = wire.value(kind, wire.plain(given))
            except (Invalid, TypeError) as error:
                raise Invalid(f"{name} cannot be {given!r:.60}: {error}", field=name) from None
        return Plan(**found)

    def _check_guardrails(self) -> None:
        for guardrail in self.guardrails:
            guardrail.checked()
        if len({each.name for each in self.guardrails}) != len(self.guardrails):
            raise Invalid("a guardrail is named twice", field="guardrails")
        if len(self.guardrails) > GUARDRAILS_LIMIT:
            raise Invalid(f"more than {GUARDRAILS_LIMIT} guardrails", field="guardrails")

    def _check_arms(self) -> None:
        if not 1 <= len(self.treatments) <= TREATMENTS_LIMIT:
            raise Invalid(
                f"an experiment has 1 to {TREATMENTS_LIMIT} treatments, not {len(self.treatments)}",
                field="treatments",
            )
        numbers = [Number(each) for each in (self.control, *self.treatments)]
        if self.aa:
            self._check_aa(numbers)
        elif len(set(numbers)) != len(numbers):
            raise Invalid(
                "an experiment compares different versions; to compare one with itself, which is "
                "an A/A experiment, say so: aa=True, --aa",
                field="treatments",
            )
        if self.shadow and len(self.treatments) > 1:
            raise Invalid("in the shadow one treatment runs at a time", field="shadow")

    def _check_aa(self, numbers: Sequence[Number]) -> None:
        if len(self.treatments) != 1 or len(set(numbers)) != 1:
            raise Invalid(
                f"an A/A experiment compares {self.control} with itself, so it has no other "
                f"treatment: leave out {', '.join(self.treatments)}",
                field="treatments",
            )
        if self.auto_promote:
            raise Invalid(
                "an A/A experiment has nothing to promote: leave out auto_promote",
                field="auto_promote",
            )
        if self.policy is not Policy.EVIDENCE:
            raise Invalid(
                f"an A/A experiment is judged by the evidence: leave out policy {self.policy}",
                field="policy",
            )

    def _check_traffic(self) -> None:
        in_range(self.treatment_traffic_pct, "treatment_traffic_pct", low=0.01, high=99.99)
        if len(self.ramp) > STAGES_LIMIT:
            raise Invalid(f"more than {STAGES_LIMIT} stages", field="ramp")
        highest = 100 * len(self.treatments) / (len(self.treatments) + 1)
        rising = all(low < high for low, high in zip(self.ramp, self.ramp[1:], strict=False))
        if self.ramp and not (rising and self.ramp[0] > 0 and self.ramp[-1] <= highest):
            raise Invalid(
                f"a ramp rises from above 0 to at most {highest:.4g} percent, where the split is "
                f"even; such as 1, 5, 10, 25, 50",
                field="ramp",
            )
        in_range(self.ramp_hours, "ramp_hours", low=0.0, high=24 * DAYS_LIMIT)
        in_range(self.holdout_pct, "holdout_pct", low=0.0, high=99.0)
        if self.exclusion:
            names.key(self.exclusion, field="exclusion")
            # Whoever may deploy one model must not take the units of another.
            if self.exclusion.startswith("model:") and self.exclusion != f"model:{self.model}":
                raise Invalid(
                    f"{self.exclusion} is the group of that model's own experiments; give one "
                    "that several models share another name",
                    field="exclusion",
                )
        in_range(self.exclusion_pct, "exclusion_pct", low=0.01, high=100.0)

    def _check_limits(self) -> None:
        in_range(self.duration_days, "duration_days", low=0.001, high=DAYS_LIMIT)
        in_range(self.min_requests, "min_requests", low=1, high=10**12)
        in_range(self.max_error_rate_increase, "max_error_rate_increase", low=0.0, high=0.99)
        in_range(self.min_confidence_improvement, "min_confidence_improvement", low=-1.0, high=1.0)
        in_range(self.alpha, "alpha", low=1e-6, high=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the versions compared.

    Args:
        name: `control`, `treatment`, or `treatment-2` where there are several; `control-aa` of an
            A/A experiment.
        number: the version's.
        share: what of those who take part it gets, 0 to 1.
    """

    name: str
    number: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time in which the same units take part.

    Args:
        number: 1, 2, 3…
        coverage: how many of those who may take part do, 0 to 1.
        at: since when.
    """

    number: int
    coverage: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """An experiment and how it stands.

    Args:
        id: its number.
        plan: what it compares.
        state: running, paused or ended.
        phases: how many took part, and since when; the last is now.
        low: where its part of the group's units begins, 0 to 1.
        high: where it ends.
        salt: what its hashes begin with.
        warnings: what was said when it started about what cannot work.
        started_at: when.
        started_by: by whom.
        ended_at: when it ended, or None.
        outcome: how it ended, or None.
        winner: the number that became champion, or "".
        reason: why it was paused or ended, or "".
    """

    id: int
    plan: Plan
    state: State
    phases: tuple[Phase, ...]
    low: float
    high: float
    salt: str
    started_at: datetime
    started_by: str
    warnings: tuple[str, ...] = ()
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    winner: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The plan's name."""
        return self.plan.name

    @property
    def model(self) -> str:
        """The plan's model."""
        return self.plan.model

    @property
    def phase(self) -> Phase:
        """The phase it is in."""
        return self.phases[-1]


def experiment_name(text: str) -> str:
    """Check the name of an experiment: ASCII letters, digits and `. _ + -`, up to 100.

    Raises:
        Invalid: naming the rule that was broken.
    """
    names.line(text, field="name", limit=NAME_LIMIT)
    if not is_name(text):
        raise Invalid(
            f"{text!r} is not a name for an experiment: use ASCII letters, digits and . _ + -, "
            "beginning with a letter or digit; such as gnn_v2.2_test",
            field="name",
        )
    return text


def is_name(text: str) -> bool:
    """Whether an experiment may be called so."""
    return bool(_NAME.match(text)) and len(text) <= NAME_LIMIT and text not in ROUTE_WORDS
