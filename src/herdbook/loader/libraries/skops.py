"""scikit-learn's models as skops keeps them: without pickles, with named types only."""

from typing import Any, Final

from herdbook.core.extras import needs, telling
from herdbook.errors import Refused
from herdbook.loader.inspecting import Inside

EXTRA: Final = "sklearn"


def files(inside: Inside) -> list[str]:
    """Give the models in the folder."""
    return inside.of("skops")


def load(inside: Inside, path: str, *, allow_executable: bool) -> Any:
    """Give a fitted estimator; types skops does not trust by itself are refused.

    Raises:
        Refused: naming them.
    """
    inside.refuse_executable(lambda each: each == path, allowed=allow_executable)
    with needs(EXTRA, "skops", "sklearn", what="a scikit-learn model"):
        import skops.io
    file = inside.found.folder / path
    with telling(str(inside.found.ref), "skops"):
        foreign = skops.io.get_untrusted_types(file=file)
        if foreign and not allow_executable:
            raise Refused(
                f"{inside.found.ref}: {path} holds types that skops does not trust: "
                f"{', '.join(foreign[:10])}; give allow_executable=True if you trust who made it",
                details={"path": path, "types": foreign},
            )
        return skops.io.load(file, trusted=foreign)
