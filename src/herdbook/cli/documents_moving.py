"""`herdbook documents path`, `plan`, `migrate`, `verify`: to the next version's embeddings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from herdbook.cli import documents_taking as taking
from herdbook.cli import documents_texts
from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.documents_progress import told_of
from herdbook.cli.session import DRY, Session
from herdbook.core.migrations import Migration, MigrationPhase, Options, Step, Way
from herdbook.core.pages import Page
from herdbook.errors import HerdbookError, Invalid, Refused

if TYPE_CHECKING:
    from herdbook.core.documents import Collection
    from herdbook.front.moving.moved import MovedDocuments
    from herdbook.front.moving.telling import News, Said

ANSWER_IS_NO = 1


@command(
    "path",
    examples=(
        "documents path gbert v1 v2",
        "documents path gbert 1.0.0 2.0.0 --strategies my_strategies",
    ),
)
@take.model_argument()
@click.argument("from_version", metavar="FROM")
@click.argument("to_version", metavar="TO")
@taking.strategies_option
@click.pass_obj
def path(
    session: Session, model: str, from_version: str, to_version: str, strategies: str | None
) -> None:
    """Show the cheapest way of documents from a version to another, forwards or back.

    Without a strategy it is one step that embeds anew.
    """
    with taking.book_of(session) as book:
        held = book.documents
        taking.register_strategies(held, strategies)
        begin = book.versions.get(take.reference(model, from_version)).number
        end = book.versions.get(take.reference(model, to_version)).number
        steps: tuple[Step, ...] = (Step(from_version=begin, to_version=end, way=Way.REEMBED),)
        if held.edges(model) or begin == end:
            steps = held.find_migration_path(model, begin, end)
    session.answer(
        Page(items=tuple(steps)),
        ids=[each.to_version for each in steps],
        text=lambda: documents_texts.path_table(steps),
    )


@command(
    "plan",
    examples=(
        "documents plan handbook --to v2",
        "documents plan handbook --to v2 --encoder https://host/v1 --price 0.02",
    ),
)
@taking.name_argument
@taking.to_option()
@taking.encoder_options
@taking.strategies_option
@taking.option_options
@click.option(
    "--sampled",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Documents that are tried.",
)
@click.pass_obj
def plan(session: Session, /, name: str, **given: Any) -> None:
    """Show what a migration would be and take; nothing is changed anywhere.

    Documents, tokens, hours and money from a timed sample, the space it takes, texts that are
    missing, spaces that are mixed, and what ten documents would become.
    """
    _planned(session, name, given)


def _planned(session: Session, name: str, given: dict[str, Any]) -> None:
    encoder, options = taking.taken_encoder(given), taking.given_options(given)
    with taking.documents_of(session) as held:
        taking.register_strategies(held, given["strategies"])
        found = held.rehearse(
            name,
            to=given["to"],
            options=Options(**options),
            sampled=given["sampled"],
            **encoder,
        )
    session.answer(
        found,
        ids=[found.migration.to_version],
        text=lambda: documents_texts.estimate_text(session, found.migration, found.estimate),
    )
    session.note(DRY)


@command(
    "migrate",
    examples=(
        "documents migrate handbook --to v2 --queries queries.jsonl",
        "documents migrate handbook",
        "documents migrate handbook --to @champion --without-queries --rate 50 --cut-over",
        "documents migrate handbook --to v2 --queries queries.jsonl --engine ray://head:10001 "
        "--workers 8",
    ),
)
@taking.name_argument
@taking.to_option(required=False)
@taking.encoder_options
@taking.strategies_option
@taking.option_options
@taking.demand_options
@click.option(
    "--engine",
    default="local",
    show_default=True,
    help="local, ray, or a cluster: ray://host:10001.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Processes; 0 for this one.",
)
@click.option("--cut-over", is_flag=True, help="Let readers search it once it is verified.")
@take.dry_run_option
@click.pass_obj
def migrate(session: Session, /, name: str, *, cut_over: bool, dry_run: bool, **given: Any) -> None:
    """Move a collection to another version's embeddings, until that is verified.

    Without --to it goes on with what is under way. It may be stopped, or killed, at any moment:
    the same command goes on. Writers and readers that use Herdbook go on meanwhile; readers are
    switched by `cutover`. Ends with 1 when the verification says no.
    """
    if dry_run:
        if not given["to"]:
            raise Invalid("say where to: --to", field="to")
        _planned(session, name, given)
        return
    carried = {key: given.pop(key) for key in ("engine", "workers")}
    demands = taking.taken_demands(given)
    encoder, options = taking.taken_encoder(given), taking.given_options(given)
    with taking.documents_of(session) as held:
        taking.register_strategies(held, given.pop("strategies"))
        found = held.get(name)
        if found.migration:
            _go_on(held, found, options, encoder)
        else:
            encoder["options"] = Options(**options)
        if not (demands.queries or demands.without_queries) and _embeds(held, found):
            session.note(
                "No labelled queries were given: nobody will know whether answers are as good, and "
                "the verification says no; --queries FILE, or --without-queries."
            )
        with _carrying(session, held, name, **carried) as carrying:
            done = held.move(name, to=given["to"], demands=demands, carrying=carrying, **encoder)
        if cut_over and done.phase is MigrationPhase.VERIFIED:
            held.cut_over(done.id)
        done = held.migration(done.id)  # without the lease it was carried out with
    _answer(session, done)


def _go_on(
    held: "MovedDocuments", found: "Collection", options: dict[str, Any], encoder: dict[str, Any]
) -> None:
    """Take what may be changed of a migration that is under way: its budget.

    The command it was begun with goes on with it; what would be ignored is refused.
    """
    begun = held.migration(found.migration)
    budget = options.pop("budget", begun.options.budget)
    more = {key: encoder.pop(key) for key in list(encoder) if key != "encoder"}
    fixed = [
        f"--{key.replace('_', '-')}"
        for said, known in ((options, begun.options), (more, begun.target.encoder))
        for key, value in said.items()
        if getattr(known, key, value) != value
    ]
    if fixed:
        raise Invalid(
            f"{found.migration} of {found.name} is under way; {', '.join(fixed)} cannot be changed "
            f"any more: leave out, or roll it back first (`herdbook documents rollback "
            f"{found.name}`)",
            field="options",
        )
    if budget != begun.options.budget:
        held.resume(found.migration, budget=budget)


def _embeds(held: "MovedDocuments", found: "Collection") -> bool:
    """Whether it surely embeds anew, as it does without strategies."""
    if found.migration:
        return held.migration(found.migration).embeds
    return not held.edges(found.model)


def _answer(session: Session, done: Migration) -> None:
    session.answer(
        done,
        ids=[done.id],
        text=lambda: documents_texts.migration_text(session, done),
    )
    if not session.as_json:
        session.note(documents_texts.next_text(done))
    if done.phase is MigrationPhase.VERIFY:
        raise click.exceptions.Exit(ANSWER_IS_NO)


@contextmanager
def _carrying(session: Session, held: "MovedDocuments", name: str, **how: Any) -> Iterator[Any]:
    """Tell how it goes, and at Ctrl-C how to go on."""
    from herdbook.front.moving.moved import Carrying

    try:
        with told_of(session, name) as said:
            yield Carrying(said=_stopping(said, held, name), **how)
    except KeyboardInterrupt:
        if _is_under_way(held, name):
            session.note(
                f"Nothing is lost: `herdbook documents migrate {name}` goes on where it was, "
                f"`herdbook documents rollback {name}` gives it up."
            )
        raise


def _is_under_way(held: "MovedDocuments", name: str) -> bool:
    try:
        return bool(held.get(name).migration)
    except HerdbookError:
        return False


def _stopping(said: "Said", held: "MovedDocuments", name: str) -> "Said":
    """Stop once the budget is spent: nobody waits at a terminal for more money."""
    waiting = ""

    def telling(news: "News") -> None:
        nonlocal waiting
        said(news)
        if not news.waiting or news.waiting == waiting:
            return
        waiting = news.waiting
        found = held.status(name)
        if found.paused and documents_texts.is_spent(found):
            raise Refused(
                f"the budget of {documents_texts.money(found.options.budget)} is spent, "
                f"{documents_texts.done_text(found)} documents are done; "
                f"`herdbook documents migrate {name} --budget MORE` goes on",
                field="budget",
            )

    return telling


@command(
    "verify",
    examples=(
        "documents verify handbook --queries queries.jsonl",
        "documents verify handbook --queries queries.jsonl --k 5 --margin 0.01",
    ),
)
@taking.name_argument
@taking.demand_options
@click.pass_obj
def verify(session: Session, /, name: str, **given: Any) -> None:
    """Compare a target with what it was made from, once more if need be; ends with 1 for no.

    Ids and contents are the same, one space only, a sample comes out the same when embedded again,
    and on the labelled queries nDCG and recall are no worse by more than the margin.
    """
    demands = taking.taken_demands(given)
    with taking.documents_of(session) as held, _carrying(session, held, name) as carrying:
        done = held.migration(held.verify(name, demands=demands, carrying=carrying).id)
    _answer(session, done)
