"""`book.lineage`."""

from herdbook.core.lineage import DEPTH_LIMIT, DataLineage, Dataset, Pedigree, Relative
from herdbook.core.lineage import tree as drawn
from herdbook.core.pages import PAGE_DEFAULT, PAGE_LIMIT, Page
from herdbook.front.door import Door


class Lineage:
    """Who came from whom, and on which data."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def ancestors(
        self,
        ref: str,
        *,
        depth: int = DEPTH_LIMIT,
        page_size: int = PAGE_LIMIT,
        page: str | None = None,
    ) -> Page[Relative]:
        """Give the versions this one came from, nearest first."""
        return self._door.page(
            Relative, "lineage.ancestors", ref=ref, depth=depth, page_size=page_size, page=page
        )

    def descendants(
        self,
        ref: str,
        *,
        depth: int = DEPTH_LIMIT,
        page_size: int = PAGE_LIMIT,
        page: str | None = None,
    ) -> Page[Relative]:
        """Give the versions that came from this one, nearest first."""
        return self._door.page(
            Relative, "lineage.descendants", ref=ref, depth=depth, page_size=page_size, page=page
        )

    def pedigree(self, model: str) -> Pedigree:
        """Give all versions of a model, their direct relatives and the steps between."""
        return self._door.call(Pedigree, "lineage.pedigree", model=model)

    def around(self, ref: str, *, depth: int = DEPTH_LIMIT) -> Pedigree:
        """Give a version with its ancestors and descendants and the steps between."""
        return self._door.call(Pedigree, "lineage.around", ref=ref, depth=depth)

    def data(self, ref: str) -> DataLineage:
        """Give every data set a version learned from, itself or through its ancestors."""
        return self._door.call(DataLineage, "lineage.data", ref=ref)

    def datasets(self, *, page_size: int = PAGE_DEFAULT, page: str | None = None) -> Page[Dataset]:
        """Give the data sets versions were trained on, by name."""
        return self._door.page(Dataset, "lineage.datasets", page_size=page_size, page=page)

    def tree(self, model: str) -> str:
        """Draw the versions of a model as a tree of text."""
        return drawn(self.pedigree(model), title=f"{model} version tree:")
