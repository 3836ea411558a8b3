"""What is recommended about drift, in plain words: English, Russian, German."""

from collections.abc import Mapping
from typing import Final

from herdbook.core.drift import Level, Status
from herdbook.errors import Invalid
from herdbook.services import english, german, russian

MESSAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": english.DRIFT,
    "ru": russian.DRIFT,
    "de": german.DRIFT,
}


def recommendation(
    status: Status, level: Level, *, values: int = 0, least: int = 0, language: str = "en"
) -> str:
    """Say what to do.

    Raises:
        Invalid: there is no such language.
    """
    if language not in MESSAGES:
        raise Invalid(
            f"{language!r:.20} is no language of recommendations; write en, ru or de",
            field="language",
        )
    code = str(level if status is Status.ACTIVE else status)
    return MESSAGES[language][code].format(values=values, least=least)
