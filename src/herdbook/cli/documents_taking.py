"""What several commands of `herdbook documents` take, and the surroundings they work in."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli.session import Session
from herdbook.errors import Invalid

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook
    from herdbook.front.moving.moved import MovedDocuments
    from herdbook.front.moving.proving import Demands

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_ENCODER: Final = {
    "prefix": "prefix",
    "query_prefix": "query_prefix",
    "pooling": "pooling",
    "chunker": "chunker",
    "price": "price_per_million_tokens",
    "batch": "batch",
    "remote_model": "remote_model",
    "dimension": "dimension",
    "normalize": "normalize",
}
_DEMANDS: Final = ("k", "margin", "sampled", "accept_set_aside", "without_queries")


@contextmanager
def book_of(session: Session) -> "Iterator[Herdbook]":
    """Open the register; modules of this folder can be imported, after all that is installed.

    An encoder `python:module:function` and a module of strategies mostly lie where one works.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    with session.book() as book:
        yield book


@contextmanager
def documents_of(session: Session) -> "Iterator[MovedDocuments]":
    """Open the collections of the register, likewise."""
    with book_of(session) as book:
        yield book.documents


def name_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Take NAME."""
    return click.argument("name", metavar="NAME")(command)


def which_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Take NAME or the id of a migration."""
    return click.argument("name", metavar="NAME|ID")(command)


def to_option(*, required: bool = True) -> Decorator:
    """Take --to."""
    return click.option(
        "--to",
        required=required,
        default=None if required else "",
        metavar="VERSION",
        help="The version that is to embed: v2, or @champion.",
    )


def encoder_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take --encoder and what is to be said of it."""
    for option in reversed(_ENCODER_OPTIONS):
        command = option(command)
    return command


_ENCODER_OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option(
        "--encoder",
        metavar="SOURCE",
        help="python:module:function or https://host/v1; left out, the version's own files.",
    ),
    click.option("--prefix", help="Put before every document."),
    click.option("--query-prefix", help="Put before every query."),
    click.option("--pooling", type=click.Choice(("mean", "cls", "max")), help="If no file says."),
    click.option("--chunker", help="What cut the documents, if that is to be told apart."),
    click.option(
        "--price", type=click.FloatRange(min=0), metavar="AMOUNT", help="Of a million tokens."
    ),
    click.option("--batch", type=click.IntRange(1, 4_096), help="Texts embedded at once."),
    click.option("--remote-model", help="The name an embedding service knows it by."),
    click.option("--dimension", type=click.IntRange(1), help="Asked of an embedding service."),
    click.option(
        "--normalize/--as-is", default=None, help="Make vectors ones of length 1, or leave them."
    ),
)


def taken_encoder(given: dict[str, Any]) -> dict[str, Any]:
    """Take the encoder out of a command's options, as arguments of `book.documents`."""
    said = {name: given.pop(option) for option, name in _ENCODER.items()}
    found = {name: value for name, value in said.items() if value is not None}
    encoder = given.pop("encoder")
    return found | ({"encoder": encoder} if encoder else {})


def strategies_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --strategies."""
    return click.option(
        "--strategies",
        metavar="MODULE",
        help="A module whose register(documents) registers strategies.",
    )(command)


def register_strategies(documents: "MovedDocuments", module: str | None) -> None:
    """Import a module and let it register its strategies.

    Raises:
        Invalid: it cannot be imported, or registers none.
    """
    if not module:
        return
    if module.endswith(".py") or "/" in module:
        name = Path(module).stem
        raise Invalid(
            f"{module!r:.200} is a file; name the module, as --strategies {name}: migrations are "
            "gone on with by that name",
            field="strategies",
        )
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise Invalid(
            f"{module} cannot be imported: {type(error).__name__}: {error}"[:400],
            field="strategies",
        ) from error
    register = getattr(found, "register", None)
    if not callable(register):
        raise Invalid(
            f"{module} has no register(documents); write one that calls "
            "documents.register_strategy(…)",
            field="strategies",
        )
    register(documents)


def demand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take what is asked of a target before the cut."""
    for option in reversed(_DEMAND_OPTIONS):
        command = option(command)
    return command


_QUERIES: Final = click.option(
    "--queries", type=FILE, metavar="FILE", help="Labelled queries, a line of JSON each."
)
_K: Final = click.option(
    "--k", type=click.IntRange(1, 1_000), default=10, show_default=True, help="Answers that count."
)
_DEMAND_OPTIONS: Final[tuple[Decorator, ...]] = (
    _QUERIES,
    _K,
    click.option(
        "--margin",
        type=click.FloatRange(0, 1),
        default=0.02,
        show_default=True,
        help="How much worse nDCG and recall may be.",
    ),
    click.option(
        "--sampled",
        type=click.IntRange(1, 10_000),
        default=64,
        show_default=True,
        help="Documents embedded again.",
    ),
    click.option(
        "--accept-set-aside", is_flag=True, help="Let documents be missing that cannot be moved."
    ),
    click.option("--without-queries", is_flag=True, help="Let the quality go unmeasured."),
)


def query_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take --queries and --k only."""
    return _QUERIES(_K(command))


def taken_demands(given: dict[str, Any]) -> "Demands":
    """Take the demands out of a command's options; the file of queries is read."""
    from herdbook.front.moving.proving import Demands
    from herdbook.front.moving.queries import queries_of

    path = given.pop("queries")
    kept = {name: given.pop(name) for name in _DEMANDS if name in given}
    return Demands(queries=queries_of(path) if path else (), **kept)


def option_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take how a migration is carried out."""
    for option in reversed(_OPTION_OPTIONS):
        command = option(command)
    return command


_OPTION_OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option(
        "--shard",
        type=click.IntRange(1, 10_000),
        help="Documents done and noted at once; left out, those of about five seconds.",
    ),
    click.option("--rate", type=click.FloatRange(min=0), help="Documents a second at most."),
    click.option("--budget", type=click.FloatRange(min=0), help="What embedding may cost."),
    click.option("--text-limit", type=click.IntRange(1), help="Characters of a text at most."),
    click.option("--field", is_flag=True, help="Into another vector field of the collection."),
)


def given_options(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a migration out of a command's, those that were given."""
    names = ("shard", "rate", "budget", "text_limit", "field")
    return {name: value for name in names if (value := given.pop(name)) not in (None, False)}
