"""`herdbook experiments …`."""

from collections.abc import Callable
from typing import Any, Final

import click

from herdbook.cli import evidence, planning, trying
from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.output import line
from herdbook.cli.session import DRY, Session
from herdbook.core.experiments import Experiment, State
from herdbook.errors import Invalid

STATES: Final = tuple(str(state) for state in State)
DECISIONS: Final = ("promote", "rollback", "stop")


def _name_argument(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("name", metavar="NAME")(command)


def _answer(session: Session, found: Experiment, told: str) -> None:
    session.answer(found, ids=[found.name], text=lambda: told)


@group(
    "experiments",
    examples=(
        "experiments start majora_v3_test majora v3 --traffic 10",
        "experiments list",
        "experiments finalize majora_v3_test promote --yes",
    ),
)
def experiments() -> None:
    """Versions that serve at once, until it is known which is better."""


@experiments.command(
    "start",
    examples=(
        "experiments start majora_v3_test majora v3 --traffic 10",
        "experiments start gnn_aa gnn --aa",
        "experiments start gnn_ramp gnn v2.2 --ramp 1,5,10,25,50 --guardrail inference_time_ms:p95",
        "experiments start oracle_de oracle v3 v4 --target country=de,at --requests-per-day 20000 "
        "--dry-run",
    ),
)
@click.argument("name", metavar="NAME")
@take.model_argument()
@click.argument("treatments", metavar="[TREATMENT...]", nargs=-1)
@trying.plan_options
@click.option(
    "--aa", is_flag=True, help="Compare the champion with itself: is all sound? Without TREATMENT."
)
@take.dry_run_option
@click.pass_obj
def start(
    session: Session, /, name: str, model: str, treatments: tuple[str, ...], **given: Any
) -> None:
    """Try one or more versions of a model against its champion.

    Those who are not part of it get the champion, as before. What cannot work about the plan is
    said on standard error.
    """
    dry_run = given["dry_run"]
    if not treatments and not given["aa"]:
        raise Invalid(
            f"say which version of {model} is tried, such as v2; or --aa to compare its champion "
            "with itself",
            field="treatments",
        )
    settings = trying.taken_plan(given)
    with session.book() as book:
        made = book.experiments.start(name, model, treatments, **settings)
    _answer(session, made, trying.begun(made, dry_run=dry_run))
    for warning in made.warnings if not session.as_json else ():
        session.note(f"Warning: {line(warning)}")
    if dry_run:
        session.note(DRY)


@experiments.command(
    "list",
    examples=("experiments list", "experiments list majora --state running"),
)
@take.model_argument(required=False)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@take.page_options
@click.pass_obj
def list_(
    session: Session, model: str | None, state: str | None, page_size: int, page: str | None
) -> None:
    """List experiments, newest first."""
    with session.book() as book:
        found = book.experiments.list(
            model or "", state=state or "", page_size=page_size, page=page
        )
    session.page(
        found,
        ids=[each.name for each in found.items],
        text=lambda: trying.table(session, found.items),
    )


@experiments.command("show", examples=("experiments show majora_v3_test",))
@_name_argument
@click.pass_obj
def show(session: Session, name: str) -> None:
    """Show what an experiment compares, its figures and intervals, and how it stands.

    They are those of the last look; `evaluate` takes in what came since.
    """
    with session.book() as book:
        found = book.experiments.get(name)
        judged = None if session.as_json else book.experiments.evaluation(name)
    told = [trying.text(session, found)]
    told += ["", evidence.last_look(session, judged)] if judged else []
    _answer(session, found, "\n".join(told))


@experiments.command(
    "pause", examples=('experiments pause majora_v3_test --reason "incident upstream"',)
)
@_name_argument
@take.reason_option
@click.pass_obj
def pause(session: Session, name: str, reason: str) -> None:
    """Give all units the champion until it goes on."""
    with session.book() as book:
        found = book.experiments.pause(name, reason=reason)
    _answer(session, found, f"{found.name} pauses: all get the champion of {found.model}.")


@experiments.command("resume", examples=("experiments resume majora_v3_test",))
@_name_argument
@click.pass_obj
def resume(session: Session, name: str) -> None:
    """Go on with a paused experiment, in a new phase with the same units."""
    with session.book() as book:
        found = book.experiments.resume(name)
    _answer(session, found, f"{found.name} goes on in phase {found.phase.number}.")


@experiments.command("widen", examples=("experiments widen majora_v3_test",))
@_name_argument
@click.pass_obj
def widen(session: Session, name: str) -> None:
    """Go to the next stage of the ramp; who takes part already keeps their version."""
    with session.book() as book:
        found = book.experiments.widen(name)
    told = f"{found.name} is in phase {found.phase.number}: {trying.traffic(found)}."
    _answer(session, found, told)


@experiments.command(
    "finalize",
    examples=(
        'experiments finalize majora_v3_test promote --reason "fewer errors" --yes',
        "experiments finalize oracle_de promote --winner v4 --dry-run",
        "experiments finalize majora_v3_test stop --yes",
    ),
)
@_name_argument
@click.argument("decision", type=click.Choice(DECISIONS), metavar="promote|rollback|stop")
@click.option("--winner", default="", help="What to promote, of several: a number, or treatment-2.")
@take.reason_option
@take.yes_option
@take.dry_run_option
@click.pass_obj
def finalize(
    session: Session, /, name: str, decision: str, *, yes: bool, dry_run: bool, **given: Any
) -> None:
    """End an experiment: its treatment becomes champion, or the control stays.

    rollback says that the control is better, stop nothing. An experiment that ended does not
    begin again.
    """
    session.confirm(f"End {name} with {decision}?", yes=yes or dry_run)
    with session.book(dry_run=dry_run) as book:
        found = book.experiments.finalize(name, decision, **given)
    _answer(session, found, trying.over(found, dry_run=dry_run))


for known in (
    evidence.evaluate,
    evidence.history,
    evidence.watch,
    evidence.replay,
    planning.plan,
    evidence.simulate,
):
    experiments.add_command(known)
