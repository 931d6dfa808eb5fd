"""The rows of data that a user gave whole, and a framework has split: where indices point to."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from lrwidget.data.by_index import OwnIndices, of_indices, pool_of, without_own_iterator
from lrwidget.data.held_out import leaving_out
from lrwidget.data.passed_over import read_batches
from lrwidget.data.without import base_of


class Rows(OwnIndices):
    """Rows by their place in the data that the user gave.

    Args:
        dataset: the data with these rows, or anything else if it cannot be read by row.
        loader: the training loader, private to its task.
        trained: the row of each index of that loader; None if the split does not tell.
        other: a loader of the validation part; None without one.
        validated: the row of each index of the validation part.
        name: what the validation part is called.
    """

    def __init__(
        self,
        dataset: Any,
        loader: Any,
        trained: Sequence[int] | None,
        other: Any = None,
        validated: Sequence[int] = (),
        *,
        name: str = "",
    ) -> None:
        self._dataset = dataset
        self._loader = loader
        self._unknown = trained is None
        self._trained = [] if trained is None else list(map(int, trained))
        self._other = other
        self._validated = list(map(int, validated))
        self._name = name

    @property
    def dataset(self) -> Any:
        """The data that the user gave."""
        return self._dataset

    def pool(self) -> Sequence[Any]:
        """Return all rows of both parts.

        Raises:
            ValueError: they are unknown.
        """
        if self._unknown:
            raise ValueError(
                f"held_out names rows, and which rows are in {self._name} cannot be told from how "
                "it was split; leave held_out out to judge by that part, or give data"
            )
        found = sorted({*self._trained, *self._validated})
        whole = range(len(found))
        return whole if found == list(whole) else found

    def batches_of(self, indices: Sequence[Any]) -> list[Any]:
        """Read some rows, each from the part that it is in."""
        at = {row: place for place, row in enumerate(self._trained)}
        also = {row: place for place, row in enumerate(self._validated) if row not in at}
        batches = _read(self._loader, [at[row] for row in indices if row in at])
        return batches + _read(self._other, [also[row] for row in indices if row in also])

    def leave_out(self, indices: frozenset[Any], stack: ExitStack) -> Any:
        """Skip the rows that are in the training part."""
        places = frozenset(i for i, row in enumerate(self._trained) if row in indices)
        if len(places) >= len(self._trained):
            raise ValueError(
                f"held_out names all {len(places)} samples that would be trained on; give fewer, "
                "or other data"
            )
        if not places:
            return self._loader
        return leaving_out(places, pool_of(self._loader) or ())(self._loader, stack)

    def remark(self, indices: Sequence[Any]) -> str:
        """Say how many of the rows are not trained on anyway."""
        beside = len(set(indices) & set(self._validated) - set(self._trained))
        return f", {beside} of them in {self._name}" if beside else ""


def _read(loader: Any, indices: list[int]) -> list[Any]:
    if not indices:
        return []
    if isinstance(loader, OwnIndices):
        return loader.batches_of(indices)
    return read_batches(of_indices(without_own_iterator(base_of(loader)), indices), None)
