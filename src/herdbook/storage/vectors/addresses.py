"""Addresses of vector stores. They are kept in the register, so they never hold a password."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from herdbook.errors import Invalid

FORMS: Final = (
    "pgvector://user@host:5432/database",
    "pgvector:///database?host=/folder/of/the/socket&user=user",
    "lancedb:folder",
    "chroma:folder",
    "chroma://host:8000",
    "qdrant:folder",
    "qdrant://host:6333",
    "qdrant+https://host:6333",
    "qdrant-edge:folder",
)

# Where a secret goes instead.
_INSTEAD: Final = {
    "pgvector": "PGPASSWORD or a pgpass file",
    "chroma": "CHROMA_TOKEN",
    "qdrant": "QDRANT_API_KEY",
}
_SECRETS: Final = frozenset({"password", "passwd", "sslpassword", "token", "api_key", "apikey"})


def kind_of(address: str) -> str:
    """Tell which kind of store an address is of.

    Raises:
        Invalid: of none, or it holds a password.

    Example:
        >>> kind_of("qdrant+https://host:6333")
        'qdrant'
    """
    scheme, colon, rest = address.partition(":")
    kind = scheme.removesuffix("+https") if scheme == "qdrant+https" else scheme
    if not colon or not rest.strip("/") or kind not in {form.partition(":")[0] for form in FORMS}:
        raise Invalid(
            f"{address!r:.120} is no address of a vector store; write one of {', '.join(FORMS)}",
            field="store",
        )
    if rest.startswith("//"):
        _refuse_secrets(address, instead=_INSTEAD.get(kind, "the environment"))
    elif scheme in {"pgvector", "qdrant+https"}:
        raise Invalid(f"write {scheme}://… instead of {scheme}:…", field="store")
    return kind


def _refuse_secrets(address: str, *, instead: str) -> None:
    try:
        parts = urlsplit(address)
        asked = {key.lower() for key, _ in parse_qsl(parts.query)}
        secret = parts.password is not None or bool(asked & _SECRETS)
    except ValueError:
        raise Invalid("the address of the vector store cannot be read", field="store") from None
    if secret:
        raise Invalid(
            f"an address kept in the register holds no password; give it in {instead}",
            field="store",
        )
