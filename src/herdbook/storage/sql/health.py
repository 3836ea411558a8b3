"""Whether a database really works."""

import secrets

from sqlalchemy import Connection, delete, insert, select

from herdbook.errors import Unavailable
from herdbook.storage.sql.schema import revision
from herdbook.storage.sql.tables import replays


def probe(connection: Connection) -> str | None:
    """Write to a database, read it again, take it away; give the revision it is at.

    A row of its own: SQLite does not write what is overwritten with itself.

    Raises:
        Unavailable: what was written is not what was read.
    """
    at = revision(connection)
    if at is None:
        return None
    key = f"readyz-{secrets.token_hex(8)}"
    row = {"key": key, "by": "server", "request": "", "status": 200, "body": key, "at": 0}
    connection.execute(insert(replays).values(**row))
    asked = select(replays.c.body).where(replays.c.key == key)
    if connection.execute(asked).scalar_one_or_none() != key:
        raise Unavailable("the database did not give back what was written to it")
    connection.execute(delete(replays).where(replays.c.key == key))
    return at
