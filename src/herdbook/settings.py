"""Every setting, read only by doors and `bootstrap`.

A setting `name` comes from, in this order: an argument, the environment variable
`HERDBOOK_NAME`, the nearest `herdbook.toml` in this folder or above, its default.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from herdbook.errors import Invalid

PROJECT_FILE = "herdbook.toml"
# What other programs call a setting; both may be set where they say the same.
ALSO_CALLED: Final = {"model_ref": "ML_MODEL_REF"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings.

    Args:
        home: the folder where things live: `herdbook.db`, `blobs/`, `cache/`.
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
        metrics_models: whether a server's `/metrics` names models.
        log_format: `text` or `json`; "" for text on a terminal.
        receive_seconds: how long a server waits for a request's headers, and for its body.
        model_ref: the model to load where none is named, such as `local:artifacts/model-v1`.
        offline: whether no connection may be made to load a model.
        blobs: where the bytes of versions are: a folder, `s3://`, `gs://` or `az://…`; "" for
            `blobs` in `home`.
        cache: the folder of what was fetched; `cache` in `home` when it is left out.
        cache_bytes: how large that may grow, 0 for any size.
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
    metrics_models: bool = True
    log_format: str = ""
    receive_seconds: float = 30.0
    model_ref: str = ""
    offline: bool = False
    blobs: str = ""
    cache: Path = Path()
    cache_bytes: int = 0

    def __post_init__(self) -> None:
        """Put the cache into the home folder unless it is elsewhere."""
        if self.cache == Path():
            object.__setattr__(self, "cache", self.home / "cache")

    def __repr__(self) -> str:
        """Show everything but secrets."""
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in self.shown().items())})"

    def shown(self) -> dict[str, object]:
        """Give every setting by name, secrets blotted out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["token"] = "…" if self.token else ""
        for name in ("url", "blobs"):
            values[name] = _without_password(str(values[name]))
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
        given = {k: v for k, v in given.items() if v is not None}
        for name in known:
            text = _from_environment(environ, name, others=name not in given)
            if text:
                found[name] = text
        found |= given
        _keep_token(found, project)
        values: dict[str, Any] = {name: _read(name, found[name]) for name in found}
        return cls(**{"home": _default_home(), **values})

    @property
    def database_url(self) -> str:
        """The register's address, the default filled in."""
        return self.url or f"sqlite:///{self.home / 'herdbook.db'}"

    @property
    def blobs_address(self) -> str:
        """Where the bytes of versions are, the default filled in."""
        return self.blobs or str(self.home / "blobs")


_KINDS = {
    "timeout_seconds": float,
    "refresh_seconds": float,
    "max_staleness_seconds": float,
    "receive_seconds": float,
    "busy_timeout_ms": int,
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


_SWITCHES: Final = frozenset({"webhook_private", "metrics_models", "offline"})
_FOLDERS: Final = frozenset({"home", "cache"})
_MAY_BE_ZERO: Final = frozenset({"max_staleness_seconds"})
_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgt]?i?b?)", re.IGNORECASE)


def _from_environment(environ: Mapping[str, str], name: str, *, others: bool) -> str:
    """Give what the environment says of a setting, also under its other name."""
    variable, other = f"HERDBOOK_{name.upper()}", ALSO_CALLED.get(name, "")
    text, also = environ.get(variable, ""), environ.get(other, "")
    if others and text and also and text != also:
        raise Invalid(
            f"{variable} is {text} and {other} is {also}; set one of them, or both to the same",
            field=name,
        )
    return text or also


def _read(name: str, value: object) -> object:  # noqa: PLR0911 - one answer a kind
    if name in _FOLDERS:
        return Path(str(value)).expanduser().absolute()
    if name in _SWITCHES:
        return _switch(name, value)
    if name == "cache_bytes":
        return size_bytes(str(value), field=name)
    if name == "blobs":
        return _store(str(value), Path.cwd)
    if name == "log_format" and str(value) not in {"", "json", "text"}:
        raise Invalid(f"log_format is {value!r}; write json or text", field=name)
    if name not in _KINDS:
        return str(value)
    return _number(name, value)


def _switch(name: str, value: object) -> bool:
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise Invalid(f"HERDBOOK_{name.upper()} is {value!r}; write 1 or 0", field=name)
    return word in _TRUE


def _number(name: str, value: object) -> float:
    try:
        number: float = _KINDS[name](str(value))
    except ValueError:
        raise Invalid(f"{name} is {value!r}; it must be a number", field=name) from None
    if not 0 <= number < math.inf or (number == 0 and name not in _MAY_BE_ZERO):
        raise Invalid(f"{name} is {number}; it must be above 0 and finite", field=name)
    return number


def size_bytes(text: str, *, field: str) -> int:
    """Read a size: a number of bytes, or one with a unit.

    Raises:
        Invalid: it is none.

    Example:
        >>> size_bytes("20GB", field="cache_bytes"), size_bytes("1.5 MiB", field="cache_bytes")
        (20000000000, 1572864)
    """
    met = _SIZE.fullmatch(text.strip())
    unit = met["unit"].lower() if met else ""
    if not met or unit in {"i", "ib"} or (not unit and "." in met["number"]):
        raise Invalid(
            f"{field} is {text!r}; write bytes, or a size such as 20GB or 500MiB", field=field
        )
    power = " kmgt".index(unit[0]) if unit and unit[0] != "b" else 0
    return int(float(met["number"]) * (1024 if "i" in unit else 1000) ** power)


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
    for name in _FOLDERS & found.keys():
        found[name] = str(folder / Path(str(found[name])).expanduser())
    if found.get("blobs"):
        found["blobs"] = _store(str(found["blobs"]), lambda: folder)
    scheme, colon, place = str(found.get("model_ref", "")).partition(":")
    if scheme == "local" and colon and place and not place.startswith(("/", "~", "\\")):
        found["model_ref"] = f"local:{folder.absolute() / place}"
    path = str(found.get("url", "")).removeprefix("sqlite:///")
    if path != found.get("url", "") and not path.startswith(("/", ":")):
        found["url"] = f"sqlite:///{folder / path}"
    return found


def _store(text: str, folder: Callable[[], Path]) -> str:
    """Take the relative folder of a store from a folder; addresses stay as they are."""
    scheme, colon, rest = text.partition(":")
    if not text or (colon and "/" not in scheme and scheme != "file"):
        return text
    path = Path(rest.removeprefix("//") if colon and scheme == "file" else text)
    return str(folder() / path.expanduser())


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
