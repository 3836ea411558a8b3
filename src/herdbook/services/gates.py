"""What a version must be before an alias points at it; the champion most of all."""

from herdbook.core.keys import key_digest
from herdbook.core.models import Model, Status, Version, check_transition
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION
from herdbook.errors import Refused, RefusedMove


def check_servable(work: Work, model: Model, version: Version, *, alias: str) -> None:
    """Refuse a version that an alias cannot point at.

    Args:
        work: the unit of work that moves the alias.
        model: as it is in that work, locked.
        version: to point at.
        alias: the alias.

    Raises:
        RefusedMove: the version's status does not allow it.
        Refused: the model trusts keys, and none of them signed the version.
    """
    if version.status is Status.ARCHIVED:
        raise RefusedMove(
            f"{version.ref} is archived; restore it before pointing {alias} at it, with "
            f"`herdbook versions status {version.ref} deprecated`",
            field="ref",
        )
    if alias != CHAMPION:
        return
    if not version.sealed:
        raise RefusedMove(
            f"{version.ref} is {version.status}: finish it first, with "
            f"`herdbook versions status {version.ref} development`",
            field="ref",
        )
    check_transition(version.ref, version.status, Status.PRODUCTION)
    check_signed(work, model, version)


def check_signed(work: Work, model: Model, version: Version, *, new: bool = False) -> None:
    """Refuse a champion that no key the model trusts has signed; where it trusts none, take all.

    Args:
        work: the unit of work that moves the alias.
        model: as it is in that work, locked.
        version: the champion to be.
        new: whether it is only being registered, and so cannot be signed yet.

    Raises:
        Refused: saying what mends it.
    """
    if not model.trusted_keys:
        return
    manifest = version.facts.manifest
    trusted = {key_digest(key) for key in model.trusted_keys}
    if manifest and trusted & work.artifacts.verified_keys(manifest):
        return
    raise Refused(
        f"{version.ref} cannot become the champion: {model.name} takes only what a key it trusts "
        f"signed, and {_lacking(work, manifest)}; {_mended(version, new=new)}",
        field="ref",
    )


def _lacking(work: Work, manifest: str) -> str:
    if not manifest:
        return "this was registered without bytes, so there is nothing to sign"
    kept = len(work.artifacts.signers(manifest))
    if not kept:
        return "this is not signed"
    which = "its one signature" if kept == 1 else f"none of its {kept:,} signatures"
    return f"{which} was {'not ' if kept == 1 else ''}verified here to be by one of them"


def _mended(version: Version, *, new: bool) -> str:
    if not version.facts.manifest:
        return (
            f"register the next one with `herdbook add {version.model} --path FOLDER`, and sign it"
        )
    way = f"sign it with `herdbook artifacts sign {version.ref} --key KEY`"
    return f"register it in development, {way}, deploy it then" if new else way
