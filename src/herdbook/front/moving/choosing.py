"""How a user names an encoder, a place and a store, and what that becomes."""

import functools
import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from herdbook.core.migrations import Migration
from herdbook.core.refs import VersionRef
from herdbook.core.spaces import EncoderSpec
from herdbook.core.vectors import NAME_LIMIT, Place
from herdbook.errors import Conflict, Invalid
from herdbook.front.moving.opening import Opener

# Kinds of stores that are a folder.
FOLDERS: Final = ("lancedb", "chroma", "qdrant", "qdrant-edge")

_HERE: Final = "python:here:"

Named = EncoderSpec | str | Callable[..., Any] | None


def spec_of(named: Any, ref: VersionRef, opener: Opener, **options: Any) -> EncoderSpec:
    """Give the spec of an encoder.

    Args:
        named: a spec; a source as `https://host/v1`; a function of this process; None for the
            version's own files.
        ref: the version it embeds for, by its number.
        opener: remembers functions nothing else can import.
        options: more of the spec.
    """
    if isinstance(named, EncoderSpec):
        return named
    about: dict[str, Any] = {"model": ref.model, "number": ref.number, **options}
    if named is None:
        return EncoderSpec(source=f"herdbook:{ref.model}:{ref.number}", **about)
    if isinstance(named, str):
        return EncoderSpec(source=named, **about)
    name = importable(named)
    spec = EncoderSpec(source=f"python:{name or _local(named)}", **about)
    if not name:
        opener.give(spec, named)
    return spec


def require_same(begun: Migration, named: Named) -> None:
    """Refuse to go on with another encoder than a migration was begun with.

    Raises:
        Conflict: it is another.
    """
    known = begun.target.encoder
    if named is None or known is None:
        return
    if isinstance(named, EncoderSpec):
        same = replace(named, number=known.number, embeds_as=known.embeds_as) == known
        said = named.source
    else:
        said = named if isinstance(named, str) else f"python:{importable(named) or _local(named)}"
        # What is in no module goes by any name; its space is compared once it is opened.
        same = said == known.source or (said.startswith(_HERE) and known.source.startswith(_HERE))
    if not same:
        raise Conflict(
            f"{begun.id} was begun with {known.source}, not with {said}; leave the encoder out to "
            "go on, or roll it back and start another",
            field="encoder",
        )


def _local(function: Any) -> str:
    said = getattr(function, "__qualname__", type(function).__qualname__)
    return f"here:{re.sub(r'[^A-Za-z0-9_.]', '_', said)}"


def importable(function: Any) -> str:
    """Give `module:name` when importing that gives the same object elsewhere, else ""."""
    module = getattr(function, "__module__", "")
    path = getattr(function, "__qualname__", "")
    if not module or module == "__main__" or not path or "<" in path:
        return ""
    try:
        found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        return ""
    return f"{module}:{path}" if found is function else ""


def place_of(name: str) -> Place:
    """Give the place of a new collection: its own name, as far as a store takes it."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:NAME_LIMIT]
    return Place(collection=plain if plain[:1].isalpha() else f"c_{plain}"[:NAME_LIMIT])


def absolute(address: str) -> str:
    """Give the address of a store that means the same wherever it is read from."""
    kind, _, rest = address.partition(":")
    if kind not in FOLDERS or rest.startswith("//"):
        return address
    if not rest:
        raise Invalid(f"{address!r} names no folder; write {kind}:FOLDER", field="store")
    return f"{kind}:{Path(rest).expanduser().absolute()}"


def alias_of(name: str) -> str:
    """Give the name of the store's alias that follows a collection; no two have the same."""
    plain = place_of(name).collection
    if plain == name and len(name) <= NAME_LIMIT - 8:
        return f"{plain}-current"
    mark = blake2b(name.encode(), digest_size=3).hexdigest()
    return f"{plain[: NAME_LIMIT - 15]}-{mark}-current"
