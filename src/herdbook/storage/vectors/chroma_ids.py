"""The ids of a collection of Chroma in order, which Chroma itself does not know."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

_PAGE: Final = 10_000

# Takes a limit and an offset, and gives ids as Chroma lays them: those added last come last.
Page = Callable[[int, int], list[str]]


class KnownIds:
    """Ids that were seen, sorted; ids of documents deleted since stay among them.

    Chroma gives pages by position, and a delete moves what follows: a page is taken as the next
    one only when its first id is one that was seen. So no document is left out that was there
    all the time; one that another process deletes and adds again in the moment between two pages
    can hide what was added just before it, until the ids are read anew.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen: set[str] = set()
        self._sorted: list[str] = []
        self._position = 0

    def refresh(self) -> None:
        """Take in what was added since the last time."""
        back = 1
        new: list[str] = []
        while True:
            start = max(0, self._position - back)
            page = self._page(_PAGE, start)
            if start and not (page and page[0] in self._seen):
                back *= 8
                continue
            added = [each for each in page if each not in self._seen]
            self._seen.update(added)
            new += added
            self._position = start + len(page)
            back = 1
            if len(page) < _PAGE:
                break
        if new:
            # A sort of what is sorted but for its end takes a pass.
            self._sorted = sorted(self._sorted + sorted(new))

    def cut(self, size: int) -> list[list[str]]:
        """Give all of them in pieces of a size, the last one smaller."""
        return [self._sorted[at : at + size] for at in range(0, len(self._sorted), size)]

    def between(self, after: str, upto: str) -> list[str]:
        """Give those after an id, up to another and with it."""
        start = bisect_right(self._sorted, after) if after else 0
        return self._sorted[start : bisect_right(self._sorted, upto)]
