"""Models and their versions: what they are, how they were trained, where their files are."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from herdbook.core import names
from herdbook.core.artifacts import blob_digest
from herdbook.core.keys import public_keys
from herdbook.core.numbers import Number
from herdbook.core.wire import LATER
from herdbook.errors import Invalid, RefusedMove


class Status(StrEnum):
    """Where a version is in its life."""

    DRAFT = "draft"
    TRAINING = "training"
    DEVELOPMENT = "development"
    VALIDATION = "validation"
    STAGING = "staging"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


class FilePolicy(StrEnum):
    """What a model does about files that can execute when they are loaded, or whose headers lie."""

    REFUSE = "refuse"
    WARN = "warn"
    ALLOW = "allow"


_S = Status
TRANSITIONS: dict[Status, frozenset[Status]] = {
    _S.DRAFT: frozenset({_S.TRAINING, _S.DEVELOPMENT, _S.ARCHIVED}),
    _S.TRAINING: frozenset({_S.DRAFT, _S.DEVELOPMENT, _S.ARCHIVED}),
    _S.DEVELOPMENT: frozenset(
        {_S.VALIDATION, _S.STAGING, _S.PRODUCTION, _S.DEPRECATED, _S.ARCHIVED}
    ),
    _S.VALIDATION: frozenset(
        {_S.DEVELOPMENT, _S.STAGING, _S.PRODUCTION, _S.DEPRECATED, _S.ARCHIVED}
    ),
    _S.STAGING: frozenset(
        {_S.DEVELOPMENT, _S.VALIDATION, _S.PRODUCTION, _S.DEPRECATED, _S.ARCHIVED}
    ),
    _S.PRODUCTION: frozenset({_S.STAGING, _S.DEPRECATED}),
    _S.DEPRECATED: frozenset({_S.STAGING, _S.PRODUCTION, _S.ARCHIVED}),
    _S.ARCHIVED: frozenset({_S.DEPRECATED}),
}
UNSEALED = frozenset({Status.DRAFT, Status.TRAINING})


def check_transition(label: str, present: Status, wanted: Status) -> None:
    """Refuse a status change that the life of a version does not have.

    Raises:
        RefusedMove: naming the statuses that can be reached from the present one.
    """
    if wanted not in TRANSITIONS[present]:
        ways = ", ".join(sorted(TRANSITIONS[present]))
        raise RefusedMove(
            f"{label} is {present}; it cannot become {wanted} from there, only {ways}",
            field="status",
        )


class ParentKind(StrEnum):
    """How a version came from its parent."""

    FINE_TUNE = "fine-tune"
    DISTILLATION = "distillation"
    QUANTIZATION = "quantization"
    MERGE = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A version another one came from."""

    model: str
    number: str
    kind: ParentKind = ParentKind.FINE_TUNE

    def __post_init__(self) -> None:
        """Refuse a parent that cannot exist."""
        names.model_name(self.model, field="parents")
        Number(self.number)

    @property
    def ref(self) -> str:
        """`model:number`."""
        return f"{self.model}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a version was trained; what is not known is None or "".

    Args:
        framework: unsloth, mlx, huggingface, …
        base_model: what it was trained from, as its maker names it.
        samples: training samples, at least 0.
        epochs: at least 0; may be a fraction.
        batch_size: at least 1.
        learning_rate: above 0.
        duration_hours: at least 0.
        cost_usd: at least 0.
        hardware: such as "M2 Max".
    """

    framework: str = ""
    base_model: str = ""
    samples: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    duration_hours: float | None = None
    cost_usd: float | None = None
    hardware: str = ""

    def __post_init__(self) -> None:
        """Refuse facts that cannot be true; keep numbers as Python's own."""
        for name in ("framework", "base_model", "hardware"):
            names.optional_line(getattr(self, name), field=f"training.{name}")
        for name in _WHOLE:
            found = names.scalar(getattr(self, name))
            _check_whole(found, at_least=0 if name == "samples" else 1, name=name)
            object.__setattr__(self, name, found)
        for name in _FINITE:
            found = names.scalar(getattr(self, name))
            _check_finite(found, name=name)
            object.__setattr__(self, name, found)


_WHOLE = ("samples", "batch_size")
_FINITE = ("epochs", "learning_rate", "duration_hours", "cost_usd")


