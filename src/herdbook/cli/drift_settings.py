"""`herdbook drift configure`: how drift of a model's versions is judged."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

import click

from herdbook.cli import drift_texts
from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.output import facts
from herdbook.cli.session import Session
from herdbook.cli.trying import SHARE
from herdbook.core.drift import Mode, Settings
from herdbook.errors import Invalid

_DEFAULTS: Final = {each.name: each.default for each in fields(Settings)}


class _Three(click.ParamType[tuple[float, float, float]]):
    """Three numbers with commas between them."""

    name = "A,B,C"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        """Read them."""
        try:
            first, second, third = (float(part) for part in str(value).split(","))
        except ValueError:
            example = ",".join(f"{each:g}" for each in _DEFAULTS[param.name])  # type: ignore[union-attr]
            self.fail(f"{value!r:.60} is not three numbers; write {example}", param, ctx)
        return first, second, third


def _option(option: str, help_: str, kind: Any = float) -> Callable[..., Any]:
    return click.option(option, type=kind, help=help_)


_OPTIONS: Final = (
    _option("--weights", "Of the statistical, performance and distribution part.", _Three()),
    _option("--thresholds", "Where watch, retrain and critical begin.", _Three()),
    _option("--window", "About how many values back mean and spread are looked at.", int),
    _option("--run-length", "Values that may pass, on average, until a false alarm."),
    _option("--least", "Values there must be before anything is said.", int),
    _option("--confidence-drop", "The drop that makes the performance part 1.", SHARE),
    _option("--spread", "The change, in standard deviations, for a distribution part of 1."),
    _option("--cool-down-hours", "Between one retraining that is asked for and the next."),
    _option("--mode", "How the score is made.", click.Choice([str(mode) for mode in Mode])),
)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@command(
    "configure",
    examples=(
        "drift configure gnn",
        "drift configure gnn --thresholds .1,.3,.5 --run-length 1e5",
        "drift configure gnn --mode literal",
    ),
)
@take.model_argument()
@_options
@click.pass_obj
def configure(session: Session, /, model: str, **given: Any) -> None:
    """Say how drift of a model is judged; without options, show how it is.

    Only what is given changes. It holds for all versions of the model, from the next values on.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if "mode" in changes:
        changes["mode"] = Mode(changes["mode"])
    if take.is_reference(model):
        raise Invalid(
            f"{model!r:.80} is a version; the settings are the model's: give its name alone",
            field="model",
        )
    with session.book() as book:
        found = book.drift.settings(model)
        if changes:
            found = book.drift.configure(model, replace(found, **changes))
    session.answer(
        found,
        ids=[model],
        text=lambda: "\n".join([model, *facts(drift_texts.settings_facts(found))]),
    )
