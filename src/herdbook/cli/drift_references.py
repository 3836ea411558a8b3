"""`herdbook drift reference`: what all was well looked like, from a file."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.reference_files import Columns
from herdbook.cli.session import Session
from herdbook.core.drift import CONFIDENCE, PREDICTION, Watched
from herdbook.core.references import CATEGORIES_LIMIT, Kind, Reference
from herdbook.errors import Invalid

_FEW: Final = 500
# Of values that are worth fewer independent ones, hardly any change can be told from chance.
_LEAST_WORTH: Final = 100


def _column(option: str, help_: str) -> take.Decorator:
    return click.option(option, default="", metavar="COLUMN", help=help_)


@command(
    "reference",
    examples=(
        "drift reference gnn:v2.1.0 reference.csv",
        "drift reference gnn:v2.1.0 validation.parquet --prediction score --feature age",
        "drift reference oracle:v2 answers.csv --prediction class --categorical class --dry-run",
    ),
)
@take.ref_argument()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@_column("--prediction", "What was predicted; left out, the column `prediction`.")
@_column("--confidence", "How sure the version was; left out, the column `confidence`.")
@click.option("--feature", "features", multiple=True, metavar="COLUMN", help="More. (repeat)")
@click.option(
    "--categorical", multiple=True, metavar="COLUMN", help="Numbers that are names. (repeat)"
)
@_column("--correct", "Whether the prediction was right: tells what a confidence is worth.")
@_column("--at", "When each row came: parts of the day are told apart.")
@click.option("--replace", "replaces", is_flag=True, help="Take the place of other references.")
@take.dry_run_option
@click.pass_obj
def reference(
    session: Session, /, ref: str, file: Path, *, replaces: bool, dry_run: bool, **given: Any
) -> None:
    """Freeze what a version's predictions look like when all is well, and watch it from now on.

    FILE is .csv, .parquet, .npy or .npz: a row for each prediction, best of 1,000 or more and in
    the order in which they came.
    """
    made = references_of(Columns(file), Named(**given))
    with session.book(dry_run=dry_run) as book:
        watched = book.drift.watch(ref, made, replace=replaces)
    session.answer(
        watched,
        ids=[f"{watched.model}:{watched.number}"],
        text=lambda: told(watched, dry_run=dry_run),
    )
    if not session.as_json:
        for doubt in _doubts(made):
            session.note(doubt)


def _doubts(made: Mapping[str, Reference]) -> Iterator[str]:
    """Say what makes references see less than they could."""
    if PREDICTION not in made:
        yield "No prediction is watched: --prediction COLUMN says which column holds them."
    few = min(each.count for each in made.values())
    if few < _FEW:
        yield f"{few} values are few: only large changes will be seen. Better are 1,000."
    for name, each in made.items():
        if each.kind is Kind.CATEGORICAL and _is_nameless(each):
            yield (
                f"{name}: {each.counts[-1]:,} of {each.count:,} values are none of the "
                f"{CATEGORIES_LIMIT} most frequent categories and count as one: numbers written "
                "otherwise, or names of single things, are no categories."
            )
        if each.count >= _LEAST_WORTH and each.count / each.tau < _LEAST_WORTH:
            yield (
                f"{name}: {each.count:,} values that follow their neighbours so closely are worth "
                f"{each.count / each.tau:.0f}, and hardly a change will be seen. If they were "
                "sorted, freeze them in the order in which they came."
            )


def _is_nameless(found: Reference) -> bool:
    """Whether most values are of no frequent category, or nearly each is a category of its own."""
    others = found.counts[-1]
    return others > found.count / 2 or (others > 0 and found.count - others < 2 * CATEGORIES_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Which column is what; "" for none.

    Args:
        prediction: what was predicted.
        confidence: how sure the version was.
        features: more streams, of the same names.
        categorical: those among all these that hold names, even if they look like numbers.
        correct: whether the prediction was right.
        at: when the row came.
    """

    prediction: str = ""
    confidence: str = ""
    features: Sequence[str] = ()
    categorical: Sequence[str] = ()
    correct: str = ""
    at: str = ""


