"""A provider for the OpenFeature SDK: which version serves a user, decided in this process.

A flag is a model, and the targeting key the unit. What is tracked under a model's name is recorded
in the experiment the unit takes part in.

Example:
    >>> from openfeature import api
    >>> import herdbook
    >>> book = herdbook.connect()
    >>> ref = book.models.register("majora").ref
    >>> moved = book.deployments.promote(ref)
    >>> api.set_provider_and_wait(HerdbookProvider(book))
    >>> api.get_client().get_string_value("majora", "v0")
    'v1'
    >>> api.shutdown()
    >>> book.close()
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from herdbook.core.assignment import Assignment
from herdbook.errors import HerdbookError, Invalid, MissingExtra, NotFound
from herdbook.front.book import Herdbook
from herdbook.protocols import ofrep

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.exception import (
        FlagNotFoundError,
        GeneralError,
        InvalidContextError,
        OpenFeatureError,
        TargetingKeyMissingError,
        TypeMismatchError,
    )
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
    from openfeature.provider import AbstractProvider, Metadata
    from openfeature.track import TrackingEventDetails
except ModuleNotFoundError as missing:
    if str(missing.name).partition(".")[0] != "openfeature":
        raise
    raise MissingExtra(
        "herdbook.openfeature needs openfeature-sdk: pip install 'herdbook[openfeature]'"
    ) from None

__all__ = ["HerdbookProvider"]

T = TypeVar("T")
Value = Sequence[FlagValueType] | Mapping[str, FlagValueType]

# What a tracked event says of a result; its other numbers are metrics.
_TIME: Final = "inference_time_ms"
_CONFIDENCE: Final = "confidence"
_ERROR: Final = "error"


class HerdbookProvider(AbstractProvider):
    """Gives versions as flags: their number as text, or as an object with `model` and `ref` too.

    Nothing is asked of the register at an evaluation, but for the first one of a model that has no
    experiment.

    Args:
        book: the register; closing it is the caller's.
    """

    def __init__(self, book: Herdbook) -> None:
        super().__init__()
        self._experiments = book.experiments
        self._serve = book.serve

    def get_metadata(self) -> Metadata:
        """Give the name of the provider."""
        return Metadata(name="Herdbook")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the SDK's
        """Look at what is assigned, so that evaluations wait for nothing."""
        try:
            _ = self._experiments.snapshot
        except HerdbookError as error:
            raise GeneralError(error.message) from error

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,  # noqa: ARG002 - the SDK's
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Give the number of a unit's version."""
        found = self._assigned(flag_key, evaluation_context)
        return self._details(found, found.version)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Value,  # noqa: ARG002 - the SDK's
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Value]:
        """Give a unit's version as `{"model": …, "version": …, "ref": …}`."""
        found = self._assigned(flag_key, evaluation_context)
        ref = f"{found.model}:{found.version}"
        value: Value = {"model": found.model, "version": found.version, "ref": ref}
        return self._details(found, value)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: ARG002, FBT001 - the SDK's
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Refuse: a version is neither true nor false."""
        raise self._mismatch(flag_key, evaluation_context, "a boolean")

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,  # noqa: ARG002 - the SDK's
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Refuse: a version's number is text."""
        raise self._mismatch(flag_key, evaluation_context, "a whole number")

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,  # noqa: ARG002 - the SDK's
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Refuse: a version's number is text."""
        raise self._mismatch(flag_key, evaluation_context, "a number")

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Record a result of the version a unit has; what is about no experiment is passed over.

        Args:
            tracking_event_name: the model.
            evaluation_context: the same as at the evaluation.
            tracking_event_details: of its attributes, `inference_time_ms`, `confidence` and
                `error` are the result's; its other numbers are metrics, and its value is the
                metric `value`.
        """
        # Nothing of what is recorded may fail the request it is recorded in.
        with suppress(HerdbookError, OpenFeatureError):
            if tracking_event_name in self._experiments.snapshot.plans:
                found = self._assigned(tracking_event_name, evaluation_context)
                if found.experiment:
                    self._record(found, evaluation_context, tracking_event_details)

    def _record(
        self,
        found: Assignment,
        context: EvaluationContext | None,
        details: TrackingEventDetails | None,
    ) -> None:
        said: dict[str, Any] = dict(details.attributes) if details else {}
        time_ms, confidence = said.pop(_TIME, None), said.pop(_CONFIDENCE, None)
        failed = said.pop(_ERROR, False)
        if details and details.value is not None:
            said["value"] = details.value
        self._experiments.record_result(
            found.experiment,
            found.variant,
            time_ms,
            confidence,
            failed,
            unit=context.targeting_key if context else None,
            metrics={name: value for name, value in said.items() if _is_number(value)},
        )

    def _assigned(self, model: str, context: EvaluationContext | None) -> Assignment:
        unit = context.targeting_key if context else None
        try:
            if context and unit is not None and unit != "":
                attributes = context.attributes
                return self._experiments.assign_variant(model, unit, attributes=attributes)
            if model in self._experiments.snapshot.plans:
                raise TargetingKeyMissingError(ofrep.no_key(model))
            return self._serve(model).assignment
        except NotFound:
            raise FlagNotFoundError(ofrep.no_flag(model)) from None
        except Invalid as error:
            raise InvalidContextError(error.message) from error
        except HerdbookError as error:
            raise GeneralError(error.message) from error

    def _details(self, found: Assignment, value: T) -> FlagResolutionDetails[T]:
        targeted = found.experiment in self._experiments.snapshot.targeted
        return FlagResolutionDetails(
            value=value,
            reason=str(ofrep.why(found, targeted=targeted)),
            variant=found.variant,
            flag_metadata=ofrep.metadata(found),
        )

    def _mismatch(
        self, model: str, context: EvaluationContext | None, asked: str
    ) -> TypeMismatchError:
        self._assigned(model, context)  # what is no flag at all is told as that
        return TypeMismatchError(
            f"{model} is asked for as {asked}; a version is a text, or an object with model, "
            "version and ref"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
