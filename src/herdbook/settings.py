"""Every setting, read only by doors and `bootstrap`.

A setting `name` comes from, in this order: an argument, the environment variable
`HERDBOOK_NAME`, the nearest `herdbook.toml` in this folder or above, its default.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from herdbook.errors import Invalid

PROJECT_FILE = "herdbook.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings.

    Args:
        home: the folder where things live: `herdbook.db`, `cache/`.
        url: the register: `sqlite:///…`, `postgresql://…` or `http://…`; "" for
            `herdbook.db` in `home`.
        token: the token for a server.
        actor: who acts in local mode; "" for the name of the operating system's user.
        timeout_seconds: how long a client waits for a server, above 0.
        busy_timeout_ms: how long a SQLite writer waits for another.
        refresh_seconds: how often `resolve` looks at the register, above 0.
        max_staleness_seconds: how old an answer of `resolve` may be, 0 for any age.
        webhook_private: whether webhooks may go to loopback and private addresses.
        trusted_hosts: names a server answers to beside its own, comma-separated.
        trusted_proxies: addresses whose forwarded headers a server believes, comma-separated.
        log_format: `text` or `json`; "" for text on a terminal.
        receive_seconds: how long a server waits for a request's headers, and for its body.
    """

    home: Path
    url: str = ""
    token: str = ""
    actor: str = ""
    timeout_seconds: float = 30.0
    busy_timeout_ms: int = 30_000
    refresh_seconds: float = 1.0
    max_staleness_seconds: float = 0.0
    webhook_private: bool = False
    trusted_hosts: str = ""
    trusted_proxies: str = ""
    log_format: str = ""
    receive_seconds: float = 30.0

    def __repr__(self) -> str:
        """Show everything but secrets."""
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in self.shown().items())})"

    def shown(self) -> dict[str, object]:
        """Give every setting by name, secrets blotted out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["token"] = "…" if self.token else ""
        values["url"] = _without_password(self.url)
        return values

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        **given: Any,
    ) -> Self:
        """Read the settings.

        Raises:
            Invalid: a setting that does not exist, or one whose value cannot be read.
        """
        environ = os.environ if environ is None else environ
        project = _project(folder or Path.cwd())
        known = {f.name: f for f in fields(cls)}
        for name in project.keys() - known.keys():
            raise Invalid(f"{PROJECT_FILE}: {name} is not a setting{_near(name, known)}")
        _refuse_slips(environ, known)
        if given.get("url") == "":
            raise Invalid("the address of the register is empty; leave it out for the default")
        found = dict(project)
        for name in known:
            text = environ.get(f"HERDBOOK_{name.upper()}")
            if text:
                found[name] = text
        found |= {k: v for k, v in given.items() if v is not None}
        _keep_token(found, project)
        values: dict[str, Any] = {name: _read(name, found[name]) for name in found}
        return cls(**{"home": _default_home(), **values})

    @property
    def database_url(self) -> str:
        """The register's address, the default filled in."""
        return self.url or f"sqlite:///{self.home / 'herdbook.db'}"


_KINDS = {
    "timeout_seconds": float,
    "refresh_seconds": float,
    "max_staleness_seconds": float,
    "receive_seconds": float,
    "busy_timeout_ms": int,
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def _read(name: str, value: object) -> object:
    if name == "home":
        return Path(str(value)).expanduser().absolute()
    if name == "webhook_private":
        word = str(value).lower()
        if word not in _TRUE | _FALSE:
            raise Invalid(f"HERDBOOK_{name.upper()} is {value!r}; write 1 or 0", field=name)
        return word in _TRUE
    if name == "log_format" and str(value) not in {"", "json", "text"}:
        raise Invalid(f"log_format is {value!r}; write json or text", field=name)
    if name not in _KINDS:
        return str(value)
    try:
        number = _KINDS[name](str(value))
    except ValueError:
        raise Invalid(f"{name} is {value!r}; it must be a number", field=name) from None
    if not 0 <= number < math.inf or (number == 0 and name != "max_staleness_seconds"):
        raise Invalid(f"{name} is {number}; it must be above 0 and finite", field=name)
    return number


def _keep_token(found: Mapping[str, Any], project: Mapping[str, Any]) -> None:
    # A folder one was given must not choose who is sent the token of this user.
    url = str(found.get("url", ""))
    chosen = url.startswith("http") and found.get("url") is project.get("url")
    if chosen and found.get("token") and found["token"] is not project.get("token"):
        raise Invalid(
            f"{PROJECT_FILE} leads to {url}, and the token comes from elsewhere: to send it "
            f"there, set HERDBOOK_URL={url} too",
            field="url",
        )


def _project(folder: Path) -> dict[str, Any]:
    for place in (folder, *folder.parents):
        file = place / PROJECT_FILE
        if file.is_file():
            try:
                return _placed(tomllib.loads(file.read_text()), place)
            except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
                raise Invalid(f"{file} cannot be read: {error}") from None
    return {}


def _placed(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Take the relative paths of a project file from its own folder, wherever one stands."""
    if "home" in found:
        found["home"] = str(folder / Path(str(found["home"])).expanduser())
    path = str(found.get("url", "")).removeprefix("sqlite:///")
    if path != found.get("url", "") and not path.startswith(("/", ":")):
        found["url"] = f"sqlite:///{folder / path}"
    return found


def _near(name: str, known: Iterable[str]) -> str:
    turned = [one for one in known if sorted(one) == sorted(name.lower())]
    near = turned or difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else f"; {', '.join(known)} are"


def _refuse_slips(environ: Mapping[str, str], known: Iterable[str]) -> None:
    """Refuse a variable that is one slip away from a setting's: it would be ignored in silence."""
    for variable in environ:
        name = variable.removeprefix("HERDBOOK_").lower()
        if name == variable.lower() or name in known:
            continue
        hint = _near(name, known)
        if "did you mean" in hint:
            raise Invalid(f"{variable} is not a setting{hint}", field=variable)


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("herdbook", appauthor=False)


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.partition(':')[0]}:…@{tail}"
