"""The way in: `herdbook …`, every command by name, every error with its exit status."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, TextIO

import click

from herdbook import __version__
from herdbook.cli import output
from herdbook.cli.commands import Later, LazyGroup
from herdbook.cli.session import Session
from herdbook.errors import HerdbookError, Invalid, Unauthenticated, Unavailable

PROGRAM: Final = "herdbook"
COMPLETE: Final = "_HERDBOOK_COMPLETE"

DONE, ANSWER_IS_NO, WRONG_USE = 0, 1, 2
NOT_FOUND, CONFLICT, ACCESS, UNREACHABLE, CORRUPT = 3, 4, 5, 6, 7
UNAVAILABLE, SCHEMA, NOT_BUILT = 8, 9, 10
UNEXPECTED, INTERRUPTED, PIPE_CLOSED = 70, 130, 141

# Every code to the status a command ends with; docs/errors.md says the same.
EXIT: Final[dict[str, int]] = {
    "error": UNEXPECTED,
    "refused": ANSWER_IS_NO,
    "bad_signature": ANSWER_IS_NO,
    "invalid": WRONG_USE,
    "invalid_filter": WRONG_USE,
    "unknown_field": WRONG_USE,
    "too_large": WRONG_USE,
    "task_failed": UNEXPECTED,
    "missing_extra": WRONG_USE,
    "not_found": NOT_FOUND,
    "gone": NOT_FOUND,
    "conflict": CONFLICT,
    "already_exists": CONFLICT,
    "immutable": CONFLICT,
    "stale_epoch": CONFLICT,
    "refused_move": CONFLICT,
    "cycle": CONFLICT,
    "key_reused": CONFLICT,
    "unauthenticated": ACCESS,
    "forbidden": ACCESS,
    "throttled": ACCESS,
    "unreachable": UNREACHABLE,
    "corrupt": CORRUPT,
    "unavailable": UNAVAILABLE,
    "owned": UNAVAILABLE,
    "schema_mismatch": SCHEMA,
    "not_built": NOT_BUILT,
}

_DAILY, _MORE, _HOUSE = "Every day", "Nouns", "The house itself"
_CLI = "herdbook.cli"

COMMANDS: Final[dict[str, Later]] = {
    "init": Later(_DAILY, f"{_CLI}.first_look:init", "Take a first look."),
    "list": Later(_DAILY, f"{_CLI}.models:list_", "List models and their versions."),
    "info": Later(_DAILY, f"{_CLI}.models:info", "Show a model or a version."),
    "versions": Later(_DAILY, f"{_CLI}.versions:versions", "List, show and change versions."),
    "add": Later(_DAILY, f"{_CLI}.registration:add", "Register a version."),
    "score": Later(_DAILY, f"{_CLI}.evaluations:score", "Record scores of a version."),
    "compare": Later(_DAILY, f"{_CLI}.summaries:compare", "Set versions side by side."),
    "best": Later(_DAILY, f"{_CLI}.summaries:best", "Show the version best at a metric."),
    "cheapest": Later(_DAILY, f"{_CLI}.summaries:cheapest", "Show the version cheapest to train."),
    "summary": Later(_DAILY, f"{_CLI}.summaries:summary", "Sum up a model or the register."),
    "search": Later(_DAILY, f"{_CLI}.versions:search", "Find versions of all models."),
    "deploy": Later(_DAILY, f"{_CLI}.deployments:deploy", "Point an alias at a version."),
    "rollback": Later(_DAILY, f"{_CLI}.deployments:rollback", "Move an alias back."),
    "tree": Later(_DAILY, f"{_CLI}.lineage:tree", "Draw who came from whom."),
    "lineage": Later(_DAILY, f"{_CLI}.lineage:lineage", "Show where a version comes from."),
    "models": Later(_MORE, f"{_CLI}.models:models", "Models: list, create, change, delete."),
    "deployments": Later(
        _MORE, f"{_CLI}.deployments:deployments", "Aliases and what was where, when, by whom."
    ),
    "experiments": Later(
        _MORE, f"{_CLI}.experiments:experiments", "Find out which version is better."
    ),
    "drift": Later(_MORE, f"{_CLI}.drift:drift", "See whether versions still hold."),
    "documents": Later(
        _MORE, f"{_CLI}.documents:documents", "Move vector stores to the next embeddings."
    ),
    "metrics": Later(_MORE, f"{_CLI}.evaluations:metrics", "Scores and operational averages."),
    "artifacts": Later(_MORE, f"{_CLI}.artifacts:artifacts", "The bytes of versions."),
    "datasets": Later(_MORE, f"{_CLI}.lineage:datasets", "Data sets versions were trained on."),
    "audit": Later(_MORE, f"{_CLI}.audit:audit", "Read and verify the audit log."),
    "tokens": Later(_MORE, f"{_CLI}.access:tokens", "Make and revoke access tokens."),
    "webhooks": Later(_MORE, f"{_CLI}.webhooks:webhooks", "Addresses that are told of changes."),
    "export": Later(_MORE, f"{_CLI}.transfer:export", "Write the whole register to a file."),
    "import": Later(_MORE, f"{_CLI}.transfer:import_", "Read an export or another tool's files."),
    "server": Later(_HOUSE, f"{_CLI}.server:server", "Serve the register over HTTP."),
    "db": Later(_HOUSE, f"{_CLI}.db:db", "Upgrade, check, back up, restore the database."),
    "observability": Later(
        _HOUSE, f"{_CLI}.observability:observability", "Grafana dashboard, Prometheus alerts."
    ),
    "doctor": Later(_HOUSE, f"{_CLI}.doctor:doctor", "Examine this installation."),
    "config": Later(_HOUSE, f"{_CLI}.config:config", "Show settings and where they come from."),
    "completion": Later(_HOUSE, f"{_CLI}.completion:completion", "Write a shell's completion."),
}


@click.group(
    PROGRAM,
    cls=LazyGroup,
    later=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        'add majora v1 --base-model "Qwen2.5-Coder-7B" --accuracy 0.85',
        "deploy majora v1",
        "info majora@champion",
    ),
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def app() -> None:
    """The register of every model version a team runs.

    It says what each version is, where it came from, how it scored and where it serves.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit status."""
    # Whoever closed a stream wants nothing on it; writing must not fail for that.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show ● shall not stop a deployment.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if COMPLETE in os.environ:
        app.main(prog_name=PROGRAM, complete_var=COMPLETE)
    session = Session()
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv), session)
        sys.stdout.flush()
    except BrokenPipeError:
        _hush(sys.stdout)
        return PIPE_CLOSED
    except OSError as error:
        # What was printed did not reach its end, such as a file on a full disk.
        _hush(sys.stdout)
        return _failed(_outside(error), session)
    return status


def _run(arguments: list[str], session: Session) -> int:
    try:
        with app.make_context(PROGRAM, arguments, obj=session) as context:
            app.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, EOFError, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the door: told once, with a way to see more
        return _told(error, session, arguments)
    return DONE


def _told(error: Exception, session: Session, arguments: list[str]) -> int:
    if isinstance(error, click.ClickException):
        return _wrong_use(error, session, arguments)
    if isinstance(error, HerdbookError):
        return _failed(error, session)
    if isinstance(error, OSError):
        return _failed(_outside(error), session)
    return _unexpected(error, session)


def _wrong_use(error: click.ClickException, session: Session, arguments: list[str]) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return WRONG_USE
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else PROGRAM
    session.as_json = session.as_json or "--json" in arguments
    told = error.format_message().rstrip(".")
    if not session.as_json:
        told = f"{told}{'' if told.endswith('?') else '.'} See `{path} --help`"
    _tell({"code": "invalid", "detail": told}, WRONG_USE, session)
    return WRONG_USE


def _failed(error: HerdbookError, session: Session) -> int:
    status = EXIT[error.code]
    body: dict[str, object] = {"code": error.code, "detail": _advised(error, session)}
    if error.field:
        body["field"] = error.field
    if error.details:
        body["details"] = error.details
    _tell(body, status, session)
    if session.verbose:
        _trace(error)
    return status


def _advised(error: HerdbookError, session: Session) -> str:
    if not isinstance(error, Unauthenticated) or "HERDBOOK_TOKEN" in error.message:
        return error.message
    token = "another token" if session.settings().token else "a token"
    return f"{error.message}; give {token} as HERDBOOK_TOKEN"


def _outside(error: OSError) -> HerdbookError:
    told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    wrong_path = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
    if isinstance(error, (*wrong_path, PermissionError)):
        return Invalid(told)
    return Unavailable(f"{told}; the answer could not be written or read in full")


def _unexpected(error: Exception, session: Session) -> int:
    told = f"{type(error).__name__}: {error}. This is a fault of Herdbook; --debug shows where"
    _tell({"code": "error", "detail": told}, UNEXPECTED, session)
    if session.verbose:
        _trace(error)
    return UNEXPECTED


def _tell(body: dict[str, object], status: int, session: Session) -> None:
    if session.as_json:
        click.echo(json.dumps({**body, "exit_status": status}, default=str), err=True)
        return
    color = output.look(sys.stderr, no_color=session.no_color).color
    head = click.style("error:", fg="red", bold=True) if color else "error:"
    field = f" (field: {body['field']})" if "field" in body else ""
    click.echo(f"{head} {output.line(str(body['detail']))}{field}", err=True, color=color)


def _trace(error: BaseException) -> None:
    import traceback

    click.echo("".join(traceback.format_exception(error)), err=True)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _hush(stream: IO[str]) -> None:
    # Whoever read the output has gone; what is left in the buffer has nowhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
