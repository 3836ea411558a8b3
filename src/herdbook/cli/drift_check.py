"""`herdbook drift check`: whether the columns of a file still look like those of another."""

from pathlib import Path
from typing import Any, Final

import click

from herdbook.cli.commands import command
from herdbook.cli.drift_words import conclusion, notes, rounded
from herdbook.cli.output import Table, line
from herdbook.cli.progress import progress
from herdbook.cli.session import Session
from herdbook.core.checking import THRESHOLD, Check, ColumnCheck, Limits, Verdict
from herdbook.core.drift import Moved
from herdbook.errors import Unavailable

ANSWER_IS_NO: Final = 1
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@command(
    "check",
    examples=(
        "drift check --reference ref.parquet --current prod.parquet",
        "drift check --reference ref.csv --current prod.csv --column score --column country",
        "drift check --reference ref.parquet --current prod.parquet --html report.html",
    ),
)
@click.option("--reference", type=_FILE, required=True, help="How it was when all was well.")
@click.option("--current", type=_FILE, required=True, help="How it is now.")
@click.option("--column", "columns", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--categorical", multiple=True, help="A column of numbers that are names; may be repeated."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=THRESHOLD,
    show_default=True,
    help="From which distance on it is drift: Kolmogorov-Smirnov of numbers, Jensen-Shannon of "
    "categories.",
)
@click.option("--html", type=_FILE, help="Write a page with plots there.")
@click.pass_obj
def check(
    session: Session, /, reference: Path, current: Path, threshold: float, **given: Any
) -> None:
    """Compare the columns of two files: Parquet, CSV, .npy or .npz, of any size.

    A column drifts when its distance reaches the threshold and is more than chance brings, or when
    the share of missing values jumps. Columns of vectors are compared by a classifier. Ends with 1
    when a column drifted. No register is opened.
    """
    # Reading files waits behind this import, so help stays fast.
    from herdbook.front.checking import check_files
    from herdbook.front.columns import read_bytes

    with progress(
        session, f"Checking {line(current.name)}", read_bytes(reference, current)
    ) as said:
        found = check_files(
            reference,
            current,
            columns=given["columns"],
            categorical=given["categorical"],
            limits=Limits(threshold=threshold),
            said=said,
        )
    if given["html"] is not None:
        _write(given["html"], found)
    session.answer(found, ids=found.drifted, text=lambda: _text(session, found))
    if found.drifted:
        raise click.exceptions.Exit(ANSWER_IS_NO)


def _write(path: Path, found: Check) -> None:
    from herdbook.cli.drift_page import page

    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror or error}") from error


def _text(session: Session, found: Check) -> str:
    rows = [_row(each) for each in found.columns]
    titles = ("Column", "Said", ">Distance", ">p", "Why", ">PSI", ">Missing", ">Reference", ">Now")
    told = [Table(titles, rows, empty="No column could be compared.").text(session.look), ""]
    told += [_moves(each) for each in found.columns if each.verdict is Verdict.DRIFT]
    told += notes(found)
    told.append(conclusion(found))
    return "\n".join(told)


def _row(each: ColumnCheck) -> tuple[str, ...]:
    return (
        each.column,
        str(each.verdict).replace("_", " "),
        rounded(each.distance),
        rounded(each.p_value),
        each.why,
        rounded(each.psi),
        f"{each.current.missing_share:.1%}",
        f"{each.reference.values:,}",
        f"{each.current.values:,}",
    )


def _moves(each: ColumnCheck) -> str:
    parts = [_move(moved) for moved in each.moved[:3]]
    return f"{line(each.column)}: " + (", ".join(parts) if parts else line(each.why))


def _move(moved: Moved) -> str:
    return f"{line(moved.what)} {moved.reference:.1%} → {moved.current:.1%}"
