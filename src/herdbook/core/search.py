"""What can be searched: the fields of models and versions in the filter language."""

from herdbook.core.filters import Field, Kind
from herdbook.core.models import Status
from herdbook.core.numbers import Number

_TEXT = Field(Kind.TEXT)
_NUMBER = Field(Kind.NUMBER)
_WHOLE = Field(Kind.INTEGER)
_TIME = Field(Kind.TIME)


def _number(text: str) -> str:
    return Number(text).text


MODEL_FIELDS: dict[str, Field] = {
    "name": _TEXT,
    "type": _TEXT,
    "owner": _TEXT,
    "description": _TEXT,
    "versions": _WHOLE,
    "created_at": _TIME,
    "updated_at": _TIME,
    "created_by": _TEXT,
    "alias": _TEXT,
    "tags.*": _TEXT,
}

VERSION_FIELDS: dict[str, Field] = {
    "model": _TEXT,
    "type": _TEXT,
    "owner": _TEXT,
    "number": Field(Kind.NUMBER_ORDER, check=_number),
    "ordinal": _WHOLE,
    "status": Field(Kind.CHOICE, choices=tuple(Status)),
    "description": _TEXT,
    "created_at": _TIME,
    "updated_at": _TIME,
    "created_by": _TEXT,
    "digest": _TEXT,
    "git_commit": _TEXT,
    "alias": _TEXT,
    "dataset": _TEXT,
    "training.framework": _TEXT,
    "training.base_model": _TEXT,
    "training.hardware": _TEXT,
    "training.samples": _WHOLE,
    "training.epochs": _NUMBER,
    "training.batch_size": _WHOLE,
    "training.learning_rate": _NUMBER,
    "training.duration_hours": _NUMBER,
    "training.cost_usd": _NUMBER,
    "metrics.*": _NUMBER,
    "tags.*": _TEXT,
    "model_tags.*": _TEXT,
}