def _check_whole(value: object, *, at_least: int, name: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{name} must be a whole number, not {value!r:.40}", field=f"training.{name}")
    if not at_least <= value < 2**53:
        raise Invalid(
            f"{name} is {value:.3g}; it must be {at_least} or more and under 2^53",
            field=f"training.{name}",
        )


def _check_finite(value: object, *, name: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{name} must be a number, not {value!r:.40}", field=f"training.{name}")
    if not (math.isfinite(value) and 0 <= value < 2**53):
        raise Invalid(
            f"{name} is {value}; it must be finite and 0 or more", field=f"training.{name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocation:
    """Where a file of a version is, by its role (lora, gguf, checkpoint, config, …)."""

    role: str
    location: str

    def __post_init__(self) -> None:
        """Refuse a role that is not a word and a location of several lines."""
        names.role_name(self.role)
        names.line(self.location, field=f"files.{self.role}", limit=2_000)


_COMMIT = re.compile(r"[0-9a-zA-Z]{4,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What makes a version what it is; sealed when it leaves draft and training.

    Args:
        training: how it was trained.
        files: where its files are; a role may hold several.
        parents: the versions it came from, in order, none twice.
        datasets: names of the data sets it was trained on, in order, none twice.
        dependencies: what it needs to run, such as `torch>=2.4`.
        metadata: a free JSON object of at most 64 KiB.
        git_commit: the commit that trained it, or "".
        git_dirty: whether that work tree had changes; None when not known.
        manifest: the digest of the manifest of its bytes, or "" when it was registered without.
    """

    training: Training = field(default_factory=Training)
    files: tuple[FileLocation, ...] = ()
    parents: tuple[Parent, ...] = ()
    datasets: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    git_commit: str = ""
    git_dirty: bool | None = None
    manifest: str = field(default="", metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse lists that are too long or hold something twice."""
        for name, keys in (
            ("files", [(f.role, f.location) for f in self.files]),
            ("parents", [p.ref for p in self.parents]),
            ("training_data", list(self.datasets)),
            ("dependencies", list(self.dependencies)),
        ):
            _no_doubles(name, keys)
        for dataset in self.datasets:
            names.line(dataset, field="training_data", limit=names.MODEL_NAME_LIMIT)
        for dependency in self.dependencies:
            names.line(dependency, field="dependencies")
        object.__setattr__(self, "metadata", names.metadata(self.metadata))
        if self.manifest:
            blob_digest(self.manifest, field="manifest")
        if self.git_commit and not _COMMIT.match(self.git_commit):
            raise Invalid(
                f"git_commit {self.git_commit!r:.80} is not a commit: give its hash",
                field="git_commit",
            )


def _no_doubles(name: str, keys: list[Any]) -> None:
    if len(keys) > names.LIST_LIMIT:
        raise Invalid(f"{len(keys)} {name}; the limit is {names.LIST_LIMIT}", field=name)
    doubles = [k for k in keys if keys.count(k) > 1] if len(set(keys)) != len(keys) else []
    if doubles:
        raise Invalid(f"{name} names {doubles[0]} twice", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered version of a model.

    Args:
        model: the model's name.
        number: as it was written.
        ordinal: 1, 2, 3… in the order of registration; never used again.
        status: where it is in its life.
        facts: what it is; sealed unless it is in draft or training.
        digest: SHA-256 of the facts, lower-case hex; the identity of what is registered.
        description: what it is, in a sentence.
        notes: what else to know.
        tags: key to value; a bare tag has the value "".
        metrics: the newest score by standard name.
        aliases: the aliases that point here, sorted.
        created_at: when it was registered.
        created_by: by whom.
        updated_at: when anything about it last changed.
        warnings: what was said of its files when they were taken, under the file policy `warn`.
    """

    model: str
    number: str
    ordinal: int
    status: Status
    facts: Facts
    digest: str
    description: str = ""
    notes: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created_at: datetime
    created_by: str
    updated_at: datetime
    warnings: tuple[str, ...] = field(default=(), metadata=LATER)

    @property
    def ref(self) -> str:
        """`model:number`."""
        return f"{self.model}:{self.number}"

    @property
    def sealed(self) -> bool:
        """Whether its facts can no longer change."""
        return self.status not in UNSEALED

    @property
    def training(self) -> Training:
        """How it was trained."""
        return self.facts.training

    def file(self, role: str) -> str:
        """Give the location of the first file of a role, or "" when there is none."""
        return next((f.location for f in self.facts.files if f.role == role), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered model.

    Args:
        name: unique after case-folding.
        type: a word such as embedding, llm, reranker, classifier; free.
        owner: who answers for it.
        description: what it is, in a sentence.
        notes: what else to know.
        tags: key to value.
        metadata: a free JSON object.
        versions: how many versions it has, deleted ones left out.
        latest: the number registered last, or "".
        aliases: alias to number.
        created_at: when it was registered.
        created_by: by whom.
        updated_at: when anything about it or its versions last changed.
        file_policy: what it does about files that can execute on load; None for `warn`.
        trusted_keys: public keys as PEM, at most 16: only what one of them signed becomes champion.
    """

    name: str
    type: str = ""
    owner: str = ""
    description: str = ""
    notes: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    versions: int = 0
    latest: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime
    created_by: str
    updated_at: datetime
    file_policy: FilePolicy | None = field(default=None, metadata=LATER)
    trusted_keys: tuple[str, ...] = field(default=(), metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse texts over their limits."""
        names.model_name(self.name)
        names.optional_line(self.type, field="type", limit=names.ALIAS_LIMIT)
        names.optional_line(self.owner, field="owner")
        names.prose(self.description, field="description")
        names.prose(self.notes, field="notes")
        if self.trusted_keys:
            object.__setattr__(self, "trusted_keys", public_keys(self.trusted_keys))

    @property
    def champion(self) -> str:
        """The number in production, or ""."""
        return self.aliases.get("champion", "")


def facts_digest(model: str, number: str, facts_json: str) -> str:
    """Give the identity of a version: SHA-256 over its name, number and facts.

    Args:
        model: the model's name.
        number: the number as written.
        facts_json: the facts as `core.wire` writes them.
    """
    return hashlib.sha256(
        json.dumps([model, number], separators=(",", ":")).encode() + facts_json.encode()
    ).hexdigest()


def fill(facts: Facts, **changes: Any) -> Facts:
    """Give facts with some of them replaced, those of the training included.

    Example:
        >>> fill(Facts(), epochs=3).training.epochs
        3
    """
    training = {f.name for f in fields(Training)} & changes.keys()
    inner = replace(facts.training, **{name: changes.pop(name) for name in training})
    return replace(facts, training=inner, **changes)
