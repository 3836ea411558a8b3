"""Which of the keys a model trusts a signature is by: what a door finds out before it is kept."""

import tempfile
from pathlib import Path

from herdbook.core.artifacts import Manifest
from herdbook.core.keys import Proof, key_digest
from herdbook.core.refs import VersionRef
from herdbook.errors import BadSignature, Invalid
from herdbook.services import artifacts
from herdbook.services.store import Runner
from herdbook.signing import verified


def proven(runner: Runner, ref: str | VersionRef, signature: str) -> Proof | None:
    """Find out which of the keys that its model trusts a signature of a version is by.

    Args:
        runner: runs jobs as whoever signs.
        ref: the version.
        signature: a Sigstore bundle as JSON text.

    Returns:
        None when it is by none of them, or is no signature at all.

    Raises:
        NotFound: there is no such version, or it was registered without bytes.
        Forbidden: whoever asks may not sign it.
        MissingExtra: the model trusts keys, and model-signing is not installed.
    """
    manifest, keys = runner.read(lambda work: artifacts.to_prove(work, ref))
    if manifest is None:
        return None
    with tempfile.TemporaryDirectory(prefix="herdbook-") as folder:
        place = Path(folder) / "key.pub"
        good = (key for key in keys if _is_good(manifest, signature, key, place))
        key = next(good, None)
    return Proof(manifest=manifest.digest, key=key_digest(key)) if key else None


def _is_good(manifest: Manifest, signature: str, key: str, place: Path) -> bool:
    # Upstream takes keys as files only.
    place.write_text(key, encoding="ascii")
    try:
        verified(manifest, signature, key=place)
    except (BadSignature, Invalid):  # Invalid: the key is no point on its curve
        return False
    return True