def references_of(columns: Columns, given: Named) -> dict[str, Reference]:
    """Make references of the columns of a file; what is not named is found by its name.

    Raises:
        Invalid: a column is not there or cannot be used, or none was named.
    """
    named = {PREDICTION: given.prediction, CONFIDENCE: given.confidence}
    streams = {
        stream: column or stream for stream, column in named.items() if column or stream in columns
    }
    streams |= {name: name for name in given.features}
    if not streams:
        raise Invalid(
            f"{columns.name} has no column called prediction or confidence; it has "
            f"{', '.join(columns.names)[:300]}: say which is which with --prediction, "
            "--confidence, --feature",
            field="prediction",
        )
    unknown = [name for name in given.categorical if name not in streams.values()]
    if unknown:
        raise Invalid(
            f"--categorical {unknown[0]} names no column that is used; use it with --feature",
            field="categorical",
        )
    hours = columns.hours(given.at) if given.at else None
    found = {
        stream: _reference(columns, column, hours, named=column in given.categorical)
        for stream, column in streams.items()
    }
    _check_confidence(found.get(CONFIDENCE), streams)
    return _with_accuracy(found, columns, streams, given.correct) if given.correct else found


def _check_confidence(found: Reference | None, streams: Mapping[str, str]) -> None:
    """Refuse percents and the like: the score asks by how much of 1 a confidence fell."""
    if found is not None and found.kind is Kind.NUMERIC and not 0 <= found.low <= found.high <= 1:
        raise Invalid(
            f"{streams[CONFIDENCE]} is {found.low:g} to {found.high:g}; a confidence is 0 to 1: "
            "write it as such, or give it another name and watch it with --feature",
            field="confidence",
        )


def _reference(
    columns: Columns, column: str, hours: Sequence[int] | None, *, named: bool
) -> Reference:
    from herdbook.services import references

    values = None if named else columns.numbers(column)
    try:
        if values is None:
            return references.categorical(columns.texts(column))
        return references.numeric(values, hours=hours)
    except Invalid as wrong:
        raise Invalid(f"{column}: {wrong.message}", field="file") from None


def _with_accuracy(
    found: dict[str, Reference], columns: Columns, streams: dict[str, str], correct: str
) -> dict[str, Reference]:
    from herdbook.services import references

    if CONFIDENCE not in found or found[CONFIDENCE].kind is not Kind.NUMERIC:
        raise Invalid(
            "--correct tells what a confidence is worth, and there is none: give --confidence too",
            field="correct",
        )
    sure = columns.numbers(streams[CONFIDENCE]) or []
    pairs = [
        (value, right)
        for value, right in zip(sure, columns.truths(correct), strict=True)
        if right is not None and math.isfinite(value)
    ]
    accuracy = references.accuracies([value for value, _ in pairs], [right for _, right in pairs])
    return found | {CONFIDENCE: replace(found[CONFIDENCE], accuracy=accuracy)}


def told(watched: Watched, *, dry_run: bool) -> str:
    """Say what was frozen."""
    would = "would be" if dry_run else "is"
    lines = [f"{watched.model}:{watched.number} {would} watched, compared with:"]
    for name, each in watched.references.items():
        what = f"{each.count:,} values in {each.bins:,} bins"
        if each.kind is Kind.CATEGORICAL:
            what = f"{each.count:,} values of {len(each.categories)} categories"
            what += f" and {each.counts[-1]:,} of others" if each.counts[-1] else ""
        more = [f"{each.missing:,} missing"] if each.missing else []
        more += [f"mean {each.mean:.4g}, sd {each.sd:.4g}"] if each.kind is Kind.NUMERIC else []
        more += [f"{len(each.slots)} parts of the day"] if each.slots else []
        more += [f"{each.tau:.1f} in a row are worth one"] if each.tau > 2 else []
        more += ["with what it is worth"] if each.accuracy else []
        lines.append(f"  {name}: {'; '.join([what, *more])}")
    return "\n".join(lines)
