"""Compare versions, find the best and the cheapest, sum up."""

from collections.abc import Sequence

from herdbook.core import filters, names, search
from herdbook.core.access import Action
from herdbook.core.evaluations import STANDARD, Direction, direction, metric_name
from herdbook.core.models import Version
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION, VersionRef
from herdbook.core.summaries import Comparison, Summary
from herdbook.core.summaries import compare as compared
from herdbook.errors import Invalid, NotFound
from herdbook.services import versions
from herdbook.services.sight import shown

COMPARE_LIMIT = 20


def compare(
    work: Work, *, refs: Sequence[str | VersionRef], everything: bool = False
) -> Comparison:
    """Set two to twenty versions side by side; only what differs unless asked for more."""
    if not 2 <= len(refs) <= COMPARE_LIMIT:
        raise Invalid(
            f"{len(refs)} versions to compare; give 2 to {COMPARE_LIMIT}, such as majora:v1 "
            "majora:v2",
            field="refs",
        )
    found = tuple(versions.get(work, ref) for ref in refs)
    return compared(found, everything=everything)


def best(work: Work, *, metric: str, model: str = "", filter: str = "") -> Version:
    """Give the version that scores best at a metric.

    Raises:
        Invalid: nothing says which way the metric is better; order a search by it instead.
        NotFound: no version has that score.
    """
    name = metric_name(metric)
    way = direction(name)
    if way is Direction.UNKNOWN:
        raise Invalid(
            f"nothing says whether a higher or lower {name} is better; search with "
            f"ORDER BY metrics.{name} DESC, or ASC, instead",
            field="metric",
        )
    order = filters.OrderKey("metrics", name, descending=way is Direction.HIGHER)
    return _first(work, order, model=model, filter=filter, missing=f"score {name}")


def cheapest(work: Work, *, model: str = "", filter: str = "") -> Version:
    """Give the version that cost least to train; NotFound when no cost is known."""
    order = filters.OrderKey("training.cost_usd", "", descending=False)
    return _first(work, order, model=model, filter=filter, missing="known cost")


def _first(
    work: Work,
    order: filters.OrderKey,
    *,
    model: str,
    filter: str,
    missing: str,
) -> Version:
    if model:
        work.by.allow(Action.READ, names.model_name(model))
        work.models.get(model)
    asked = search.version_query(filter)
    if asked.order:
        raise Invalid("the order is set by the question; leave out ORDER BY", field="filter")
    query = filters.Query(asked.where, (order,))
    found = work.versions.page(query, model=model or None, size=1, page=None).items
    if not found:
        raise NotFound(f"no version{' of ' + model if model else ''} has a {missing}")
    return shown(work, found[0])


def summary(work: Work, *, model: str = "") -> Summary:
    """Sum up a model or the whole register."""
    if model:
        work.by.allow(Action.READ, names.model_name(model))
        work.models.get(model)
    held = work.deployments.at(work.now(), model=model or None, alias=CHAMPION)
    return Summary(
        model=model,
        totals=work.versions.totals(model=model or None),
        champions={h.since.model: h.since.to_number for h in held},
        best=_bests(work, model) if model else {},
        cheapest=_ref_or_none(work, model),
    )


def _bests(work: Work, model: str) -> dict[str, str]:
    found = {}
    for name in STANDARD:
        try:
            found[name] = best(work, metric=name, model=model).ref
        except NotFound:
            continue
    return found


def _ref_or_none(work: Work, model: str) -> str:
    try:
        return cheapest(work, model=model).ref
    except NotFound:
        return ""
