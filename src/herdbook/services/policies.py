"""The file policy of a model: whether files that can execute on load are welcome."""

from collections.abc import Sequence
from typing import Final

from herdbook.core.contents import Risk
from herdbook.core.models import FilePolicy, Model
from herdbook.errors import Refused

SHOWN_FILES: Final = 50
WARNINGS_LIMIT: Final = 100
WARNING_LENGTH: Final = 500
_NOBODY: Final = (Risk(path="its files", reasons=("nobody looked into them",)),)


def judged(model: Model, risks: Sequence[Risk] | None) -> tuple[str, ...]:
    """Let a model's policy decide about files, and give what to warn of.

    To be asked after it is known that the actor may have the bytes: it tells what is in them.

    Args:
        model: as it is in the transaction that registers.
        risks: what the door found; None when it did not look.

    Raises:
        Refused: the policy is `refuse` and there is something to decide about.
    """
    policy = model.file_policy or FilePolicy.WARN
    found = _NOBODY if risks is None else tuple(risks)
    if policy is FilePolicy.ALLOW or not found:
        return ()
    if policy is FilePolicy.REFUSE:
        raise _refused(model, found)
    shown = [risk.text[:WARNING_LENGTH] for risk in found[:WARNINGS_LIMIT]]
    return (*shown, *_more(found, WARNINGS_LIMIT))


def _refused(model: Model, found: Sequence[Risk]) -> Refused:
    shown = [f"{risk.path} ({'; '.join(risk.reasons)[:WARNING_LENGTH]})" for risk in found]
    named = ", ".join([*shown[:SHOWN_FILES], *_more(found, SHOWN_FILES)])
    return Refused(
        f"the file policy of {model.name} refuses files that can execute when they are loaded, "
        f"or whose headers lie: {named}. "
        "Save weights as safetensors and leave code out; or have the policy changed with "
        f"`herdbook models update {model.name} --file-policy warn`",
        field="artifacts",
        details={"files": [{"path": r.path, "reasons": list(r.reasons)} for r in found]},
    )


def _more(found: Sequence[Risk], limit: int) -> list[str]:
    left = len(found) - limit
    return [f"and {left:,} more file{'' if left == 1 else 's'}"] if left > 0 else []
