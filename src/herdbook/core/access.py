"""Who may do what: four roles, granted on all models, a family or one; nothing by default."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from functools import lru_cache

from herdbook.core import names
from herdbook.errors import Forbidden, Invalid, NotFound


class Role(StrEnum):
    """What a token may do; each role includes the ones before it."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    DEPLOYER = "deployer"
    ADMIN = "admin"


class Action(IntEnum):
    """What is being done, by the rank of the role it needs."""

    READ = 0
    WRITE = 1
    DEPLOY = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on some models.

    Args:
        role: the role.
        pattern: `*` for all, `search/*` for names beginning with `search/`, or one name.

    Example:
        >>> Grant(Role.VIEWER, "search/*").covers("search/ranker")
        True
    """

    role: Role
    pattern: str = "*"

    def __post_init__(self) -> None:
        """Refuse a pattern with a star anywhere but at its end."""
        stem = self.pattern.removesuffix("*")
        if self.pattern == "*":
            return
        if "*" in stem:
            raise Invalid(
                f"{self.pattern!r} is not a pattern: write *, search/* or one model's name",
                field="pattern",
            )
        # What follows a star may be anything a name may go on with.
        names.model_name(stem if stem == self.pattern else stem + "x", field="pattern")

    def covers(self, model: str) -> bool:
        """Whether it is about that model."""
        if self.pattern.endswith("*"):
            return model.startswith(self.pattern[:-1])
        return model == self.pattern

    @property
    def rank(self) -> int:
        """The highest action it allows."""
        return list(Role).index(self.role)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, with what they were granted.

    Args:
        name: what changes are recorded under; several tokens may have one.
        grants: what they were granted.
        token: the id of the token they showed, or "".
    """

    name: str
    grants: tuple[Grant, ...] = ()
    token: str = ""

    @property
    def sender(self) -> str:
        """Whose bytes are whose: two tokens of one name are two senders."""
        return f"token {self.token}" if self.token else self.name

    def rank(self, model: str = "") -> int:
        """The highest action allowed on a model, or on all of them; -1 for none."""
        covering = (g for g in self.grants if (g.covers(model) if model else g.pattern == "*"))
        return max((g.rank for g in covering), default=-1)

    def narrowed(self) -> tuple[Grant, ...] | None:
        """Give the grants that narrow what the actor sees, or None who sees everything."""
        return None if self.sees_all() else self.grants

    def allow(self, action: Action, model: str = "") -> None:
        """Refuse what was not granted.

        Args:
            action: what is being done.
            model: the model it is done to; "" for the register as a whole, which needs a
                grant on `*`.

        Raises:
            NotFound: the caller may not even know the model.
            Forbidden: the caller may see it, but not do this.
        """
        rank = self.rank(model)
        if rank >= action:
            return
        if model and rank < Action.READ:
            raise missing_model(model)
        needed = list(Role)[action]
        place = f"on {model}" if model else "on all models (*)"
        raise Forbidden(f"{self.name} is not {needed} {place}; ask an admin for a token that is")

    def allow_somewhere(self, action: Action) -> None:
        """Refuse what no grant allows, on whatever model.

        Raises:
            Forbidden: no grant reaches that far.
        """
        if max((grant.rank for grant in self.grants), default=-1) < action:
            raise Forbidden(
                f"{self.name} is not {list(Role)[action]} of anything; ask an admin for a token "
                "that is"
            )

    def sees_all(self) -> bool:
        """Whether no model is hidden from this actor."""
        return _sees_all(self.grants)


@lru_cache(maxsize=1024)  # asked several times a request
def _sees_all(grants: tuple[Grant, ...]) -> bool:
    return Actor("", grants).rank() >= Action.READ


def missing_model(name: str) -> NotFound:
    """Give the error for a model that is not there, or not for this caller."""
    return NotFound(f"there is no model {name!r}; `herdbook list` shows those there are")


def everything(name: str) -> Actor:
    """Give the actor of local mode: whoever can open the file may do everything."""
    return Actor(name, (Grant(Role.ADMIN),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as the register knows it; its secret is not kept.

    Args:
        id: eight characters; stands in the token itself.
        name: whose or what for.
        grants: what it allows.
        created_at: when it was made.
        created_by: by whom.
        expires_at: when it stops counting, or None for never.
        revoked_at: when it was revoked, or None.
        last_used_at: to the hour, or None.
    """

    id: str
    name: str
    grants: tuple[Grant, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def counts(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just made, with its text, which is shown this once."""

    token: Token
    secret: str


def grants(given: Iterable[str]) -> tuple[Grant, ...]:
    """Read grants written as `role` or `role:pattern`.

    Example:
        >>> grants(["viewer", "deployer:search/*"])[1].pattern
        'search/*'
    """
    found = []
    for text in given:
        role, colon, pattern = text.partition(":")
        if role not in set(Role):
            raise Invalid(f"{role!r} is not a role: {', '.join(Role)}", field="role")
        # "role:" is a pattern that was lost (an unset variable), not a wish for all of them.
        found.append(Grant(Role(role), pattern if colon else "*"))
    if not found:
        raise Invalid(f"a token needs a role: {', '.join(Role)}", field="role")
    return tuple(found)
