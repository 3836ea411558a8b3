"""What is said of experiments and of drift, in German."""

from collections.abc import Mapping
from typing import Final

MESSAGES: Final[Mapping[str, str]] = {
    "better": "Confidence ist um {gain} Punkte gestiegen.",
    "errors_bounded": "Bewiesen ist, dass die Fehlerrate um nicht mehr als {limit} Punkte stieg.",
    "harm": (
        "Die Fehlerrate stieg von {control_rate} % auf {treatment_rate} %: bewiesen, {factor} "
        "zu eins."
    ),
    "harm_beyond_limit": "Auch dass es mehr als die geduldeten {limit} Punkte sind, ist bewiesen.",
    "guardrail_harmed": (
        "{subject} ist schlechter geworden, von {control} auf {treatment}: bewiesen, {factor} "
        "zu eins."
    ),
    "sample_ratio_mismatch": (
        "Die Versionen bekommen nicht die Einheiten, die sie sollten ({factor} zu eins): "
        "Zuteilung oder Aufzeichnung ist defekt, keinem Vergleich ist zu trauen."
    ),
    "silent": "Von {subject} wurde seit {hours} Stunden nichts aufgezeichnet.",
    "no_confidence": (
        "Ergebnisse von {subject} kommen ohne Confidence: ohne sie ist nichts zu befördern."
    ),
    "few_results": "{subject} hat {results} von {needed} Ergebnissen.",
    "confidence_unknown": "Über Confidence lässt sich noch nichts sagen.",
    "gain_unproven": (
        "Confidence unterscheidet sich bisher um {gain} Punkte, was noch Zufall sein kann "
        "(mindestens {low})."
    ),
    "gain_too_small": "Confidence unterscheidet sich um {gain} Punkte; {least} sind verlangt.",
    "errors_not_bounded": (
        "Dass die Fehler nicht zu sehr zunahmen, ist noch nicht bewiesen ({factor} zu eins, "
        "{proof} sind nötig)."
    ),
    "harm_suspected": "Sie macht vielleicht mehr Fehler ({factor} zu eins).",
    "guardrail_unknown": (
        "Über {subject} ist noch nichts bekannt: die Metrik muss aufgezeichnet werden."
    ),
    "guardrail_unrecorded": (
        "Keines der {results} Ergebnisse kam bisher mit {subject}: sein Guardrail überwacht "
        "nichts, die Metrik muss aufgezeichnet werden."
    ),
    "futile": "Confidence steigt um höchstens {high} Punkte; {least} sind nicht zu erreichen.",
    "time_is_up": "Die Zeit ({days} Tage) ist ohne Entscheidung um.",
    "errors_above_threshold": (
        "Die Fehlerrate ging von {control_rate} % auf {treatment_rate} %, um mehr als {limit} "
        "Punkte."
    ),
    "bare_averages": (
        "Das sind bloße Mittelwerte gegen Schwellen: immer wieder angesehen, befördern sie "
        "Versionen, die nicht besser sind, und solche mit mehr Fehlern; die Regel 'evidence' "
        "nicht."
    ),
    "clustering_unknown": (
        "Ergebnisse kamen ohne Einheit: wo dieselben Nutzer immer wieder kommen, ist all das "
        "weniger sicher, als es aussieht."
    ),
    "aa": "Beide Arme sind dieselbe Version, {subject}: das ist ein A/A-Experiment.",
    "aa_no_difference": (
        "Nach {results} Ergebnissen ist kein Unterschied zu sehen, wie es sein muss."
    ),
    "aa_difference": (
        "Doch ein Unterschied ist zu sehen: entweder ein Fehlalarm, den höchstens {alpha} % "
        "solcher Experimente geben, oder ein Fehler beim Zuteilen, Aufzeichnen oder Ausliefern."
    ),
    "aa_confidence": (
        "Confidence unterscheidet sich um {gain} Punkte (zwischen {low} und {high})."
    ),
    "aa_errors": (
        "Die Fehlerrate unterscheidet sich um {gain} Punkte (zwischen {low} und {high})."
    ),
    "act_aa_alarm": (
        "Vor dem ersten echten Experiment herausfinden, woran es liegt; zurückgerollt wird nichts."
    ),
    "act_aa_over": (
        "Beenden: Zuteilen, Aufzeichnen und Auswerten sind in Ordnung, soweit dies es zeigt."
    ),
    "act_promote": "{arm} befördern.",
    "act_rollback": "Zurückrollen: control bleibt, {arm} wird herausgenommen.",
    "act_continue": "Weiterlaufen lassen.",
    "act_hold": "Anhalten: nichts entscheiden, bevor das behoben ist.",
    "act_keep": "Beenden: control bleibt.",
    "margin_above_base": (
        "max_error_rate_increase {limit} Punkte auf {base} % heißt: bis zum {times}-Fachen an "
        "Fehlern geht durch."
    ),
    "no_room": (
        "max_error_rate_increase {limit} Punkte über {base} % sind mehr als alle Ergebnisse: "
        "darüber ist nichts zu beweisen."
    ),
    "too_little_traffic": (
        "Eine Entscheidung braucht etwa {requests} Anfragen, {days} Tage bei {per_day} am Tag; "
        "das Experiment endet nach {duration}."
    ),
    "too_little_traffic_for_aa": (
        "Genug Ergebnisse beider Arme brauchen etwa {requests} Anfragen, {days} Tage bei {per_day} "
        "am Tag; das Experiment endet nach {duration}."
    ),
    "never_decides": (
        "Eine Verbesserung dieser Größe ist nicht zu zeigen: die Anforderungen senken."
    ),
    "few_units": (
        "{per_unit} Anfragen je Einheit und Tag: es zählen Einheiten, nicht Anfragen, eine "
        "Anfrage ist {worth} einer unabhängigen wert."
    ),
    "few_units_before": (
        "In {subject} hatten {units} Einheiten je {per_unit} Ergebnisse: es zählen Einheiten, "
        "nicht Anfragen, eine Anfrage ist {worth} einer unabhängigen wert."
    ),
    "ramp_missing": "auto_ramp tut ohne Rampe nichts; eine wäre etwa 1, 5, 10, 25, 50.",
    "guardrails_ignored": (
        "Die Regel thresholds-only sieht keine Guardrails an: die des Plans tun nichts."
    ),
    "too_few_units": (
        "Um die Fehler zu begrenzen, braucht es etwa {units} verschiedene Einheiten; {days} "
        "Tage bringen höchstens {there}, wenn alle neu sind."
    ),
}

# Of drift, by level and status.
DRIFT: Final[Mapping[str, str]] = {
    "no_reference": "Es gibt keine Referenz: Ohne sie ist Drift nicht zu sehen.",
    "insufficient_data": "Zu wenige Werte für eine Aussage: {values} von {least}.",
    "normal": "Keine Drift: Es ist nichts zu tun.",
    "watch": "Etwas anders als die Referenz: weiter beobachten, bewiesen ist nichts.",
    "retrain": "Drift ist bewiesen: Neu zu trainieren wird empfohlen.",
    "critical": "Kritische Drift! Dringend neu trainieren.",
}
