"""Compare the columns of two files of any size: `herdbook drift check`."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from herdbook.core.blobs import Said, silent
from herdbook.core.checking import Check, Form, Limits, Pair, Verdict
from herdbook.errors import Invalid
from herdbook.front.columns import Column, Table, needed
from herdbook.front.counting import COUNTERS
from herdbook.front.tables import opened
from herdbook.services.checking import judged
from herdbook.stats.counting import SAMPLE

_THREADS: Final = 4
# Numbers that are kept at a time of columns that are read together.
_SAMPLED_AT_ONCE: Final = 4_000_000
_LEAST_SAMPLE: Final = 20_000
# When this share is in none of the most frequent 250 categories, they are no categories.
_NAMELESS: Final = 0.9
# Columns that are named in an error.
_SHOWN: Final = 5


def check_files(
    reference: str | Path,
    current: str | Path,
    *,
    columns: Sequence[str] = (),
    categorical: Sequence[str] = (),
    limits: Limits | None = None,
    said: Said = silent,
) -> Check:
    """Say which columns of a file drifted from those of another.

    Bins are made of up to 200,000 values from all over the reference, then every value of both
    files is counted, a piece at a time: memory does not depend on the number of rows. Of embeddings
    2,000 vectors of each file are looked at.

    Args:
        reference: how it was when all was well: .parquet, .csv, .tsv, .npy or .npz.
        current: how it is now, in any of these.
        columns: only these; else all that both files have.
        categorical: columns of numbers that are names of something.
        limits: from when on it is drift.
        said: is told of every so many bytes read.

    Raises:
        Invalid: a file cannot be read, a column that was named is in neither or not comparable, or
            no column is: that must not look like no drift.
        MissingExtra: pyarrow or numpy is not installed.
        NotFound: a file is not there.
    """
    limits = limits or Limits()
    one, two = (opened(Path(path), categorical=categorical) for path in (reference, current))
    forms, left_out = _matched(one, two, (*columns, *categorical))
    if columns:
        _refuse(columns, left_out)
        forms = {name: forms[name] for name in forms if name in columns}
        left_out = {}
    with needed():
        pairs, unnamed = _compared(_Reading(one, two, limits, said), forms)
    if not pairs:
        raise Invalid(_nothing({**left_out, **unnamed}), field="reference")
    said_of = judged(pairs, limits=limits)
    names = [{column.name for column in table.columns} for table in (one, two)]
    return Check(
        reference=one.name,
        current=two.name,
        drifted=tuple(each.column for each in said_of if each.verdict is Verdict.DRIFT),
        columns=said_of,
        left_out={**left_out, **unnamed},
        only_reference=() if columns else tuple(sorted(names[0] - names[1])),
        only_current=() if columns else tuple(sorted(names[1] - names[0])),
        limits=limits,
    )


def _matched(
    one: Table, two: Table, asked: Sequence[str]
) -> tuple[dict[str, Form], dict[str, str]]:
    """What each column that both have is compared as, or why it is not."""
    here, there = ({column.name: column for column in t.columns} for t in (one, two))
    for name in asked:
        for table, known in ((one, here), (two, there)):
            if name not in known:
                raise Invalid(f"{table.name} has no column {name!r:.80}", field="column")
    forms, left_out = {}, {}
    for name in here:
        if name in there:
            form, why = _form(here[name], there[name])
            if form is None:
                left_out[name] = why
            else:
                forms[name] = form
    if not forms and not left_out:
        raise Invalid(f"{one.name} and {two.name} have no column in common", field="reference")
    return forms, left_out


def _form(one: Column, two: Column) -> tuple[Form | None, str]:
    if one.why or two.why:
        return None, one.why or two.why
    found = {form for form in (one.form, two.form) if form is not None}
    if not found:
        return None, "it is empty in both files"
    if len(found) > 1:
        return None, (
            f"it is {one.form} in the reference and {two.form} now; --categorical compares "
            "numbers as names"
        )
    return found.pop(), ""


def _nothing(left_out: Mapping[str, str]) -> str:
    told = "; ".join(f"{name!r:.80}: {why}" for name, why in list(left_out.items())[:_SHOWN])
    more = len(left_out) - _SHOWN
    return f"no column can be compared. {told}" + (f"; and {more} more" if more > 0 else "")


def _refuse(columns: Sequence[str], left_out: Mapping[str, str]) -> None:
    for name in columns:
        if name in left_out:
            raise Invalid(f"column {name!r:.80} cannot be compared: {left_out[name]}")


@dataclass(frozen=True, slots=True)
class _Reading:
    """Two files that are being read.

    Args:
        reference: the one.
        current: the other.
        limits: how many bins there are.
        said: is told of every so many bytes.
        stopped: nobody waits any more.
    """

    reference: Table
    current: Table
    limits: Limits
    said: Said
    stopped: threading.Event = field(default_factory=threading.Event)

    def pieces(self, table: Table, forms: Mapping[str, Form]) -> Iterator[tuple[str, Any]]:
        """Read columns of a file, and tell how far that is."""
        if not forms:
            return
        for piece in table.pieces(forms):
            yield from piece.values.items()
            self.said(piece.size_bytes)
            if self.stopped.is_set():
                return


def _compared(reading: _Reading, forms: Mapping[str, Form]) -> tuple[list[Pair], dict[str, str]]:
    """Count all columns: one by one in threads where the files allow, else together."""
    apart = reading.reference.apart and reading.current.apart
    groups = [{name: form} for name, form in forms.items()] if apart else [dict(forms)]
    pairs: list[Pair] = []
    unnamed: dict[str, str] = {}
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        try:
            for found in pool.map(lambda group: _counted(reading, group), groups):
                for each in found:
                    if _is_nameless(each):
                        unnamed[each.column] = "nearly every value is different, as of names or ids"
                    else:
                        pairs.append(each)
        except BaseException:
            reading.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return pairs, unnamed


def _is_nameless(pair: Pair) -> bool:
    one = pair.reference
    if pair.bins.form is not Form.CATEGORICAL or not one.values:
        return False
    return one.counts[-1] > _NAMELESS * one.values


def _counted(reading: _Reading, forms: Mapping[str, Form]) -> list[Pair]:
    """Read the reference for bins and, where not all of it was kept, once more; then the other."""
    most = max(_LEAST_SAMPLE, min(SAMPLE, _SAMPLED_AT_ONCE // max(1, len(forms))))
    made = {name: COUNTERS[form](most, reading.limits.bins) for name, form in forms.items()}
    for name, values in reading.pieces(reading.reference, forms):
        made[name].look(values)
    again = {name: forms[name] for name, counter in made.items() if counter.begin()}
    for name, values in reading.pieces(reading.reference, again):
        made[name].count(values)
    for counter in made.values():
        counter.turn()
    for name, values in reading.pieces(reading.current, forms):
        made[name].count(values)
    return [counter.pair(name) for name, counter in made.items()]
