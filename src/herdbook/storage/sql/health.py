"""Whether a database really works."""

from sqlalchemy import Connection, update

from herdbook.storage.sql.schema import revision
from herdbook.storage.sql.tables import chain


def probe(connection: Connection) -> str | None:
    """Write to a database and read from it; give the revision it is at.

    The head of the audit log is written over with itself: a write like any other, whose commit
    reaches the disk, that changes nothing.
    """
    at = revision(connection)
    if at is not None:
        connection.execute(update(chain).values(seq=chain.c.seq))
    return at
