"""Loaders of which a trial that goes on skips what it has read already.

Where samples have indices, those are skipped, and nothing is read in vain.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from lrwidget.data.by_index import OwnIndices, pool_of
from lrwidget.data.passed_over import Skipping
from lrwidget.data.private_copy import private_copy
from lrwidget.data.without import base_of


def behind(loader: Any, count: int) -> Any:
    """Return a loader whose first pass skips its first `count` batches."""
    own = getattr(type(loader), "__iter__", None) is not DataLoader.__iter__
    if own or _is_stream(loader):
        return Skipping(loader, count)
    made = private_copy(loader)
    vars(made).update(_skipping(made, count))
    return made


def _is_stream(loader: Any) -> bool:
    return isinstance(loader.dataset, IterableDataset)


def _skipping(loader: Any, count: int) -> dict[str, Any]:
    """Return the sampler of a loader that skips so many batches at first, by attribute."""
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    return {name: Skipping(getattr(loader, name), count)}


class ReadByFramework:
    """Counts what a framework reads of its loader, so that a trial can go on behind it.

    Args:
        loader: the framework's loader, private to its task, which stays the same object.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = base_of(loader)
        own_indices = isinstance(loader, OwnIndices)
        self._own = loader.attributes if own_indices else getattr(self._loader, "__dict__", {})
        # Else those are held out by their place among the batches that are read.
        self._by_index = not own_indices and pool_of(loader) is not None
        self._begin_pass = self._own.get("_get_iterator")
        self._left = 0
        self.count: int = 0
        if self._begin_pass is not None:
            self._own["_get_iterator"] = self._open

    def close(self) -> None:
        """Let the framework read the loader itself again."""
        if self._begin_pass is not None:
            self._own["_get_iterator"] = self._begin_pass

    def begin(self, read: int, steps: int) -> None:
        """Skip the batches that so many steps have read, of which the last may be read ahead."""
        ahead = steps > 1 and read % steps == 1
        self._left = self.count = read - ahead

    def counted(self) -> None:
        """Count a batch; what was to be skipped has been."""
        self._left = 0
        self.count += 1

    def _open(self) -> Iterator[Any]:
        begin: Any = self._begin_pass
        if not self._left:
            return _Counting(begin(), self)
        if not self._by_index:
            return _Counting(iter(Skipping(_Passes(begin), self._left)), self)
        changed = _skipping(self._loader, self._left)
        before = {name: self._own[name] for name in changed}
        self._own.update(changed)
        try:
            return _Counting(begin(), self)
        finally:
            self._own.update(before)


class _Passes:
    def __init__(self, begin: Callable[[], Iterator[Any]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Any]:
        return self._begin()


class _Counting(Iterator[Any]):
    def __init__(self, inner: Iterator[Any], reading: ReadByFramework) -> None:
        self._inner = inner
        self._reading = reading

    def __next__(self) -> Any:
        batch = next(self._inner)
        self._reading.counted()
        return batch

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "_reading"):
            raise AttributeError(name)
        return getattr(self._inner, name)
