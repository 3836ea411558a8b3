"""The space an encoder embeds into: what has to be the same for two vectors to be comparable."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Final, Protocol

from herdbook.core import names
from herdbook.core.numbers import Number
from herdbook.core.wire import canonical
from herdbook.errors import Invalid

DIMENSION_LIMIT: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """An embedding space.

    Args:
        model: the model whose version embeds.
        number: the version's number.
        dimension: of its vectors.
        digest: of what ran: `sha256:…` of the version's manifest, or of a function's code; ""
            when nothing is known of it.
        pooling: how token vectors become one, such as `mean`; "" when the encoder does not say.
        prefix: what is put before every document.
        query_prefix: what is put before every query.
        normalized: whether the vectors have length 1.
        dtype: the numbers the encoder computes in, such as `float32` or `int8`.
        chunker: what cut the documents, if that is to be told apart.
        embeds_as: the number whose space it is, for a version that changed nothing but metadata;
            "" for its own.

    Example:
        >>> a = Space(model="gbert", number="v1", dimension=384, digest="sha256:5d…")
        >>> b = Space(model="gbert", number="v2", dimension=384, digest="sha256:5d…")
        >>> a.fingerprint == b.fingerprint
        True
    """

    model: str
    number: str
    dimension: int
    digest: str = ""
    pooling: str = ""
    prefix: str = ""
    query_prefix: str = ""
    normalized: bool = False
    dtype: str = "float32"
    chunker: str = ""
    embeds_as: str = ""

    def __post_init__(self) -> None:
        """Refuse a space that cannot be."""
        names.model_name(self.model)
        Number(self.number)
        Number(self.embeds_as or self.number)
        if type(self.dimension) is not int or not 1 <= self.dimension <= DIMENSION_LIMIT:
            raise Invalid(
                f"dimension is {self.dimension!r:.30}; vectors have 1 to {DIMENSION_LIMIT} numbers",
                field="dimension",
            )

    @property
    def fingerprint(self) -> str:
        """Name the space: 32 hexadecimal digits of BLAKE2b over what makes vectors comparable.

        Of versions whose bytes are known it is the bytes that count, not the number: two versions
        with the same files, pooling and prefixes embed into one space.
        """
        return _fingerprint(self)

    def __str__(self) -> str:
        return f"{self.model}:{self.number} ({self.dimension} dimensions, {self.fingerprint[:12]})"


@functools.lru_cache(maxsize=256)
def _fingerprint(space: Space) -> str:
    said = {each.name: getattr(space, each.name) for each in fields(space)}
    said["number"] = said.pop("embeds_as") or space.number
    if space.digest:
        del said["model"], said["number"]
    return blake2b(canonical(said).encode(), digest_size=16).hexdigest()


class Encoder(Protocol):
    """Embeds texts.

    `space` is what the encoder that runs is, measured where it can be, never what a setting says.
    """

    @property
    def space(self) -> Space:
        """The space its vectors are in."""

    def embed(self, texts: Sequence[str]) -> Any:
        """Embed documents, the prefix put before them.

        Returns:
            A float32 array of shape (texts, dimension), one row a text, in their order.

        Raises:
            Invalid: a text among them cannot be embedded, however often it is tried.
            Unavailable: it may work later.
            Conflict: what came back is not of this space.
        """

    def embed_queries(self, texts: Sequence[str]) -> Any:
        """Embed queries, the query prefix put before them; shaped as `embed` gives it."""

    def tokens(self, texts: Sequence[str]) -> int:
        """Count, or estimate, what `embed` of these texts takes in tokens."""


def estimated_tokens(texts: Sequence[str]) -> int:
    """Estimate tokens where no tokenizer is at hand: a quarter of the characters."""
    return sum(math.ceil(len(text) / 4) for text in texts)


KINDS: Final = ("herdbook", "python", "http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """How an encoder is opened, again and on other machines; the register keeps it.

    Args:
        model: the model it embeds for.
        number: the version's number.
        source: `herdbook:gbert:v1` (the version's own files, sentence-transformers or ONNX),
            `python:package.module:function` (a callable that takes texts and gives vectors),
            `http://…/v1` or `https://…/v1` (an embedding service that speaks as OpenAI's does).
        remote_model: the name the service knows the model by; "" for the model's own.
        dimension: asked of a service that can shorten vectors; 0 for its own.
        pooling: for files that do not say; `mean`, `cls` or `max`.
        prefix: put before every document.
        query_prefix: put before every query.
        normalize: make every vector one of length 1.
        chunker: what cut the documents, if that is to be told apart.
        price_per_million_tokens: what embedding costs, for estimates and budgets.
        batch: how many texts are embedded at once.
        embeds_as: the number whose space it embeds into, for a version that changed nothing but
            metadata; "" for its own.
    """

    model: str
    number: str
    source: str
    remote_model: str = ""
    dimension: int = 0
    pooling: str = ""
    prefix: str = ""
    query_prefix: str = ""
    normalize: bool = True
    chunker: str = ""
    price_per_million_tokens: float = 0.0
    batch: int = 32
    embeds_as: str = ""

    def __post_init__(self) -> None:
        """Refuse what names no encoder."""
        names.model_name(self.model)
        Number(self.number)
        Number(self.embeds_as or self.number)
        kind, _, rest = self.source.partition(":")
        if kind not in KINDS or not rest:
            raise Invalid(
                f"{self.source!r:.120} names no encoder; write herdbook:{self.model}:"
                f"{self.number}, python:package.module:function or https://host/v1",
                field="encoder",
            )
        if kind == "python" and rest.count(":") != 1:
            raise Invalid(
                f"{self.source!r:.120} names no function; write python:package.module:function",
                field="encoder",
            )
        if kind.startswith("http") and "@" in rest.partition("/v1")[0]:
            raise Invalid(
                "an address kept in the register holds no secrets; give the key in "
                "HERDBOOK_EMBEDDING_KEY",
                field="encoder",
            )
        if not 1 <= self.batch <= 4_096:
            raise Invalid(f"batch is {self.batch}; embed 1 to 4096 texts at once", field="batch")
        if not (
            math.isfinite(self.price_per_million_tokens) and self.price_per_million_tokens >= 0
        ):
            raise Invalid("a price is 0 or more", field="price_per_million_tokens")
