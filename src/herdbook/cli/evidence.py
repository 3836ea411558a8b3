"""`herdbook experiments evaluate`, `history`, `watch`, `replay`, `simulate`: what is known."""

import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli import trying
from herdbook.cli.commands import command
from herdbook.cli.intervals import intervals_table
from herdbook.cli.output import Table, line, number
from herdbook.cli.planning import imagined
from herdbook.cli.session import Session
from herdbook.core.decisions import Evaluation, TreatmentEvaluation, Watched
from herdbook.core.experiments import State
from herdbook.errors import Invalid

if TYPE_CHECKING:
    from herdbook.services.rehearsing import Rehearsal

LANGUAGES: Final = ("en", "ru", "de")
_POINTS: Final = 100.0
_CLAIMS: Final = {
    "harm": "more errors",
    "harm_beyond_limit": "more than allowed",
    "not_inferior": "not more than allowed",
}


def _language(function: Any) -> Any:
    return click.option(
        "--language",
        type=click.Choice(LANGUAGES),
        default="en",
        show_default=True,
        help="Of the recommendation.",
    )(function)


@command(
    "evaluate",
    examples=("experiments evaluate gnn_v2.2_test", "experiments evaluate gnn_v2.2_test --json"),
)
@click.argument("name", metavar="NAME")
@_language
@click.pass_obj
def evaluate(session: Session, name: str, language: str) -> None:
    """Take in all that was recorded and say what it says; nothing is acted on."""
    with session.book() as book:
        judged = book.experiments.evaluate(name, language=language)
        stands = trying.standing(book.experiments.get(name))
    session.answer(
        judged, ids=[str(judged.decision)], text=lambda: evaluation_text(session, judged)
    )
    if stands and not session.as_json:
        session.note(stands)


@command(
    "history",
    examples=(
        "experiments history gnn_v2.2_test",
        "experiments history gnn_v2.2_test --plot gnn.svg",
    ),
)
@click.argument("name", metavar="NAME")
@click.option("--lines", type=click.IntRange(2, 1_000), default=24, show_default=True)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw it into a file instead, .png or .svg.",
)
@click.pass_obj
def history(session: Session, name: str, lines: int, plot: Path | None) -> None:
    """Show how the evidence came about: the interval of the difference, look by look."""
    with session.book() as book:
        found = book.experiments.history(name)
        plan = book.experiments.get(name).plan
    if plot is not None:
        from herdbook.cli.plots import drawn_to

        drawn_to(plot, plan, found.items)
        session.answer({"plot": str(plot)}, ids=[str(plot)], text=lambda: f"{plot} is drawn.")
        return
    session.answer(
        found,
        ids=[str(point.decision) for point in found.items],
        text=lambda: intervals_table(session, found.items, lines=lines),
    )


@command("watch", examples=("experiments watch gnn_v2.2_test",))
@click.argument("name", metavar="NAME")
@click.option("--every", type=click.FloatRange(0.5, 3_600), default=2.0, show_default=True)
@_language
@click.pass_obj
def watch(session: Session, name: str, every: float, language: str) -> None:
    """Show an experiment until it ends: its figures and intervals whenever something is new."""
    if math.isnan(every):
        raise Invalid("--every is nan; give seconds, such as 2", field="every")
    shown = None
    with session.book() as book:
        while True:
            book.experiments.look()
            found = book.experiments.get(name)
            judged = book.experiments.evaluation(name, language=language)
            if judged.batches != shown:
                shown = judged.batches
                text = partial(_watched, session, judged)
                session.answer(judged, ids=[str(judged.decision)], text=text)
            if found.state is State.ENDED:
                break
            time.sleep(every)
    if not session.as_json:
        session.note(f"{name} ended: {found.outcome}. {line(found.reason)}")


@command("replay", examples=("experiments replay gnn_v2.2_test",))
@click.argument("name", metavar="NAME")
@click.pass_obj
def replay(session: Session, name: str) -> None:
    """Make the evidence anew from what was recorded, and compare it with what is kept."""
    with session.book() as book:
        judged = book.experiments.replay(name)
    batches = "1 batch comes" if judged.batches == 1 else f"{judged.batches:,} batches come"
    told = f"{name}: its {batches} to the same evidence, to the last bit."
    if not judged.batches:
        told = f"{name}: nothing was recorded yet, so there is nothing to compare."
    session.answer(judged, ids=[name], text=lambda: told)


