"""Versions of the register, pulled into the cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from herdbook.bootstrap import connect
from herdbook.core.artifacts import Manifest
from herdbook.core.refs import VersionRef
from herdbook.errors import Corrupt, NotFound
from herdbook.front.book import Herdbook
from herdbook.loader.files import Fact
from herdbook.settings import Settings

Pulled = tuple[str, Path, Mapping[str, Fact]]
_TRIES: Final = 5


def kept(ref: VersionRef, settings: Settings) -> tuple[str, Path | None, Mapping[str, Fact]]:
    """Give which version a reference is and its folder, None where that is not in the cache."""
    _refuse_far_register(ref, settings)
    with connect(settings=settings) as book:
        cache = book.artifacts.cache
        if settings.offline and _is_far(book.address):
            known = cache.recall(book.address, str(ref))
            if known is None:
                return "", None, {}
            manifest, version, _ = known
        else:
            found = book.artifacts.files(str(ref))
            manifest, version = found.whole(), found.ref
        return version, cache.present(manifest.digest), _facts(manifest)


def fetched(ref: VersionRef, settings: Settings) -> Pulled:
    """Give which version a reference is, and its folder, pulled unless it is in the cache.

    Raises:
        NotFound: there is no such version, it has no bytes, or they are not here and no
            connection may be made.
        Unreachable, Unavailable: the register or the store does not answer.
        Corrupt: other bytes arrived.
    """
    if settings.offline:
        version, folder, facts = kept(ref, settings)
        if folder:
            return version, folder, facts
        if _is_far(settings.blobs_address):
            raise NotFound(
                f"{ref} is not in the cache at {settings.cache}, and HERDBOOK_OFFLINE=1 forbids to "
                f"fetch it from {settings.blobs_address}; `herdbook artifacts download {ref}` "
                "fetches it where there is a network",
                field="ref",
            )
    with connect(settings=settings) as book:
        return _pulled(book, ref)


def _pulled(book: Herdbook, ref: VersionRef) -> Pulled:
    # An alias may move between the pull and the question what was pulled.
    for _ in range(_TRIES):
        folder = book.artifacts.pull(str(ref))
        known = book.artifacts.cache.recall(book.address, str(ref))
        if known and book.artifacts.cache.present(known[0].digest) == folder:
            return known[1], folder, _facts(known[0])
    raise Corrupt(f"{ref} was not in the cache after it was pulled; try again")


def _facts(manifest: Manifest) -> dict[str, Fact]:
    return {file.path: Fact(file.size, file.digest) for file in manifest.files}


def _refuse_far_register(ref: VersionRef, settings: Settings) -> None:
    """Refuse a database of the network where no connection may be made."""
    if settings.offline and settings.database_url.startswith("postgresql"):
        raise NotFound(
            f"{ref}: the register is a database on the network, and HERDBOOK_OFFLINE=1 forbids to "
            f"ask it; `herdbook artifacts create --from herdbook:{ref} --version v1` makes a "
            "folder that needs no register",
            field="ref",
        )


def _is_far(address: str) -> bool:
    return "://" in address and not address.startswith(("sqlite:", "file:"))
