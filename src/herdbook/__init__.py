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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herdbook.bootstrap import connect
    from herdbook.client.aio import AsyncHerdbook, connect_async
    from herdbook.core.evaluations import Observation
    from herdbook.core.models import Model, Status, Version
    from herdbook.errors import HerdbookError
    from herdbook.front.book import Herdbook
    from herdbook.services.webhooks import verify as verify_webhook

__version__ = "0.1.0"

# Each public name is imported when it is first used: `import herdbook` costs nothing.
_HOMES = {
    "AsyncHerdbook": "herdbook.client.aio",
    "Herdbook": "herdbook.front.book",
    "HerdbookError": "herdbook.errors",
    "Model": "herdbook.core.models",
    "Observation": "herdbook.core.evaluations",
    "Status": "herdbook.core.models",
    "Version": "herdbook.core.models",
    "connect": "herdbook.bootstrap",
    "connect_async": "herdbook.client.aio",
    "verify_webhook": "herdbook.services.webhooks",
}

_OTHER_NAMES = {"verify_webhook": "verify"}

__all__ = [
    "AsyncHerdbook",
    "Herdbook",
    "HerdbookError",
    "Model",
    "Observation",
    "Status",
    "Version",
    "connect",
    "connect_async",
    "verify_webhook",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
    raise AttributeError(f"herdbook has no {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
