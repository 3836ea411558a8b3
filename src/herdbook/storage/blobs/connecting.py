"""How an object store is reached: its address, how long and how often it is asked."""

import os
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from herdbook.errors import Invalid

_PLAIN_HTTP: Final = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")


def refuse_other(address: str) -> None:
    """Refuse an address that is none, or holds a secret."""
    parts = urlsplit(address)
    if "@" in parts.netloc or parts.query or parts.fragment or not parts.netloc:
        raise Invalid(
            "the address of a bucket is its name and a prefix, such as s3://bucket/models; "
            "credentials belong into the environment",
            field="blobs",
        )


def client(patience: timedelta) -> Any:
    """Give the options of the HTTP client: how long one request may take."""
    # What is set here takes the place of what obstore would read from the environment.
    plain = any(os.environ.get(name, "").lower() in {"1", "true"} for name in _PLAIN_HTTP)
    connecting = min(patience, timedelta(seconds=5))
    return {"timeout": patience, "connect_timeout": connecting, "allow_http": plain}


def tries(patience: timedelta) -> Any:
    """Give how often a request is made again; all of them take thrice the patience at most."""
    longest = min(patience, timedelta(seconds=5))
    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": longest, "base": 2}
    return {"max_retries": 5, "retry_timeout": 3 * patience, "backoff": backoff}
