"""Encoders that are Python functions: importable by name, or given as they are."""

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from herdbook.core.spaces import EncoderSpec, estimated_tokens
from herdbook.encoders.failures import blamed
from herdbook.encoders.measuring import Measured
from herdbook.errors import Conflict, HerdbookError, Invalid


def opened(spec: EncoderSpec, *, digest: str = "") -> Measured:
    """Import the function that `python:package.module:function` names.

    What stands there may be a function that takes texts, or an object with `encode`; a class is
    made an object of, and a function without any parameter is called, once, for such a one.

    Args:
        spec: with that source.
        digest: of what runs; left out, that of its code, see `code_digest`.

    Raises:
        Invalid: nothing can be imported there, or nothing that embeds.
        HerdbookError: what the first embedding raises.
    """
    _, module, path = spec.source.split(":")
    found = _imported(module, path, spec.source)
    return wrapped(found, spec, digest=digest)


def wrapped(function: Any, spec: EncoderSpec, *, digest: str = "") -> Measured:
    """Take a callable as an encoder.

    It may say of itself, as attributes: `digest` (a text that tells its weights apart from any
    others, so that two versions with the same are one space), `pooling`, `max_tokens` (of a text;
    more are cut off) and `count_tokens`, a function of texts.

    Args:
        function: takes a list of texts and gives an array or lists of numbers; or an object
            with such an `encode`; or a class or a function without parameters that gives either.
        spec: the model and number it embeds for, prefixes, normalisation.
        digest: of what runs; left out, that of its code, see `code_digest`.

    Raises:
        Invalid: it is nothing that embeds.
        HerdbookError: what the first embedding raises.
    """
    name = _name(function)
    made = _made(function, name)
    said = getattr(made, "digest", "")
    own = said if isinstance(said, str) else ""
    running = Function(made, name=name, batch=spec.batch)
    return Measured(
        running,
        spec,
        digest=digest or own or code_digest(function, spec),
        prefix=spec.prefix,
        query_prefix=spec.query_prefix,
    )


def code_digest(function: Any, spec: EncoderSpec) -> str:
    """Digest the code of a function: `code:` and 32 hexadecimal digits of BLAKE2b.

    It is over the bytes of the module's file, the name within it, and the model and number the
    function embeds for: weights that the code reads from elsewhere are not in it, so two
    versions are never taken for one space because they share their code. Any change in the file
    makes it another; give a digest of your own where that is too strict, or too loose.

    Returns:
        "" where the code is in no file, as in a notebook: then nothing is known of it.
    """
    owner = _code_of(function)
    path = getattr(sys.modules.get(getattr(owner, "__module__", "")), "__file__", None)
    if not path:
        return ""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return ""
    said = "\0".join((_name(function), spec.model, spec.embeds_as or spec.number)).encode()
    return "code:" + blake2b(said + b"\0" + data, digest_size=16).hexdigest()


class Function:
    """Runs a function over texts.

    Args:
        function: of a list of texts; an object with `encode` will do.
        name: for messages.
        batch: how many texts it takes at once.
    """

    dtype = ""

    def __init__(self, function: Any, *, name: str, batch: int) -> None:
        encode = getattr(function, "encode", None)
        self._call: Callable[[list[str]], Any] = encode if callable(encode) else function
        self._count = getattr(function, "count_tokens", None)
        self._most = getattr(function, "max_tokens", None)
        self._batch = batch
        self.name = name
        self.pooling = str(getattr(function, "pooling", "") or "")

    def rows(self, texts: list[str], *, prefix: str) -> Any:
        """Give what the function gives."""
        full = [prefix + text for text in texts] if prefix else texts
        found = [
            self._batched(full[start : start + self._batch])
            for start in range(0, len(full), self._batch)
        ]
        return found[0] if len(found) == 1 else _together(found)

    def _batched(self, texts: list[str]) -> Any:
        with blamed(self.name):
            found = self._call(texts)
            count = len(found)
        # Told batch by batch: what one lacks, another could make up for with somebody else's.
        if count != len(texts):
            raise Conflict(
                f"{self.name} gives {count} vectors for {len(texts)} texts; give one for each"
            )
        return found

    def tokens(self, texts: list[str], *, prefix: str) -> int:
        """Ask the function, or estimate."""
        full = [prefix + text for text in texts]
        if callable(self._count):
            with blamed(f"{self.name}.count_tokens"):
                return int(self._count(full))
        if isinstance(self._most, int):
            return sum(min(estimated_tokens([text]), self._most) for text in full)
        return estimated_tokens(full)


def _together(found: Sequence[Any]) -> Any:
    """Give the rows of all batches; those that are not of one length are told of by the check."""
    import numpy as np

    try:
        return np.concatenate([np.asarray(rows) for rows in found])
    except (ValueError, TypeError, RuntimeError):
        return [row for rows in found for row in rows]


def _imported(module: str, path: str, source: str) -> Any:
    if module == "__main__":
        raise Invalid(
            f"{source} is only in this program; put the function into a module that can be "
            "imported wherever the encoder is opened",
            field="encoder",
        )
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        raise Invalid(
            f"{source} cannot be imported: {type(error).__name__}: {error}"[:400], field="encoder"
        ) from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Invalid(f"{source}: there is no {part} in {module}", field="encoder") from None
    return found


def _made(function: Any, name: str) -> Any:
    """Give what embeds: the thing itself, or what a class or factory makes."""
    made = function
    if inspect.isclass(function) or _takes_nothing(function):
        try:
            with blamed(name):
                made = function()
        except HerdbookError as error:
            error.field = error.field or "encoder"
            raise
    if inspect.isclass(made) or not (callable(getattr(made, "encode", None)) or callable(made)):
        raise Invalid(
            f"{name} gives {type(made).__name__}, which embeds nothing; it must be a function of a "
            "list of texts, or have encode()",
            field="encoder",
        )
    return made


def _takes_nothing(function: Any) -> bool:
    if not inspect.isroutine(function):
        return False
    try:
        return not inspect.signature(function).parameters
    except (ValueError, TypeError):
        return False  # a function of C that does not tell takes texts, as most do


def _code_of(function: Any) -> Any:
    """Give what has the code: of an object its class, of a partial or method the function."""
    inner = getattr(function, "func", function)
    inner = getattr(inner, "__func__", inner)
    return inner if inspect.isclass(inner) or inspect.isroutine(inner) else type(inner)


def _name(function: Any) -> str:
    owner = _code_of(function)
    return f"{getattr(owner, '__module__', '')}:{getattr(owner, '__qualname__', repr(owner))}"
