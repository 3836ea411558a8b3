"""Starting a server: where it may listen, and what a real one answers."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import herdbook
from herdbook import errors
from herdbook.server import run
from herdbook.settings import Settings
from tests.running import free_port, served

ANYWHERE = "0.0.0.0"  # noqa: S104 - what the tests are about


def _settings(folder: Path) -> Settings:
    return Settings(home=folder, url=f"sqlite:///{folder}/herdbook.db")


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.7", "herd.example"])
def test_it_does_not_listen_elsewhere_without_tls_or_a_proxy(tmp_path: Path, host: str) -> None:
    with pytest.raises(errors.Invalid, match="--tls-cert"):
        run.start(_settings(tmp_path), host=host, port=free_port())


def test_it_does_not_listen_elsewhere_without_an_admin(tmp_path: Path) -> None:
    port = free_port()

    with pytest.raises(errors.Invalid, match="tokens create"):
        run.start(_settings(tmp_path), host=ANYWHERE, port=port, trusted_proxies=["10.0.0.7"])

    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_viewer_is_no_admin(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with herdbook.connect(settings=settings) as book:
        book.tokens.create("eye", roles=["viewer", "admin:search/*"])

    with pytest.raises(errors.Invalid, match="no token is admin"):
        run.start(settings, host=ANYWHERE, port=free_port(), trusted_proxies=["10.0.0.7"])


@pytest.mark.parametrize("proxy", ["*", "everyone", "10.0.0.7/99"])
def test_a_proxy_is_an_address(tmp_path: Path, proxy: str) -> None:
    with pytest.raises(errors.Invalid, match="proxy"):
        run.start(_settings(tmp_path), trusted_proxies=[proxy])


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="--tls-key"):
        run.start(_settings(tmp_path), tls_cert=tmp_path / "cert.pem")


def test_a_server_is_no_register_to_serve(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="is a server already"):
        run.start(Settings(home=tmp_path, url="http://127.0.0.1:1"))


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(errors.Invalid, match=f"cannot listen on 127.0.0.1:{port}"):
            run.start(_settings(tmp_path), port=port)


def test_it_refuses_from_the_command_line_as_wrong_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "herdbook", "server", "start", "--host", ANYWHERE],
        env={**os.environ, "HERDBOOK_URL": f"sqlite:///{tmp_path}/herdbook.db"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "--tls-cert" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_it_asks_for_tokens(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(url) as book:
        secret = book.tokens.create("root", roles=["admin"]).secret

    with served(url, "--host", ANYWHERE, "--trusted-proxy", "10.0.0.7") as address:
        with (
            herdbook.connect(address) as stranger,
            pytest.raises(errors.Unauthenticated, match="tokens create"),
        ):
            stranger.models.list()
        with herdbook.connect(address, token=secret) as root:
            assert root.models.list().items == ()


def test_a_revoked_token_stops_counting_within_a_second(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(url) as book:
        root = book.tokens.create("root", roles=["admin"]).secret

    with (
        served(url, "--auth") as address,
        herdbook.connect(address, token=root) as admin,
    ):
        made = admin.tokens.create("eye", roles=["viewer"])
        with herdbook.connect(address, token=made.secret) as eye:
            eye.models.list()
            admin.tokens.revoke(made.token.id)
            time.sleep(1.05)
            with pytest.raises(errors.Unauthenticated):
                eye.models.list()


def test_the_log_of_a_whole_story_holds_no_secret(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(url) as book:
        root = book.tokens.create("root", roles=["admin"]).secret

    with logged(url, "--auth", HERDBOOK_LOG_FORMAT="json") as (address, log):
        with herdbook.connect(address, token=root) as admin:
            made = admin.tokens.create("ci", roles=["viewer"])
            hook = admin.webhooks.create("https://hooks.example/herdbook")
            admin.models.register("majora")
        with (
            herdbook.connect(address, token="hb_" + "z" * 57) as wrong,
            pytest.raises(errors.Unauthenticated),
        ):
            wrong.models.list()

    said = log.read_text()
    assert '"route": "/models/register"' in said
    for secret in (root, made.secret, hook.secret, "z" * 57):
        assert secret not in said
        assert secret[3:20] not in said
    kept = (tmp_path / "herdbook.db").read_bytes()
    assert made.secret.encode() not in kept
    assert made.secret[11:54].encode() not in kept


@contextmanager
def logged(url: str, *options: str, **environ: str) -> Iterator[tuple[str, Path]]:
    """A server whose log is kept in a file."""
    log = Path(url.removeprefix("sqlite:///")).with_name("server.log")
    port = free_port()
    words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(port), *options]
    env = {**os.environ, "HERDBOOK_URL": url, **environ}
    with log.open("wb") as out, subprocess.Popen(words, env=env, stderr=out) as running:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}", log
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=30) in {0, -signal.SIGTERM}


def _wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not listen")


def test_what_reaches_the_socket_is_judged_as_it_came(tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path}/herdbook.db") as address:
        port = int(address.rpartition(":")[2])
        own, evil = f"Host: 127.0.0.1:{port}", "Host: evil.example"

        assert _raw(port, "GET /models HTTP/1.1", own) == 200
        assert _raw(port, "GET /models HTTP/1.1", own, evil) == 400
        assert _raw(port, "GET /models HTTP/1.1", evil) == 421
        assert _raw(port, "GET /models HTTP/1.1") == 400
        assert _raw(port, "GET http://evil.example/models HTTP/1.1", evil) == 421
        assert _raw(port, "GET /models HTTP/1.1", own, "X-Big: " + "x" * 65_536) in {400, 431}
        assert _raw(port, "GET /models HTTP/1.1", own) == 200


def _raw(port: int, *lines: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        text = "\r\n".join([*lines, "Connection: close", "", ""])
        connection.sendall(text.encode())
        return int(connection.recv(4_096).split(b" ")[1])


def test_a_second_server_says_who_owns_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/herdbook.db"

    with served(url) as address, pytest.raises(errors.Owned, match=address):
        run.start(_settings(tmp_path), port=free_port())


def test_it_speaks_tls(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(port)]
    words += ["--tls-cert", str(cert), "--tls-key", str(key)]
    env = {**os.environ, "HERDBOOK_URL": f"sqlite:///{tmp_path}/herdbook.db"}
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False
    with subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL) as running:
        _wait_for(port)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
        running.terminate()
