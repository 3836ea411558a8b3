"""Every error Herdbook raises: one tree, one class per stable code.

A message says what was wrong with the value at hand and what mends it. The code is the
contract: `server/problems.py` maps it to an HTTP status, `cli/main.py` to an exit status,
and `client.py` maps it back, so the same mistake raises the same class through every door.

    HerdbookError
    ├── Invalid            a value breaks a rule
    │   ├── InvalidFilter  a search text cannot be read
    │   └── UnknownField   a field that does not exist
    ├── TooLarge           a body or a batch over its documented limit
    ├── NotFound           nothing by that name (or none you may see)
    │   └── Gone           it was deleted; says by whom, when and why
    ├── Conflict           the state of the register forbids it
    │   ├── AlreadyExists  the name or number is taken
    │   ├── Immutable      a sealed version does not change
    │   ├── StaleEpoch     an alias moved since you looked
    │   ├── RefusedMove    a status or alias may not move there
    │   ├── Cycle          a version would become its own ancestor
    │   └── KeyReused      an idempotency key came back with another body
    ├── Refused            the answer is no: a check or a gate said so
    │   └── BadSignature   a signature does not hold, or not for these files
    ├── Unauthenticated    no token, or one that does not count
    ├── Forbidden          known, but not allowed
    ├── Throttled          too many wrong tokens
    ├── Unreachable        no server answers at that address
    ├── Unavailable        the database is locked, full or gone; try again
    │   └── Owned          a server owns the SQLite file; ask that
    ├── SchemaMismatch     the database is older or newer than this program
    ├── Corrupt            stored bytes or the event chain do not verify
    ├── TaskFailed         batch work failed in code that is not Herdbook's
    ├── MissingExtra       an optional package is not installed
    └── NotBuilt           a route that waits for a later release
"""

from typing import ClassVar


class HerdbookError(Exception):
    """What every error of Herdbook is.

    Args:
        message: what was wrong and what mends it, one or two sentences.
        field: the argument or body field at fault, dotted (`training.epochs`), or "".
        details: further facts for programs, such as `{"epoch": 7}`.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, field: str = "", details: dict[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details: dict[str, object] = details or {}


class Invalid(HerdbookError):
    """A value breaks a rule."""

    code = "invalid"


class InvalidFilter(Invalid):
    """A search text cannot be read; the message points at the place."""

    code = "invalid_filter"


class UnknownField(Invalid):
    """A field that does not exist; the message names the nearest that does."""

    code = "unknown_field"


class TooLarge(HerdbookError):
    """A body or batch over its documented limit."""

    code = "too_large"


class NotFound(HerdbookError):
    """Nothing by that name, or nothing the caller may see."""

    code = "not_found"


class Gone(NotFound):
    """It existed and was deleted; the message says by whom, when and why."""

    code = "gone"


class Conflict(HerdbookError):
    """The state of the register forbids it."""

    code = "conflict"


class AlreadyExists(Conflict):
    """The name or number is taken."""

    code = "already_exists"


class Immutable(Conflict):
    """A sealed version does not change; register a new one."""

    code = "immutable"


class StaleEpoch(Conflict):
    """The alias moved since the caller looked; `details["epoch"]` is the present one."""

    code = "stale_epoch"


class RefusedMove(Conflict):
    """A status or an alias may not move there from where it is."""

    code = "refused_move"


class Cycle(Conflict):
    """A version would become its own ancestor."""

    code = "cycle"


class KeyReused(Conflict):
    """An idempotency key came back with another request."""

    code = "key_reused"


class Refused(HerdbookError):
    """The answer is no: a check or a gate said so."""

    code = "refused"


class BadSignature(Refused):
    """A signature does not hold, is by somebody else, or is over other files."""

    code = "bad_signature"


class Unauthenticated(HerdbookError):
    """No token, or one that does not count (unknown, expired, revoked)."""

    code = "unauthenticated"


class Forbidden(HerdbookError):
    """The caller is known, but may not do this."""

    code = "forbidden"


class Throttled(HerdbookError):
    """Too many wrong tokens; `details["retry_after_seconds"]` says how long to wait."""

    code = "throttled"


class Unreachable(HerdbookError):
    """No Herdbook server answers at that address."""

    code = "unreachable"


class Unavailable(HerdbookError):
    """The database is locked, full or gone; nothing was written, try again."""

    code = "unavailable"


class Owned(Unavailable):
    """A server owns the SQLite file; `details["url"]` is where to ask instead."""

    code = "owned"


class SchemaMismatch(HerdbookError):
    """The database is older or newer than this program."""

    code = "schema_mismatch"


class Corrupt(HerdbookError):
    """Stored bytes or the event chain do not verify."""

    code = "corrupt"


class TaskFailed(HerdbookError):
    """Batch work failed in code that is not Herdbook's, or killed its workers."""

    code = "task_failed"


class MissingExtra(HerdbookError):
    """An optional package is not installed; the message names the `pip install`."""

    code = "missing_extra"


class NotBuilt(HerdbookError):
    """A route that waits for a later release."""

    code = "not_built"
