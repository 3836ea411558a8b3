"""The server's log: one line an event, JSON or text, without secrets."""

import itertools
import json
import logging
import re
import secrets
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

_SECRETS: Final = (
    (re.compile(r"hb_[0-9A-Za-z]{8,}"), "hb_…"),
    (re.compile(r"hbwh_[0-9a-f]{8,}"), "hbwh_…"),
    (re.compile(r"(?i)(bearer\s+)\S+"), r"\1…"),
    (re.compile(r"(://[^:/@\s]*):[^@\s/]+@"), r"\1:…@"),
    (re.compile(r"(?i)(\bpassword=)[^\s&]+"), r"\1…"),
)

_JSON: Final = json.JSONEncoder()
Event = MutableMapping[str, Any]


def logger() -> Any:
    """Give the server's log."""
    return structlog.get_logger("herdbook.server")


def redacted(text: str) -> str:
    """Give a text without the tokens and passwords in it.

    Example:
        >>> redacted("postgresql://herd:hunter2@host/book")
        'postgresql://herd:…@host/book'
    """
    for secret, shown in _SECRETS:
        text = secret.sub(shown, text)
    return text


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Take secrets out of every text of an event."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redacted(value)
    return event


class _Redacting(logging.Formatter):
    """Formats a line, its traceback included, and takes secrets out of the whole."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        return redacted(self._inner.format(record))


_START: Final = secrets.token_hex(4)
_COUNT: Final = itertools.count()


def fresh_id() -> str:
    """Give an id for a request: 16 hexadecimal digits, the first eight this process's own."""
    return f"{_START}{next(_COUNT) % 2**32:08x}"


class Requests:
    """Writes the line of a request: the one event there is for each, so it costs little.

    What it says is the server's own words and checked ids, so nothing in it needs redacting.
    """

    as_text = False

    @classmethod
    def note(cls, **facts: str | int | float) -> None:
        """Write a line."""
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if cls.as_text:
            shown = " ".join(f"{name}={value}" for name, value in facts.items())
            line = f"{at} [info     ] request {shown}\n"
        else:
            said = _JSON.encode(facts)[:-1]
            line = f'{said}, "event": "request", "level": "info", "timestamp": "{at}"}}\n'
        sys.stderr.write(line)


def configure(form: str) -> None:
    """Log to standard error as `json` or `text`; "" for text on a terminal, else JSON."""
    as_text = form == "text" or (not form and sys.stderr.isatty())
    Requests.as_text = as_text
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if as_text:
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(formatter))
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO
    # What it sets itself up with is no news to whoever runs a server.
    logging.getLogger("alembic").setLevel(logging.WARNING)
