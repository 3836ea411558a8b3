"""`herdbook experiments plan`: how long a plan takes to decide, before it starts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from herdbook.cli import parameters as take
from herdbook.cli import trying
from herdbook.cli.commands import command
from herdbook.cli.output import Table
from herdbook.cli.session import Session

if TYPE_CHECKING:
    from herdbook.core.experiments import Plan
    from herdbook.services.prospects import Prospects

_SAID = {
    "better": "confidence is higher",
    "not_inferior": "errors are not more than allowed",
    "harm": "errors are more (if it harms)",
}


@command(
    "plan",
    examples=(
        "experiments plan gnn v2.2 --traffic 10 --requests-per-day 20000",
        "experiments plan gnn v2.2 --requests-per-day 20000 --units-per-day 1000 --gain 0.03",
    ),
)
@take.model_argument()
@click.argument("treatments", metavar="TREATMENT...", nargs=-1, required=True)
@trying.plan_options
@click.option("--base-rate", type=float, default=0.02, show_default=True, help="Errors now.")
@click.option("--deviation", type=float, default=0.16, show_default=True, help="Of confidence.")
@click.option("--gain", type=float, help="In confidence; else a quarter over the least.")
@click.option("--harm", type=float, default=0.1, show_default=True, help="More errors if it harms.")
@click.option(
    "--correlation",
    type=click.FloatRange(0, 0.99),
    default=0.3,
    show_default=True,
    help="Within a user.",
)
@click.pass_obj
def plan(session: Session, /, model: str, treatments: tuple[str, ...], **given: Any) -> None:
    """Say how many requests, and days, a plan takes to decide in four cases of five.

    Nothing of the register is asked or changed.
    """
    from herdbook.services.prospects import Expected, prospects

    assumed = {name: given.pop(name) for name in ("base_rate", "deviation", "harm", "correlation")}
    gain = given.pop("gain")
    made, traffic = imagined(model, treatments, given)
    found = prospects(made, Expected(confidence_gain=gain, **assumed, **traffic))
    session.answer(
        found, ids=[str(found.promotion_requests or "")], text=lambda: _text(session, found)
    )


def imagined(
    model: str, treatments: Sequence[str], given: dict[str, Any]
) -> tuple["Plan", dict[str, Any]]:
    """Make a plan that no register knows, and give the traffic that was said with it."""
    from herdbook.front.experiments import planned

    settings = trying.taken_plan(given)
    traffic = {name: settings.pop(name) for name in ("requests_per_day", "units_per_day")}
    settings.pop("dry_run", None)
    settings["control"] = settings.get("control") or "0.0.0-control"
    return planned("imagined", model, treatments, settings).checked(), traffic


def _text(session: Session, found: "Prospects") -> str:
    rows = [
        [
            _SAID.get(need.claim, need.claim),
            "never" if need.requests is None else f"{need.requests:,}",
            f"{need.single_look:,}",
            _days(need.days),
        ]
        for need in found.needs
    ]
    titles = ("to show that", ">requests", ">if looked at once", ">days")
    told = [Table(titles, rows, empty="").text(session.look), ""]
    if found.design_effect > 1.005:
        told.append(
            f"{found.design_effect:.3g} requests are worth one of a new user: they come again."
        )
    if found.promotion_requests is None:
        told.append("Such a plan never promotes: ask for less, or allow more.")
    else:
        days = "" if found.promotion_days is None else f", {_days(found.promotion_days)} days"
        told.append(f"A promotion takes about {found.promotion_requests:,} requests{days}.")
    return "\n".join(told)


def _days(days: float | None) -> str:
    return "-" if days is None else f"{days:.3g}"
