"""`herdbook server …`."""

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from herdbook.cli.commands import group
from herdbook.cli.session import Session
from herdbook.errors import Unavailable, Unreachable

HOST, PORT = "127.0.0.1", 8477
OK = 200


@group("server", examples=("server start", "server health"))
def server() -> None:
    """Serve the register over HTTP."""


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@server.command(
    "start",
    examples=(
        "server start",
        "server start --port 9000",
        "server start --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem",
    ),
)
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True)
@click.option("--tls-cert", type=_FILE, help="A certificate, for HTTPS.")
@click.option("--tls-key", type=_FILE, help="Its key.")
@click.option("--auth", is_flag=True, help="Ask for a token on loopback too.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy whose forwarded headers count. (repeat)",
)
@click.pass_obj
def start(session: Session, /, **given: Any) -> None:
    """Start the server; Ctrl-C ends it.

    On loopback it needs no token. Any other address needs an admin token (`herdbook tokens
    create`) and TLS or a trusted proxy.
    """
    # Named by its text: the two doors do not know each other's code.
    run = importlib.import_module("herdbook.server.run")
    with suppress(KeyboardInterrupt):
        run.start(session.settings(), **given, ready=lambda at: _ready(session, at))


def _ready(session: Session, address: str) -> None:
    session.note(f"Herdbook answers at {address} (Ctrl-C ends it)")


@server.command(
    "health",
    examples=("server health", "server health --url http://127.0.0.1:9000"),
)
@click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds to wait.")
@click.pass_obj
def health(session: Session, timeout: float) -> None:
    """Ask a server whether it can read and write; for a container's health check."""
    address = session.settings().url
    if not address.startswith(("http://", "https://")):
        address = f"http://{HOST}:{PORT}"
    status, told = _asked(address.rstrip("/"), timeout)
    if status != OK:
        raise Unavailable(f"{address} answers {status}: {told[:200]}")
    session.answer(
        {"address": address, "ready": True}, ids=[address], text=lambda: f"{address} is ready."
    )


def _asked(address: str, timeout: float) -> tuple[int, str]:
    # The standard library's client, because a health check runs every few seconds.
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or HOST, parts.port, timeout=timeout)
    try:
        connection.request("GET", f"{parts.path}/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise Unreachable(
            f"no Herdbook server answers at {address} ({error}); start one with "
            "`herdbook server start`"
        ) from None
    finally:
        connection.close()
