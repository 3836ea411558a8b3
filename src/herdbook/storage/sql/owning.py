"""The lock that shows which server owns a SQLite file."""

import fcntl
import json
import os
from typing import Any


def owner(file: int) -> dict[str, Any]:
    """Give what the owner wrote into its lock file; nothing where that may be forged."""
    # Who may write the folder may write this file; only one's own says where to go instead.
    if os.fstat(file).st_uid not in {os.geteuid(), 0}:
        return {}
    try:
        found = json.loads(os.pread(file, 4_096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def locked(file: int, kind: int) -> bool:
    """Take a lock of a kind of `fcntl.flock`, without waiting; whether it was free."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
