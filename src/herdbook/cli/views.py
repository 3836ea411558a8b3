"""Models, versions and moves as people read them."""

from collections.abc import Iterable, Mapping

from herdbook.cli.output import Table, facts, headline, line, number
from herdbook.cli.session import Session
from herdbook.core.artifacts import Files
from herdbook.core.deployments import Move, MoveKind
from herdbook.core.keys import key_digest
from herdbook.core.models import Model, Version

RULE = "=" * 60
SERVING, WAITING = "●", "○"


def version_row(session: Session, version: Version) -> str:
    """Write a version in a line, as `herdbook list` does."""
    mark = SERVING if version.aliases else WAITING
    if version.aliases:
        mark = session.style(mark, fg="green")
    score = version.metrics.get("accuracy")
    words = [
        f"  {mark} {version.number:8} ({version.status:11})",
        "" if score is None else f"acc={score:.3f}",
        ", ".join(version.aliases),
    ]
    return " ".join(word for word in words if word)


def versions_table(session: Session, versions: Iterable[Version], *, whole: bool) -> Table:
    """Set versions in rows: with `whole` their model too."""
    rows = [
        [
            SERVING if v.aliases else WAITING,
            v.ref if whole else v.number,
            str(v.status),
            ", ".join(v.aliases),
            number(v.metrics.get("accuracy")),
            v.training.base_model or "-",
            session.when(v.created_at),
            headline(v.description),
        ]
        for v in versions
    ]
    name = "version" if not whole else "reference"
    titles = ("", name, "status", "aliases", ">acc", "base model", "registered", "description")
    return Table(titles, rows, empty="There are no such versions.")


def version_text(session: Session, version: Version, held: str = "") -> str:
    """Write all that is known about a version.

    Args:
        session: who asked.
        version: what was found.
        held: what is said of its bytes, if it has some.
    """
    parts = [version.ref, *facts([*_about(session, version), *_bytes(version, held)])]
    for title, pairs in (
        ("Metrics", [(k, number(v)) for k, v in version.metrics.items()]),
        ("Training", _training(version)),
        ("Files", [(f.role, f.location) for f in version.facts.files]),
    ):
        if any(text for _, text in pairs):
            parts += ["", title, *facts(pairs)]
    return "\n".join(parts)


def _about(session: Session, version: Version) -> list[tuple[str, str]]:
    return [
        ("status", str(version.status)),
        ("aliases", ", ".join(version.aliases)),
        ("description", version.description),
        ("notes", version.notes),
        ("tags", tags_text(version.tags)),
        ("registered", f"{session.when(version.created_at)} by {line(version.created_by)}"),
        ("digest", version.digest),
        ("warnings", "\n".join(version.warnings)),
    ]


def _bytes(version: Version, held: str) -> list[tuple[str, str]]:
    return [("manifest", version.facts.manifest), ("bytes", held)]


def held_text(files: Files) -> str:
    """Say how many files a version has, and their bytes."""
    count = len(files.files)
    return f"{count:,} file{'' if count == 1 else 's'}, {files.size:,} bytes"


def _training(version: Version) -> list[tuple[str, str]]:
    training, known = version.training, version.facts
    commit = known.git_commit + (" (with changes)" if known.git_dirty else "")
    pairs = [
        (name.replace("_", " "), "" if value in (None, "") else number(value))
        for name in type(training).__dataclass_fields__
        for value in (getattr(training, name),)
    ]
    return [
        *pairs,
        ("data sets", ", ".join(known.datasets)),
        ("parents", ", ".join(f"{p.ref} ({p.kind})" for p in known.parents)),
        ("dependencies", ", ".join(known.dependencies)),
        ("git commit", commit),
        *((f"metadata.{key}", number(value)) for key, value in known.metadata.items()),
    ]


def model_text(session: Session, model: Model, versions: Iterable[Version]) -> str:
    """Write all that is known about a model and its newest versions."""
    pairs = [
        ("type", model.type),
        ("owner", model.owner),
        ("description", model.description),
        ("notes", model.notes),
        ("tags", tags_text(model.tags)),
        ("champion", model.champion or "none; `herdbook deploy` makes one"),
        ("aliases", ", ".join(f"{a} {n}" for a, n in model.aliases.items() if a != "champion")),
        ("versions", str(model.versions)),
        ("file policy", str(model.file_policy or "")),
        ("trusted keys", ", ".join(map(key_digest, model.trusted_keys))),
        ("registered", f"{session.when(model.created_at)} by {line(model.created_by)}"),
        *((f"metadata.{key}", number(value)) for key, value in model.metadata.items()),
    ]
    return "\n".join([model.name, *facts(pairs), *newest(session, model, list(versions))])


def newest(session: Session, model: Model, versions: list[Version]) -> list[str]:
    """Write the newest versions of a model, oldest of them first, and how many are not shown."""
    rows = [version_row(session, version) for version in reversed(versions)]
    older = model.versions - len(versions)
    hint = [f"  … {older} older: herdbook versions {model.name}"] if older > 0 else []
    return [*hint, *rows]


def tags_text(tags: Mapping[str, str]) -> str:
    """Write tags in a line."""
    return ", ".join(f"{key}={value}" if value else key for key, value in tags.items())


def moved(move: Move) -> str:
    """Say in a sentence what a move did."""
    name = f"{move.model}@{move.alias}"
    if move.kind is MoveKind.REMOVE:
        return f"{name} is removed; it was {move.from_number}."
    verb = "is back at" if move.kind is MoveKind.ROLLBACK else "is now"
    was = f"; it was {move.from_number}" if move.from_number else ""
    changed = ", ".join(f"{n} {s}" for n, s in move.statuses.items() if n != move.to_number)
    return f"{name} {verb} {move.to_number}{was}{f' ({changed})' if changed else ''}."


def moves_table(session: Session, moves: Iterable[Move]) -> Table:
    """Set moves in rows."""
    rows = [
        [
            session.when(m.at),
            f"{m.model}@{m.alias}",
            str(m.kind),
            m.from_number or "-",
            m.to_number or "-",
            m.by,
            str(m.epoch),
            line(m.reason),
        ]
        for m in moves
    ]
    titles = ("when", "alias", "move", "from", "to", "by", ">epoch", "reason")
    return Table(titles, rows, empty="No alias ever moved.")
