"""What can be searched: the fields of models and versions in the filter language."""

from functools import lru_cache
from typing import Final

from herdbook.core import filters
from herdbook.core.filters import Field, Kind, Query
from herdbook.core.models import Status
from herdbook.core.numbers import Number

_TEXT = Field(Kind.TEXT)
_NUMBER = Field(Kind.NUMBER)
_WHOLE = Field(Kind.INTEGER)
_TIME = Field(Kind.TIME)


# A dashboard asks the same questions again and again.
KEPT: Final = 256


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
    "manifest": _TEXT,
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


@lru_cache(maxsize=KEPT)
def model_query(text: str) -> Query:
    """Read a filter over models; InvalidFilter or UnknownField where it is none."""
    return filters.parse(text, MODEL_FIELDS)


@lru_cache(maxsize=KEPT)
def version_query(text: str) -> Query:
    """Read a filter over versions; InvalidFilter or UnknownField where it is none."""
    return filters.parse(text, VERSION_FIELDS)
