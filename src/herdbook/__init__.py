"""Herdbook: the register of every model version a team runs.

>>> import herdbook
>>> book = herdbook.connect()
>>> book.models.register("majora", metrics={"accuracy": 0.85}).ref
'majora:v1'
>>> book.deployments.promote("majora:v1").to_number
'v1'
>>> book.close()
"""

import importlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herdbook.bootstrap import connect
    from herdbook.client.aio import AsyncHerdbook, connect_async
    from herdbook.core.evaluations import Observation
    from herdbook.core.models import Model, Status, Version
    from herdbook.errors import HerdbookError
    from herdbook.front.book import Herdbook
    from herdbook.front.detecting import drift_detectors
    from herdbook.front.detectors import DriftDetector
    from herdbook.services.webhooks import verify as verify_webhook

__version__ = "0.1.0"

# Each public name is imported when it is first used: `import herdbook` costs nothing.
_HOMES = {
    "AsyncHerdbook": "herdbook.client.aio",
    "DriftDetector": "herdbook.front.detectors",
    "Herdbook": "herdbook.front.book",
    "HerdbookError": "herdbook.errors",
    "Model": "herdbook.core.models",
    "Observation": "herdbook.core.evaluations",
    "Status": "herdbook.core.models",
    "Version": "herdbook.core.models",
    "connect": "herdbook.bootstrap",
    "connect_async": "herdbook.client.aio",
    "drift_detectors": "herdbook.front.detecting",
    "verify_webhook": "herdbook.services.webhooks",
}

_OTHER_NAMES = {"verify_webhook": "verify"}

__all__ = [
    "AsyncHerdbook",
    "DriftDetector",
    "Herdbook",
    "HerdbookError",
    "Model",
    "Observation",
    "Status",
    "Version",
    "connect",
    "connect_async",
    "drift_detectors",
    "get_drift_detector",
    "verify_webhook",
]

_opening = threading.Lock()
_opened: "list[Herdbook]" = []


def get_drift_detector(
    model: str, version: str, *, book: "Herdbook | None" = None
) -> "DriftDetector":
    """Give the detector of a version, the same one whenever it is asked for.

    Args:
        model: its name.
        version: its number.
        book: the register; left out, that of `connect()`, opened once for the process.

    Raises:
        NotFound: there is no such version.
    """
    return (book or _own()).drift.detector(model, version)


def _own() -> "Herdbook":
    with _opening:
        if not _opened:
            from herdbook.bootstrap import connect

            _opened.append(connect())
        return _opened[0]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
    raise AttributeError(f"herdbook has no {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
