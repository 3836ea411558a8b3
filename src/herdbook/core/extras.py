"""Packages that need not be installed: one sentence where one is missing."""

import contextlib
import pickle
from collections.abc import Iterator

from herdbook.errors import HerdbookError, Invalid, MissingExtra


@contextlib.contextmanager
def needs(extra: str, *packages: str, what: str) -> Iterator[None]:
    """Say which extra brings a package that the imports inside do not find.

    Args:
        extra: the extra of Herdbook.
        packages: what it brings, by the names they are imported under.
        what: what needs it, as a sentence begins.

    Raises:
        MissingExtra: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in packages:
            raise
        raise MissingExtra(f"{what} needs {name}: pip install 'herdbook[{extra}]'") from None


@contextlib.contextmanager
def telling(ref: str, library: str) -> Iterator[None]:
    """Say which reference a library could not load, in its words.

    Raises:
        Invalid: the library refused the files.
        MissingExtra: it asks for a package of its own.
    """
    try:
        yield
    except HerdbookError:
        raise
    except ImportError as error:
        raise MissingExtra(f"{ref}: {library} asks for a package: {_first(error)}") from error
    except pickle.PickleError as error:
        # Not in torch's words: they advise to unpickle anything.
        raise Invalid(
            f"{ref}: {library} cannot load it: a pickle in it builds more than tensors, "
            "which could run code",
            field="ref",
        ) from error
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise Invalid(f"{ref}: {library} cannot load it: {_first(error)}", field="ref") from error


def _first(error: Exception) -> str:
    """Give the first lines of what a library says; some print pages."""
    return " ".join(str(error).split())[:400] or type(error).__name__
