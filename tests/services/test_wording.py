"""Every message is there in every language, with the same figures."""

import ast
from pathlib import Path
from string import Formatter

import pytest

from herdbook.core.decisions import Reason
from herdbook.core.experiments import Decision
from herdbook.services import wording
from herdbook.services.wording import LANGUAGES, MESSAGES, recommendation, sentence

SERVICES = Path(wording.__file__).parent
# What is written by one of these carries codes of the catalogue.
WRITERS = ("deciding", "proving", "thresholds", "prospects", "measuring", "twins")


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


CODES = sorted(MESSAGES["en"])


@pytest.mark.parametrize("code", CODES)
def test_a_message_is_there_in_every_language_with_the_same_figures(code: str) -> None:
    texts = {language: MESSAGES[language][code] for language in LANGUAGES}

    assert all(texts.values())
    english = _fields(texts["en"])
    assert all(_fields(text) == english for text in texts.values())
    assert len(set(texts.values())) == len(LANGUAGES)


def test_no_language_says_more_than_the_others() -> None:
    assert all(sorted(MESSAGES[language]) == CODES for language in LANGUAGES)


def test_every_reason_that_is_given_has_its_message() -> None:
    given = set()
    for name in WRITERS:
        tree = ast.parse((SERVICES / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
                given |= {
                    word.value.value
                    for word in node.keywords
                    if word.arg == "code" and isinstance(word.value, ast.Constant)
                }

    acts = {f"act_{decision.value}" for decision in Decision} | {*wording._HELD.values()}
    # These come with the name of the claim that was proven.
    claims = {"harm", "harm_beyond_limit"}
    # And these with the name of the metric that differs.
    metrics = {"aa_confidence", "aa_errors"}
    assert given | acts | claims | metrics == set(CODES)


def test_the_seed_s_sentence_is_said() -> None:
    better = Reason(code="better", figures={"gain": 0.025})

    said = recommendation(Decision.PROMOTE, "treatment", [better], language="ru")

    assert said == "Confidence улучшился на 2.5%. Промоутим treatment."


def test_numbers_are_written_as_the_language_does() -> None:
    few = Reason(
        code="few_results", subject="treatment", figures={"results": 1234, "needed": 10_000}
    )
    better = Reason(code="better", figures={"gain": 0.025})

    assert "1,234 of 10,000" in sentence(few)
    assert "1.234 von 10.000" in sentence(few, language="de")
    assert "1\u00a0234 из 10\u00a0000" in sentence(few, language="ru")
    assert "2,5 Punkte" in sentence(better, language="de")


@pytest.mark.parametrize(
    ("log10_e", "text"), [(0.3, "2 "), (1.5, "31.6"), (3, "1,000"), (80, "1,000,000")]
)
def test_evidence_is_said_as_odds(log10_e: float, text: str) -> None:
    reason = Reason(code="harm_suspected", figures={"log10_e": log10_e})

    assert f"({text}" in sentence(reason)
