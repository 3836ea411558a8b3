"""`herdbook artifacts show` and `diff`: what is inside versions, and what changed between two."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import click

from herdbook.cli import parameters as take
from herdbook.cli.cache import size_text
from herdbook.cli.commands import command
from herdbook.cli.output import Table, facts, line
from herdbook.cli.session import Session
from herdbook.core.contents import Changes, FileChange, FileInside, Inside, TensorChange

_DIGEST: Final = len("sha256:") + 12
_LABELS: Final = 8
_TENSORS: Final = 40
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "renamed": ">"}


@command("show", examples=("artifacts show majora:v2", "artifacts show majora@champion --json"))
@take.ref_argument()
@click.pass_obj
def show(session: Session, ref: str) -> None:
    """Show the files of a version and what is inside: a `!` marks what can execute on load.

    Nothing of it is executed. What is not marked is not thereby safe.
    """
    with session.book() as book:
        found = book.artifacts.inspect(ref)
    paths = [file.path for file in found.files]
    session.answer(found, ids=paths, text=lambda: _shown(session, found))


def _shown(session: Session, found: Inside) -> str:
    table = Table(
        ("", "path", ">size", "role", "digest", "format"), [_row(file) for file in found.files]
    )
    parts = [found.ref, table.text(session.look), "", *facts(_inside(found))]
    for title, lines in (
        ("Can execute when it is loaded:", _told(found.files, "executable")),
        ("Headers that lie:", [f"{f.path}: {f.problem}" for f in found.files if f.problem]),
        ("Warnings:", [*_told(found.files, "warnings"), *found.warnings]),
    ):
        if lines:
            parts += ["", title, *(f"  {line(text)}" for text in lines)]
    return "\n".join(parts)


def _row(file: FileInside) -> list[str]:
    mark = "!" if file.executable or file.problem else ""
    kind = "?" if file.problem else file.format
    return [mark, file.path, size_text(file.size), file.role, f"{file.digest[:_DIGEST]}…", kind]


def _told(files: Iterable[FileInside], what: str) -> list[str]:
    return [f"{file.path}: {text}" for file in files for text in getattr(file, what)]


def _inside(found: Inside) -> list[tuple[str, str]]:
    count = f"{found.parameters:,} in {found.tensors:,} tensors" if found.parameters else ""
    return [
        ("size", f"{size_text(found.size)} in {_count(len(found.files), 'file')}"),
        ("format", found.format),
        ("architecture", found.architecture),
        ("parameters", count),
        ("types", _types(found.dtypes)),
        ("quantization", found.quantization),
        ("labels", _listed(found.labels)),
        ("licence", found.licence),
        ("manifest", found.manifest),
    ]


def _types(dtypes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in dtypes.items())


def _listed(words: Sequence[str], limit: int = _LABELS) -> str:
    shown = ", ".join(line(word) for word in words[:limit])
    return f"{shown}, … ({len(words):,})" if len(words) > limit else shown


@command(
    "diff",
    examples=(
        "artifacts diff majora:v1 majora:v2",
        "artifacts diff majora@champion majora@challenger --json",
    ),
)
@click.argument("old", type=take.MODEL, metavar="OLD")
@click.argument("new", type=take.MODEL, metavar="NEW")
@click.option("--quick", is_flag=True, help="Read no bytes: tensors as far as they are known.")
@click.pass_obj
def diff(session: Session, old: str, new: str, *, quick: bool) -> None:
    """Show which files, labels and tensors changed from one version to another, and how far.

    The first time this reads the tensors that may have changed; what they are is remembered.
    """
    with session.book() as book:
        found = book.artifacts.diff(old, new, quick=quick)
    ids = [change.path for change in found.files]
    session.answer(found, ids=ids, text=lambda: _changed(session, found))


def _changed(session: Session, found: Changes) -> str:
    parts = [f"{found.old} → {found.new}: {summary(found)}"]
    parts += [f"  {_file(change)}" for change in found.files]
    pairs = [
        ("added", _listed(found.labels_added, 20)),
        ("removed", _listed(found.labels_removed, 20)),
        ("moved", _listed(found.labels_moved, 20)),
    ]
    if any(text for _, text in pairs):
        parts += ["", "Labels", *facts(pairs)]
    if found.tensors:
        rows = [_tensor(change) for change in found.tensors[:_TENSORS]]
        titles = ("", "tensor", "type", "shape", ">size", ">moved by")
        parts += ["", Table(titles, rows).text(session.look)]
        every = found.added_tensors + found.removed_tensors + found.changed_tensors
        left = every - len(rows)
        parts += [f"… and {left:,} more; --json gives them"] if left > 0 else []
    return "\n".join([*parts, *(f"Note: {line(note)}" for note in found.notes)])


def summary(found: Changes) -> str:
    """Say in a line what changed.

    Example:
        >>> labels = FileChange(path="labels.txt", what="changed", size=6, old_size=4)
        >>> counts = {"changed_tensors": 6, "all_tensors": 128, "changed_bytes": 50_300_000}
        >>> summary(Changes(old="majora:v1", new="majora:v2", files=(labels,), **counts))
        '6 of 128 tensors changed (50.3 MB), labels.txt changed'
    """
    told = [
        f"{_count(number, 'tensor')} {what}"
        for number, what in (
            (found.added_tensors, "added"),
            (found.removed_tensors, "removed"),
            (found.undecided_tensors, "not compared"),
        )
        if number
    ]
    if found.changed_tensors:
        of = f"{found.changed_tensors:,} of {_count(found.all_tensors, 'tensor')}"
        told.insert(0, f"{of} changed ({size_text(found.changed_bytes)})")
    # What tensors tell is not said again of the file they are in.
    others = [change for change in found.files if not change.by_tensor]
    told += [f"{line(change.path)} {change.what}" for change in others[:5]]
    if len(others) > 5:
        told.append(f"{_count(len(others) - 5, 'more file')} changed")
    return ", ".join(told) or "nothing changed"


def _file(change: FileChange) -> str:
    sizes = size_text(change.size or change.old_size)
    if change.what == "changed" and change.size != change.old_size:
        sizes = f"{size_text(change.old_size)} → {sizes}"
    was = f" (was {line(change.old_path)})" if change.old_path else ""
    return f"{_SIGNS[change.what]} {line(change.path)}{was}  {sizes}"


def _tensor(change: TensorChange) -> list[str]:
    kind, shape = change.dtype, _shape(change.shape)
    if change.old_dtype:
        kind = f"{change.old_dtype} → {kind}"
    if change.what == "shape":
        shape = f"{_shape(change.old_shape)} → {shape}"
    moved = "-" if change.distance is None else f"{change.distance:.2%}"
    return [_SIGNS.get(change.what, "~"), change.name, kind, shape, size_text(change.size), moved]


def _shape(lengths: Sequence[int]) -> str:
    return "x".join(map(str, lengths)) or "scalar"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
