"""Herdbook's registers to measure: one built through its own verbs, others in bulk.

The bulk ones are written straight into the tables, with the rows the verbs would write: JSON
texts by the same code, true digests, tags, scores, champions with their aliases and moves.
Only the audit log is left empty; no read that is measured looks at it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

import herdbook as hb
from benchmarks import herd
from herdbook.bootstrap import prepare
from herdbook.core.deployments import Move, MoveKind
from herdbook.core.models import (
    Facts,
    FileLocation,
    Model,
    Parent,
    Status,
    Training,
    Version,
    facts_digest,
)
from herdbook.core.numbers import Number
from herdbook.core.wire import dumps
from herdbook.storage.sql import models as model_rows
from herdbook.storage.sql import tables as t
from herdbook.storage.sql import versions as version_rows
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.rows import micros

AT: Final = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)
BY: Final = "builder"
# Stands for the ordinal in the texts of the version all others are copies of.
MARK: Final = "7777777"
SCORES: Final = 97
INDEXED: Final = (t.versions, t.version_tags, t.scores, t.parents)

Row = tuple[Any, ...]


def build(url: str, *, models: int, versions: int) -> None:
    """Register what both sides hold, through the verbs."""
    with hb.connect(url) as book:
        for entry in herd.entries(models, versions):
            book.models.register(
                entry.model,
                description=entry.description,
                files={"checkpoint": entry.source},
                tags=entry.tags,
                git_commit="",
            )
        for name in herd.models(models):
            book.deployments.promote(f"{name}:v{versions // 2}")


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a register built in bulk holds.

    Args:
        models: how many models.
        versions: how many versions each has.
        chained: whether each version is the child of the one before it.
    """

    models: int
    versions: int
    chained: bool = False

    @property
    def champion(self) -> int:
        """The ordinal of every model's champion."""
        return max(1, self.versions // 2)


def fill(url: str, bulk: Bulk) -> None:
    """Make a register and write it full; ends with the statistics a database keeps itself."""
    database = Database(url)
    prepare(database)
    indexes = [index for table in INDEXED for index in table.indexes]
    with database.writing() as connection:
        for index in indexes:
            index.drop(connection)
        _insert(connection, t.models, _models(bulk))
        for table, rows in _tables(bulk):
            _insert(connection, table, rows)
        for index in indexes:
            index.create(connection)
    with database.engine.connect() as connection:
        raw = connection.execution_options(isolation_level="AUTOCOMMIT")
        raw.exec_driver_sql("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE")
    database.close()


def _tables(bulk: Bulk) -> Iterator[tuple[sa.Table, Iterator[Row]]]:
    yield t.versions, _versions(bulk)
    yield t.version_tags, ((key, *tag) for key in _keys(bulk) for tag in _tags(key, bulk))
    yield t.scores, ((key, "accuracy", _accuracy(key)) for key in _keys(bulk))
    yield t.aliases, _aliases(bulk)
    yield t.moves, _moves(bulk)
    if bulk.chained:
        steps = (key for key in _keys(bulk) if (key - 1) % bulk.versions)
        yield t.parents, ((key, key - 1, 0, "fine-tune") for key in steps)


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[Row]) -> None:
    names = _COLUMNS[table.name]
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        places = ",".join("?" * len(names))
        shown = ",".join(names)
        driver.executemany(f"INSERT INTO {table.name} ({shown}) VALUES ({places})", rows)  # noqa: S608
        return
    quoted = ",".join(f'"{name}"' for name in names)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({quoted}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _keys(bulk: Bulk) -> range:
    return range(1, bulk.models * bulk.versions + 1)


def _tags(key: int, bulk: Bulk) -> Sequence[tuple[str, str]]:
    entry = herd.Entry("", (key - 1) % bulk.versions + 1)
    return sorted(entry.tags.items())


def _accuracy(key: int) -> float:
    return 0.5 + key * SCORES % 10_007 / 20_014


def _model(name: str, bulk: Bulk) -> Model:
    return Model(
        name=name,
        type="embedding",
        versions=bulk.versions,
        latest=f"v{bulk.versions}",
        aliases={herd.CHAMPION: f"v{bulk.champion}"},
        created_at=AT,
        created_by=BY,
        updated_at=AT,
    )


def _models(bulk: Bulk) -> Iterator[Row]:
    for key, name in enumerate(herd.models(bulk.models), start=1):
        columns = model_rows.columns(_model(name, bulk))
        more = {"id": key, "name": name, "folded": name.casefold()}
        yield _ordered(t.models, columns | more | {"next_ordinal": bulk.versions + 1})


def _version(name: str, *, parent: bool) -> Version:
    """Give the version all others of a model are copies of."""
    entry = herd.Entry(name, int(MARK))
    facts = Facts(
        training=Training(framework="unsloth", base_model="Qwen2.5-Coder-7B", samples=52_000),
        files=(FileLocation(role="checkpoint", location=entry.source),),
        parents=(Parent(model=name, number="v8888888"),) if parent else (),
    )
    return Version(
        model=name,
        number=f"v{MARK}",
        ordinal=int(MARK),
        status=Status.DEVELOPMENT,
        facts=facts,
        digest="@digest@",
        description=entry.description,
        tags={"stage": "@stage@", "team": "search"},
        metrics={"accuracy": 0.7},
        created_at=AT,
        created_by=BY,
        updated_at=AT,
    )


def _versions(bulk: Bulk) -> Iterator[Row]:
    for at, name in enumerate(herd.models(bulk.models)):
        template = _template(name, 1, bulk)
        for ordinal in range(1, bulk.versions + 1):
            if ordinal == 2 or ordinal in {bulk.champion, bulk.champion + 1}:
                template = _template(name, ordinal, bulk)
            yield _copy(template, at, ordinal, bulk)


def _template(name: str, ordinal: int, bulk: Bulk) -> dict[str, Any]:
    version = _version(name, parent=bulk.chained and ordinal > 1)
    if ordinal == bulk.champion:
        version = replace(version, status=Status.PRODUCTION, aliases=(herd.CHAMPION,))
    return version_rows.columns(version) | version_rows.fact_columns(version) | {"name": name}


def _copy(template: dict[str, Any], at: int, ordinal: int, bulk: Bulk) -> Row:
    shown, key = str(ordinal), at * bulk.versions + ordinal
    number = f"v{shown}"
    facts = template["facts"].replace(MARK, shown).replace("8888888", str(ordinal - 1))
    digest = facts_digest(template["name"], number, facts)
    about = (
        template["about"]
        .replace(MARK, shown)
        .replace("@digest@", digest)
        .replace("@stage@", herd.Entry("", ordinal).tags["stage"])
        .replace('"accuracy":0.7', f'"accuracy":{_accuracy(key)}')
    )
    return _ordered(
        t.versions,
        template
        | {
            "id": key,
            "model_id": at + 1,
            "ordinal": ordinal,
            "number": number,
            "number_key": Number(number).key,
            "digest": digest,
            "facts": facts,
            "about": about,
            "description": template["description"].replace(MARK, shown),
            "visible": 1,
        },
    )


def _aliases(bulk: Bulk) -> Iterator[Row]:
    for at in range(bulk.models):
        key = at * bulk.versions + bulk.champion
        yield (at + 1, herd.CHAMPION, key, 1, micros(AT), BY)


def _moves(bulk: Bulk) -> Iterator[Row]:
    for at, name in enumerate(herd.models(bulk.models)):
        move = Move(
            model=name,
            alias=herd.CHAMPION,
            epoch=1,
            kind=MoveKind.PROMOTE,
            from_number="",
            to_number=f"v{bulk.champion}",
            back_epoch=0,
            at=AT,
            by=BY,
        )
        to = at * bulk.versions + bulk.champion
        yield (at + 1, at + 1, herd.CHAMPION, 1, None, to, micros(AT), dumps(move))


_COLUMNS: Final = {
    table.name: tuple(column.name for column in table.columns)
    for table in (
        t.models, t.versions, t.version_tags, t.scores, t.aliases, t.moves, t.parents,
    )
}  # fmt: skip


def _ordered(table: sa.Table, row: dict[str, Any]) -> Row:
    return tuple(row.get(name) for name in _COLUMNS[table.name])