@command(
    "simulate",
    examples=(
        "experiments simulate majora v3 --traffic 10",
        "experiments simulate majora v3 --confidence-gain 0.025 --runs 500",
    ),
)
@take.model_argument()
@click.argument("treatments", metavar="TREATMENT...", nargs=-1, required=True)
@trying.plan_options
@click.option("--error-rate", type=float, default=0.02, show_default=True, help="Of the control.")
@click.option("--error-increase", type=float, default=0.0, help="Of the treatment, truly.")
@click.option("--confidence-gain", type=float, default=0.0, help="Of the treatment, truly.")
@click.option("--units", type=click.IntRange(1), help="So many users come again and again.")
@click.option("--correlation", type=click.FloatRange(0, 0.99), default=0.0, help="Within a user.")
@click.option("--runs", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.pass_obj
def simulate(session: Session, /, model: str, treatments: tuple[str, ...], **given: Any) -> None:
    """Try a plan on made-up traffic: how often would it decide, and how often wrongly?

    Without an effect every promotion and every rollback would be a mistake. Nothing of the
    register is asked or changed.
    """
    from herdbook.services.rehearsing import World, rehearsed

    kept = ("error_rate", "error_increase", "confidence_gain", "units", "correlation")
    world = World(**{name: given.pop(name) for name in kept})
    if world.correlation and world.units is None:
        raise Invalid("--correlation is within a user: give --units too", field="correlation")
    runs, seed = given.pop("runs"), given.pop("seed")
    plan, _ = imagined(model, treatments, given)
    unseen = session.quiet or not sys.stderr.isatty()
    with click.progressbar(length=runs, file=sys.stderr, hidden=unseen) as bar:
        found = rehearsed(
            plan, world, runs=runs, seed=seed, progress=lambda done, _: bar.update(done - bar.pos)
        )
    session.answer(found, ids=[str(found.promoted)], text=lambda: _simulated(found))


def _simulated(found: "Rehearsal") -> str:
    decided = found.promoted + found.rolled_back + found.held
    rows = [
        ("promoted", found.promoted, found.promoted_after),
        ("rolled back", found.rolled_back, found.rolled_back_after),
        ("on hold", found.held, None),
        ("undecided", found.runs - decided, None),
    ]
    told = [f"{found.runs:,} experiments on made-up traffic"]
    for what, count, after in rows:
        when = f", half of them after {after:,.0f} requests" if after else ""
        told.append(f"  {what:12} {count / found.runs:7.1%}{when}")
    return "\n".join(told)


def evaluation_text(session: Session, judged: Evaluation) -> str:
    """Write what the evidence says: figures, intervals, proofs, the recommendation."""
    look = session.look
    parts = [
        _arms(judged).text(look),
        "",
        *(_treatment(session, judged, each) for each in judged.treatments),
        "",
        f"{session.style(str(judged.decision), bold=True)}: {line(judged.recommendation)}",
    ]
    if judged.clustering != "known":
        parts.append(
            f"Clustering is {judged.clustering}: results without a unit are taken as independent."
        )
    if judged.late:
        parts.append(f"{judged.late:,} results came too late to count.")
    if judged.mismatched:
        parts.append("The arms do not get the units they should: no comparison can be trusted.")
    return "\n".join(parts)


def _arms(judged: Evaluation) -> Table:
    rows = [
        [
            arm.arm,
            arm.number,
            f"{arm.results:,}",
            f"{arm.units:,}",
            _percent(arm.error_rate),
            _short(arm.confidence),
            _short(arm.inference_time_ms),
            _short(arm.p95_ms),
            str(arm.lost or ""),
        ]
        for arm in judged.arms
    ]
    titles = (
        *("arm", "version", ">results", ">units", ">errors", ">confidence"),
        *(">ms", ">p95 ms", ">lost"),
    )
    return Table(titles, rows, empty="")


def compared_text(session: Session, judged: Evaluation) -> str:
    """Write how each treatment compares with control, metric by metric, or nothing."""
    return "\n".join(
        f"{found.arm} ({found.number}) against control\n{_compared(session, judged, found)}"
        for found in judged.treatments
        if found.intervals
    )


def _compared(session: Session, judged: Evaluation, found: TreatmentEvaluation) -> str:
    arms = judged.metrics("control"), judged.metrics(found.arm)
    rows = [
        [
            each.metric,
            *(_short(arm.mean(each.metric)) for arm in arms),
            *(_signed(value) for value in (each.difference, each.low, each.high)),
        ]
        for each in found.intervals
    ]
    titles = ("metric", ">control", f">{found.arm}", ">difference", ">at least", ">at most")
    return Table(titles, rows, empty="").text(session.look)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4g}"


def _treatment(session: Session, judged: Evaluation, found: TreatmentEvaluation) -> str:
    told = [f"{found.arm} ({found.number}) against control"]
    if found.intervals:
        told += [_compared(session, judged, found)]
    width = max([20, *(len(line(each.name)) for each in found.guardrails)])
    for proof in found.proofs:
        says = "proven" if proof.proven else "not proven"
        told.append(
            f"  {_CLAIMS.get(proof.claim, proof.claim):{width}} "
            f"{10 ** min(proof.log10_e, 9):.3g} to one"
            f" ({says}; {10**proof.needed:.3g} are needed)"
        )
    for watched in found.guardrails:
        told.append(f"  {line(watched.name):{width}} {_guarded(watched)}")
    return "\n".join(told)


def _guarded(found: Watched) -> str:
    if found.control is None or found.treatment is None:
        return "nothing is known yet"
    says = "got worse" if found.harmed else "not proven to be worse"
    return f"{says}: {_short(found.control)} to {_short(found.treatment)}"


def _short(value: float | None) -> str:
    """Give four digits: what is behind them is noise here."""
    return number(None if value is None else float(f"{value:.4g}"))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * _POINTS:.3g} %"


def last_look(session: Session, judged: Evaluation) -> str:
    """Write what was seen when an experiment was last looked at."""
    if not judged.batches:
        return "Nothing was recorded yet."
    return f"Last look\n{_watched(session, judged)}"


def _watched(session: Session, judged: Evaluation) -> str:
    counts = ", ".join(f"{arm.arm} {arm.results:,}" for arm in judged.arms)
    told = f"{session.when(judged.at)}  {counts}  {judged.decision}: {line(judged.recommendation)}"
    return "\n".join(filter(None, (told, compared_text(session, judged))))
