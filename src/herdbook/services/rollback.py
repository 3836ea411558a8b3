"""Where a rollback by steps leads: back along the history, past what can no longer serve."""

from collections.abc import Mapping

from herdbook.core.deployments import Move
from herdbook.core.models import Status
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION, VersionRef
from herdbook.errors import Gone, Invalid, NotFound

STEPS_LIMIT = 1_000
WAYS_SHOWN = 3
_MENDS = {"deleted": "restore {}", "archived": "status {} deprecated"}


def steps_back(work: Work, model: str, alias: str, *, steps: int, epoch: int, present: str) -> Move:
    """Give the move so many servable versions before the present one.

    Args:
        work: the unit of work, the model locked.
        model: the model's name.
        alias: the alias to move.
        steps: how many, 1 to 1,000; deleted and archived versions do not count.
        epoch: the epoch the alias is at.
        present: the number it points at, or "".

    Raises:
        NotFound: the history does not reach that far; says what was stepped over.
    """
    if not 1 <= steps <= STEPS_LIMIT:
        raise Invalid(f"steps is {steps}; it must be 1 to {STEPS_LIMIT:,}", field="steps")
    move = work.deployments.at_epoch(model, alias, epoch) if epoch else None
    behind, gone, passed = present, 0, dict[str, str]()
    while True:
        back = move.back_epoch if move else 0
        move = work.deployments.at_epoch(model, alias, back) if back else None
        if move is None:
            raise _no_further(VersionRef(model, alias=alias), steps, gone, passed)
        why = _unservable(work, model, move.to_number)
        if why:
            passed[move.to_number] = why
        # Between two stays of one version nothing may be left but what was stepped over.
        elif move.to_number not in {"", behind}:
            behind, gone = move.to_number, gone + 1
            if gone == steps:
                return move


def _unservable(work: Work, model: str, number: str) -> str:
    if not number:
        return ""
    try:
        found = work.versions.get(VersionRef(model, number))
    except Gone:
        return "deleted"
    return "archived" if found.status is Status.ARCHIVED else ""


def _no_further(ref: VersionRef, steps: int, gone: int, passed: Mapping[str, str]) -> NotFound:
    model = ref.model
    ways = [
        f"{number} is {why} (`herdbook versions {_MENDS[why].format(f'{model}:{number}')}` takes "
        "it back)"
        for number, why in passed.items()
    ]
    other = "" if ref.alias == CHAMPION else f" --alias {ref.alias}"
    return NotFound(
        f"{ref} cannot go {steps} back: its history reaches {gone} "
        f"version{'' if gone == 1 else 's'} back"
        f"{': ' + ', '.join(ways[:WAYS_SHOWN]) if ways else ''}; `herdbook deployments history "
        f"{model}` shows it, `herdbook deploy {model} VERSION{other}` points it at another version",
        field="steps",
    )
