"""Reasons, warnings and recommendations in plain words: one catalogue, in English, Russian, German.

A message is a template whose fields are a reason's figures, written by `_FORMATS`. Shares become
per cent or points, evidence the factor it is. A language is a file of its own, beside this one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from herdbook.core.decisions import Reason
from herdbook.core.experiments import Decision
from herdbook.errors import Invalid
from herdbook.services import english, german, russian

# Beyond this factor digits say nothing more.
_MOST_DIGITS: Final = 6.0
# What to do instead of waiting where the first reason to hold is one that time will not mend.
_HELD: Final[Mapping[str, str]] = {
    "futile": "act_keep",
    "time_is_up": "act_keep",
    "aa_difference": "act_aa_alarm",
    "aa_no_difference": "act_aa_over",
}

# Language to code to template.
MESSAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": english.MESSAGES,
    "ru": russian.MESSAGES,
    "de": german.MESSAGES,
}
LANGUAGES: Final = tuple(MESSAGES)


def _points(value: float) -> str:
    return f"{100 * value:.1f}".rstrip("0").rstrip(".")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _factor(log10_e: float) -> str:
    return f"{10 ** min(log10_e, _MOST_DIGITS):,.3g}" if log10_e < 2 else _large(log10_e)


def _large(log10_e: float) -> str:
    return f"{10**log10_e:,.0f}" if log10_e < _MOST_DIGITS else f"{10**_MOST_DIGITS:,.0f}"


_SHARES: Final = (
    "gain", "low", "high", "least", "limit", "base", "alpha", "control_rate", "treatment_rate",
)  # fmt: skip
_COUNTS: Final = ("results", "needed", "requests", "per_day", "units", "there")
_FORMATS: Final[Mapping[str, Callable[[float], str]]] = {
    **dict.fromkeys(_SHARES, _points),
    **dict.fromkeys(_COUNTS, _count),
    "log10_e": _factor,
    "log10_needed": _factor,
}
# What a template calls the two figures that are logarithms.
_NAMES: Final = {"log10_e": "factor", "log10_needed": "proof"}


def sentence(reason: Reason, *, language: str = "en", arm: str = "") -> str:
    """Say a reason in words.

    Raises:
        Invalid: there is no such language.

    Example:
        >>> sentence(Reason(code="better", figures={"gain": 0.025}), language="ru")
        'Confidence улучшился на 2.5%.'
    """
    template = MESSAGES[_known(language)][reason.code]
    fields = {
        _NAMES.get(name, name): _local(_FORMATS.get(name, _number)(value), language)
        for name, value in reason.figures.items()
    }
    return template.format(subject=reason.subject, arm=arm, **fields)


def recommendation(
    decision: Decision, arm: str, reasons: Iterable[Reason], *, language: str = "en"
) -> str:
    """Say what to do and why.

    Example:
        >>> better = Reason(code="better", figures={"gain": 0.025})
        >>> recommendation(Decision.PROMOTE, "treatment", [better], language="ru")
        'Confidence улучшился на 2.5%. Промоутим treatment.'
    """
    reasons = tuple(reasons)
    act = f"act_{decision.value}"
    # That it is an A/A experiment is said first, and is no reason for anything.
    why = next((each.code for each in reasons if each.code != "aa"), "")
    if decision is Decision.HOLD:
        act = _HELD.get(why, act)
    said = [*reasons, Reason(code=act)]
    return " ".join(sentence(each, language=language, arm=arm) for each in said)


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise Invalid(
            f"there are no texts in {language!r}; choose one of {', '.join(LANGUAGES)}",
            field="language",
        )
    return language


def _local(text: str, language: str) -> str:
    """Write a number as the language does: 1,234.5 is 1.234,5 in German, 1 234.5 in Russian."""
    if language == "de":
        return text.translate(str.maketrans(",.", ".,"))
    # A space that does not break; the decimal point is as the teams write it.
    return text.replace(",", "\u00a0") if language == "ru" else text
