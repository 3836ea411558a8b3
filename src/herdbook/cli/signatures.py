"""Options that sign what is pushed, and that say whose signatures are trusted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli.parameters import Decorator
from herdbook.core.artifacts import Manifest, Signature
from herdbook.errors import BadSignature, Invalid

if TYPE_CHECKING:
    from herdbook.front.artifacts import Sign
    from herdbook.front.pulling import Trust

# The password of a key is never an argument: the list of processes shows those to everyone.
PASSWORD: Final = "HERDBOOK_SIGN_PASSWORD"  # noqa: S105 - the name of a variable
_BYTES_LIMIT: Final = 8 * 1024**2  # more than either may have
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def sign_options(prefix: str) -> Decorator:
    """Take the key, its certificate and the chain to sign with."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        command = click.option(
            f"--{prefix}chain",
            "sign_chain",
            type=_FILE,
            multiple=True,
            help="A certificate between that one and its root (repeat).",
        )(command)
        command = click.option(
            f"--{prefix}certificate", "sign_certificate", type=_FILE, help="The key's certificate."
        )(command)
        return click.option(
            f"--{prefix}key",
            "sign_key",
            type=_FILE,
            help=f"Sign with this private key (PEM); its password is in {PASSWORD}.",
        )(command)

    return add


def taken_sign(given: dict[str, Any]) -> "Sign | None":
    """Take the options of `sign_options`."""
    key, certificate = given.pop("sign_key"), given.pop("sign_certificate")
    chain = given.pop("sign_chain")
    if key is None:
        if certificate or chain:
            raise Invalid("a certificate alone signs nothing: give the key too", field="sign_key")
        return None

    def sign(manifest: Manifest) -> str:
        from herdbook.signing import signed

        password = os.environ.get(PASSWORD, "")
        return signed(manifest, key=key, password=password, certificate=certificate, chain=chain)

    return sign


def signature_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take a signature that was made before."""
    return click.option(
        "--signature", type=_FILE, help="Keep this one instead, of whatever tool made it."
    )(command)


def taken_kept(given: dict[str, Any]) -> "Sign | None":
    """Take the option above: what "signs" with that."""
    path = given.pop("signature")
    if path is None:
        return None

    def sign(manifest: Manifest) -> str:  # noqa: ARG001 - it is over what it is over
        return _text(path)

    return sign


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_BYTES_LIMIT).decode()
    except UnicodeDecodeError:
        raise Invalid(f"{path} is no text, so neither a signature nor a key as PEM") from None


def trust_key_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take the keys that a model shall trust."""
    return click.option(
        "--trust-key",
        type=_FILE,
        multiple=True,
        help="Only what this public key signed becomes champion (repeat; the keys before go).",
    )(command)


def trust_nobody_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take the keys that a model trusts away."""
    return click.option(
        "--trust-nobody",
        is_flag=True,
        help="Take its keys away: what is not signed may become champion too.",
    )(command)


def taken_keys(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the options above into an argument."""
    paths, nobody = given.pop("trust_key"), given.pop("trust_nobody", False)
    if paths and nobody:
        raise click.UsageError("give --trust-key or --trust-nobody, not both")
    if paths or nobody:
        given["trusted_keys"] = [_text(path) for path in paths]
    return given


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take whose signatures are trusted."""
    command = click.option(
        "--root",
        "roots",
        type=_FILE,
        multiple=True,
        help="Trust what a certificate of this root signed (repeat).",
    )(command)
    return click.option(
        "--public-key", type=_FILE, help="Trust what this key signed; nothing else is taken."
    )(command)


def taken_trust(given: dict[str, Any]) -> "Trust | None":
    """Take the options of `trust_options`."""
    key, roots = given.pop("public_key"), given.pop("roots")
    if key is None and not roots:
        return None

    def trust(manifest: Manifest, signatures: tuple[Signature, ...]) -> None:
        from herdbook.signing import verified

        problems = []
        for signature in signatures:
            try:
                verified(manifest, signature.text, key=key, roots=roots, at=signature.at)
            except BadSignature as error:
                problems.append(str(error))
            else:
                return
        raise BadSignature(
            f"none of {len(signatures)} signatures is good: {'; '.join(problems)}"
            if problems
            else "it is not signed; sign it with `herdbook artifacts sign REF --key KEY`"
        )

    return trust
