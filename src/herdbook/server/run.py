"""Start a server, or say why not."""

import asyncio
import gc
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from herdbook.bootstrap import prepare
from herdbook.core.access import everything
from herdbook.core.ports import Work
from herdbook.errors import Invalid
from herdbook.server import log
from herdbook.server.app import create_app
from herdbook.server.limits import HEADER_LIMIT_BYTES
from herdbook.server.repeats import SAID, Repeats, whole
from herdbook.server.sending import SENDS, sends
from herdbook.services import access
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import reading

HOST: Final = "127.0.0.1"
PORT: Final = 8477
STOP_SECONDS: Final = 10
HEAD_LIMIT_BYTES: Final = 4 * HEADER_LIMIT_BYTES

Ready = Callable[[str], None]


def start(  # noqa: PLR0913 - what a server is started with
    settings: Settings,
    *,
    host: str = HOST,
    port: int = PORT,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    auth: bool = False,
    trusted_proxies: Sequence[str] = (),
    ready: Ready | None = None,
) -> None:
    """Serve a register until told to stop.

    Args:
        settings: the register, the names to answer to, the form of the log.
        host: where to listen. Anything but loopback needs a token of everyone.
        port: 0 for any that is free.
        tls_cert: a certificate file, with `tls_key`.
        tls_key: its key file.
        auth: ask for a token on loopback too.
        trusted_proxies: addresses whose forwarded headers are believed, beside the settings'.
        ready: called with the address once it answers.

    Raises:
        Invalid: it may not be reached from elsewhere like this; the message says what to do.
        Owned: another server owns the SQLite file.
    """
    proxies = [*trusted_proxies, *_listed(settings.trusted_proxies)]
    outside = not is_loopback(host)
    _check_way(host, outside=outside, tls_cert=tls_cert, tls_key=tls_key, proxies=proxies)
    _check_register(settings)
    log.configure(settings.log_format)
    with _bound(host, port) as listening:
        shown = _address(host, listening.getsockname()[1], secure=tls_cert is not None)
        database = Database(
            settings.database_url,
            owner_url=shown,
            busy_timeout_ms=settings.busy_timeout_ms,
        )
        try:
            prepare(database)
            if auth or outside:
                _check_admin(database, host, outside=outside)
            app = create_app(database, auth=auth or outside, settings=settings)
            config = _config(app, tls_cert=tls_cert, tls_key=tls_key, proxies=proxies)
            _Server(config, shown, ready).run(sockets=[listening])
        finally:
            database.close()


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, address: str, ready: Ready | None) -> None:
        super().__init__(config)
        self._address = address
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What there is now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        if self.started and self._ready is not None:
            self._ready(self._address)


class _Bounded(HttpToolsProtocol):
    """Ends a connection whose request line and headers are too long or too slow to arrive.

    What was said before, it answers from memory.
    """

    _patience: asyncio.TimerHandle
    # Whether what comes next is the start of a request: never take a body for one.
    _between = True
    _said = b""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._between = False
        cast(dict[str, Any], self.scope)[SAID] = self._said
        self._await_head()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._between = True
        self._patience.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._between:
            # What is left of a body that nobody reads may not hold the connection.
            self._lose_patience_later()

    def on_headers_complete(self) -> None:
        self._patience.cancel()
        self._in_head = False
        super().on_headers_complete()
        cast(dict[str, Any], self.scope)[SENDS] = sends(self)

    def data_received(self, data: bytes) -> None:
        if self._between and self._repeated(data):
            return
        self._said = whole(data) if self._between else b""
        super().data_received(data)
        self._head_bytes += len(data) if self._in_head else 0
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self.transport.abort()

    def _repeated(self, data: bytes) -> bool:
        present = cast(Any, self.cycle)
        busy = present is not None and not present.response_complete
        repeats: Repeats = self.app_state["repeats"]
        if busy or self.flow.write_paused or (answer := repeats.find(data)) is None:
            return False
        began = time.perf_counter()
        self._patience.cancel()
        defaults = self.server_state.default_headers
        self.transport.write(repeats.written(answer, defaults, began=began))
        self.on_response_complete()
        return True

    def _await_head(self) -> None:
        self._head_bytes, self._in_head = 0, True
        self._lose_patience_later()

    def _lose_patience_later(self) -> None:
        if hasattr(self, "_patience"):
            self._patience.cancel()
        seconds = cast(Starlette, self.config.app).state.receive_seconds
        self._patience = self.loop.call_later(seconds, self.transport.abort)


def _config(
    app: Any, *, tls_cert: Path | None, tls_key: Path | None, proxies: Sequence[str]
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        workers=1,
        loop="uvloop",
        http=_Bounded,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server there.

    Example:
        >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_way(
    host: str,
    *,
    outside: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    proxies: Sequence[str],
) -> None:
    if (tls_cert is None) != (tls_key is None):
        raise Invalid("give --tls-cert and --tls-key together", field="tls_cert")
    if tls_cert is not None and tls_key is not None:
        _check_certificate(tls_cert, tls_key)
    for proxy in proxies:
        _check_network(proxy)
    if outside and tls_cert is None and not proxies:
        raise Invalid(
            f"{host} can be reached from other machines, and tokens would travel in the clear: "
            "give --tls-cert and --tls-key, or name the proxy in front that does TLS with "
            "--trusted-proxy ADDRESS",
            field="host",
        )


def _check_certificate(tls_cert: Path, tls_key: Path) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls_cert, tls_key)
    except (ssl.SSLError, OSError) as error:
        raise Invalid(
            f"{tls_cert} and {tls_key} are not a certificate and its key in PEM form: {error}",
            field="tls_cert",
        ) from None


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Invalid(
            f"{text!r} is not the address of a proxy: write 10.0.0.7 or 10.0.0.0/24",
            field="trusted_proxies",
        ) from None


def _check_register(settings: Settings) -> None:
    if settings.database_url.startswith(("http://", "https://")):
        raise Invalid(
            f"{settings.database_url} is a server already; give the database to serve, with --url",
            field="url",
        )
    if not settings.url:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)


def _check_admin(database: Database, host: str, *, outside: bool) -> None:
    with reading(database, everything("server")) as work:
        if access.has_admin(cast(Work, work)):
            return
    why = f"{host} can be reached from other machines" if outside else "tokens are asked for"
    raise Invalid(
        f"{why}, and no token is admin yet: make one first, on this machine, with "
        "`herdbook tokens create NAME --role admin`",
        field="host",
    )


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
    except OSError as error:
        raise Invalid(f"{host} is no address to listen on: {error}", field="host") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
    except OSError as error:
        listening.close()
        raise Invalid(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port",
            field="port",
        ) from None
    return listening


def _address(host: str, port: int, *, secure: bool) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{name}:{port}"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
