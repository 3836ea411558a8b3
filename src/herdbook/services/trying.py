"""Which versions aliases and experiments have in service: they are not taken away from them."""

from herdbook.core.models import Version
from herdbook.core.ports import Work
from herdbook.errors import Conflict


def refuse_in_service(work: Work, version: Version, *, field: str) -> None:
    """Refuse to take away a version that an alias points at or that an experiment tries.

    Raises:
        Conflict: naming which.
    """
    if version.aliases:
        raise Conflict(
            f"{version.ref} is what {', '.join(version.aliases)} points at; move or remove that "
            "first",
            field=field,
        )
    refuse_tried(work, version.model, version.number, field=field)


def refuse_tried(work: Work, model: str, number: str = "", *, field: str = "model") -> None:
    """Refuse to take away a model, or a version, that an experiment has in service.

    Raises:
        Conflict: naming the experiment.
    """
    for experiment in work.experiments.live(model=model):
        if not number or number in {arm.number for arm in experiment.plan.arms}:
            what = f"{model}:{number}" if number else model
            raise Conflict(
                f"{what} is in service in the experiment {experiment.name}; end that first, with "
                f"`herdbook experiments finalize {experiment.name} stop`",
                field=field,
            )
