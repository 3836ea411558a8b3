"""`book.tokens`."""

from collections.abc import Sequence

from herdbook.core.access import NewToken, Token
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.front.door import Door


class Tokens:
    """Access tokens."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def create(self, name: str, *, roles: Sequence[str], days: int | None = 90) -> NewToken:
        """Make a token, shown this once.

        Args:
            name: whose or what for.
            roles: `viewer`, `contributor`, `deployer` or `admin`, each for all models or, as
                `deployer:search/*`, for some.
            days: how long it counts; None for ever.
        """
        return self._door.call(NewToken, "access.create", name=name, roles=list(roles), days=days)

    def list(self, *, page_size: int = PAGE_DEFAULT, page: str | None = None) -> Page[Token]:
        """Give the tokens, newest first."""
        return self._door.page(Token, "access.page", page_size=page_size, page=page)

    def revoke(self, id: str) -> Token:
        """Make a token count no more, at once."""
        return self._door.call(Token, "access.revoke", id=id)
