"""What goes into a slot: a version of the register, or a folder of this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from herdbook.core.models import Version
from herdbook.core.refs import ModelRef
from herdbook.errors import Invalid, NotFound
from herdbook.storage.slots import copied, surveyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to stage.

    Args:
        version: as people call it.
        digest: of its manifest.
        fill: makes a new folder with its files.
    """

    version: str
    digest: str
    fill: Callable[[Path], object]


def sourced(ref: str, asked: Callable[[str], Source]) -> Source:
    """Find what a reference names.

    Args:
        ref: a version of the register, or `local:FOLDER`.
        asked: asks the register for a version.

    Raises:
        Invalid: it names something elsewhere.
    """
    where = ModelRef.parse(ref)
    if where.scheme == "local":
        folder = Path(where.path)
        manifest = surveyed(folder)
        return Source(version=str(where), digest=manifest.digest, fill=copied(folder, manifest))
    if where.version is not None:
        return asked(str(where.version))
    raise Invalid(
        f"{where.scheme}: is not staged directly; `herdbook artifacts create --from {where} "
        "--version v1` gets it, then stage local:artifacts/model-v1",
        field="ref",
    )


def registered(version: Version, pull: Callable[..., object]) -> Source:
    """Give a version of the register, by its number: an alias may move meanwhile.

    Args:
        version: what to stage.
        pull: gives its files, as `Artifacts.pull`.

    Raises:
        NotFound: it was registered without its bytes.
    """
    if not version.facts.manifest:
        raise NotFound(
            f"{version.ref} was registered without its files; push them, or stage a folder with "
            "local:FOLDER",
            field="ref",
        )
    return Source(
        version=version.ref,
        digest=version.facts.manifest,
        # Copies: a link would let whoever writes in a slot damage the store.
        fill=lambda to: pull(version.ref, to=to, link=False),
    )
