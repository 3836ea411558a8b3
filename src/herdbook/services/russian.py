# ruff: noqa: RUF001 - Russian is written in Russian letters.
"""What is said of experiments and of drift, in Russian."""

from collections.abc import Mapping
from typing import Final

MESSAGES: Final[Mapping[str, str]] = {
    "better": "Confidence улучшился на {gain}%.",
    "errors_bounded": "Доказано, что error rate вырос не больше чем на {limit} п.п.",
    "harm": "Error rate вырос с {control_rate}% до {treatment_rate}%: доказано, {factor} к одному.",
    "harm_beyond_limit": "Доказано и то, что рост больше допустимых {limit} п.п.",
    "guardrail_harmed": (
        "{subject} ухудшился, с {control} до {treatment}: доказано, {factor} к одному."
    ),
    "sample_ratio_mismatch": (
        "Версии получают не те доли пользователей, что задано ({factor} к одному): сломано "
        "распределение или запись, сравнению верить нельзя."
    ),
    "silent": "От {subject} ничего не записано уже {hours} ч.",
    "no_confidence": "Результаты {subject} приходят без confidence: без него промоутить нечего.",
    "few_results": "У {subject} {results} из {needed} результатов.",
    "confidence_unknown": "О confidence говорить пока рано.",
    "gain_unproven": (
        "Confidence пока отличается на {gain}%, это ещё может быть случайностью (не меньше {low}%)."
    ),
    "gain_too_small": "Confidence отличается на {gain}%, а нужно {least}%.",
    "errors_not_bounded": (
        "Пока не доказано, что ошибок не стало слишком много ({factor} к одному, нужно {proof})."
    ),
    "harm_suspected": "Возможно, ошибок стало больше ({factor} к одному).",
    "guardrail_unknown": "О метрике {subject} пока ничего не известно: записывайте её.",
    "guardrail_unrecorded": (
        "Ни один из {results} результатов не пришёл с метрикой {subject}: следить не за чем, "
        "записывайте её."
    ),
    "futile": "Confidence улучшится не больше чем на {high}%; {least}% недостижимы.",
    "time_is_up": "Срок вышел ({days} дн.), решения нет.",
    "errors_above_threshold": (
        "Error rate вырос с {control_rate}% до {treatment_rate}%, больше чем на {limit} п.п."
    ),
    "bare_averages": (
        "Это голые средние против порогов: при частых проверках так промоутят версии, которые "
        "не лучше, и те, что чаще ошибаются; политика 'evidence' защищает от этого."
    ),
    "clustering_unknown": (
        "Результаты пришли без пользователя: если одни и те же приходят снова и снова, всё это "
        "менее надёжно, чем кажется."
    ),
    "aa": "Обе группы получают одну и ту же версию, {subject}: это A/A-тест.",
    "aa_no_difference": "После {results} результатов разницы не видно, как и должно быть.",
    "aa_difference": (
        "Но разница видна: это или ложная тревога, какую дают не больше {alpha}% таких тестов, "
        "или ошибка в распределении, записи или раздаче."
    ),
    "aa_confidence": "Confidence отличается на {gain}% (от {low}% до {high}%).",
    "aa_errors": "Error rate отличается на {gain} п.п. (от {low} до {high}).",
    "act_aa_alarm": "Найдите причину до первого настоящего теста; отката не будет.",
    "act_aa_over": (
        "Останавливаем: распределение, запись и оценка исправны, насколько это видно отсюда."
    ),
    "act_promote": "Промоутим {arm}.",
    "act_rollback": "Откатываем на control, {arm} снимаем.",
    "act_continue": "Продолжаем тест.",
    "act_hold": "Пауза: ничего не решаем, пока это не исправлено.",
    "act_keep": "Останавливаем: остаётся control.",
    "margin_above_base": (
        "max_error_rate_increase {limit} п.п. при базе {base}% означает: пройдёт и в {times} "
        "раза больше ошибок."
    ),
    "no_room": (
        "max_error_rate_increase {limit} п.п. сверх базы {base}% больше всех результатов: "
        "доказать это нельзя."
    ),
    "too_little_traffic": (
        "Решение требует около {requests} запросов, это {days} дн. при {per_day} в день; тест "
        "кончится через {duration} дн."
    ),
    "too_little_traffic_for_aa": (
        "Чтобы результатов обеих групп хватило, нужно около {requests} запросов, это {days} дн. "
        "при {per_day} в день; тест кончится через {duration} дн."
    ),
    "never_decides": "Улучшение такого размера показать нельзя: снизьте требования.",
    "few_units": (
        "{per_unit} запросов на пользователя в день: считаются пользователи, а не запросы, один"
        " запрос стоит {worth} независимого."
    ),
    "few_units_before": (
        "В тесте {subject} у {units} пользователей было по {per_unit} результатов: считаются "
        "пользователи, а не запросы, один запрос стоит {worth} независимого."
    ),
    "ramp_missing": "auto_ramp без ramp ничего не делает; задайте, например, 1, 5, 10, 25, 50.",
    "guardrails_ignored": (
        "Политика thresholds-only не смотрит на guardrails: заданные в плане не работают."
    ),
    "too_few_units": (
        "Чтобы ограничить ошибки, нужно около {units} разных пользователей; за {days} дн. "
        "придёт не больше {there}, даже если все новые."
    ),
}

# Of drift, by level and status.
DRIFT: Final[Mapping[str, str]] = {
    "no_reference": "Нет эталона, без которого drift не виден: зафиксируйте эталон.",
    "insufficient_data": "Слишком мало значений для выводов: {values} из {least}.",
    "normal": "Drift нет: ничего делать не нужно.",
    "watch": "Небольшие отличия от эталона: наблюдаем, ничего не доказано.",
    "retrain": "Drift доказан: рекомендуется переобучение.",
    "critical": "Критический drift! Требуется срочное переобучение.",
}
