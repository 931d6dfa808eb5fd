"""The samples of fastai's loaders by index, for holding some out and for judging by some."""

import copy
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

from torch.utils.data import Subset

from lrwidget.adapters.rows import Rows
from lrwidget.backup.rng import unmoved
from lrwidget.data.by_index import OwnIndices, chosen
from lrwidget.data.passed_over import MOST


class Indexed(OwnIndices):
    """The samples of a fastai loader.

    Args:
        loader: the loader.
        other: the loader of the validation part; None without one.
    """

    def __init__(self, loader: Any, other: Any = None) -> None:
        self._loader: Any = loader
        self._other = other

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)

    @property
    def rows_given(self) -> OwnIndices:
        """The rows of the items or the data frame that fastai has split."""
        known = self.pool()
        if known is None:
            return self
        other = self._other if is_fastais(self._other) else None
        parts = _places(self.dataset, None if other is None else other.dataset)
        if parts is None:
            return self
        name = "learn.dls.valid"
        trained, validated = parts
        held = 0 if other is None else len(other.dataset)
        if (len(trained), len(validated)) != (len(self.dataset), held):
            return Rows(None, self, None, name=name)
        part = other and indexed(other)
        return Rows(None, self, trained[: len(known)], part, validated, name=name)

    @property
    def dataset(self) -> Any:
        """The data set of the loader."""
        return self._loader.dataset

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the loader."""
        own: dict[str, Any] = vars(self._loader)
        return own

    @property
    def draws(self) -> bool:
        """Whether it shuffles, or gives its indices in another order each time."""
        loader = self._loader
        if loader.shuffle or not loader.indexed or loader.n is None:
            return bool(loader.shuffle)
        generator = copy.copy(loader.rng)
        try:
            with unmoved():
                first, second = (list(loader.get_idxs()) for _ in range(2))
        finally:
            loader.rng = generator
        return first != second

    def pool(self) -> Sequence[Any] | None:
        """Return the indices of its data set; None if it can only be iterated."""
        known = self._loader.indexed and self._loader.n is not None
        return range(self._loader.n) if known else None

    def batches_of(self, indices: Sequence[Any]) -> list[Any]:
        """Read the batches of some indices in this process."""
        loader, own = self._loader, vars(self._loader)
        before = dict(own)
        own.update(get_idxs=lambda: list(indices), drop_last=False)
        try:
            with loader.fake_l.no_multiproc():
                return list(loader)
        finally:
            own.clear()
            own.update(before)

    def leave_out(self, indices: frozenset[Any], stack: ExitStack) -> Any:
        """Skip some indices, in the order that the loader gives them."""
        loader, own = self._loader, vars(self._loader)
        given = own.get("get_idxs")
        every = loader.get_idxs
        own["get_idxs"] = lambda: [index for index in every() if index not in indices]

        def put_back() -> None:
            own.pop("get_idxs", None)
            if given is not None:
                own["get_idxs"] = given

        stack.callback(put_back)
        return self


def _places(training: Any, valid: Any) -> tuple[list[int], list[int]] | None:
    """Return the rows of a training and a validation part; None if fastai has not split them.

    Where rows cannot be told, they are fewer than the samples.
    """
    if not isinstance(training, sys.modules["fastai.data.core"].FilteredBase):
        return None
    frame = getattr(training, "items", None)
    if hasattr(frame, "iloc"):  # of tabular data
        labels = [list(part.items.index) for part in (training, valid) if hasattr(part, "items")]
        every = list(chain(*labels))
        if set(every) != set(range(len(every))):  # they are no places
            return [], []
        return labels[0], [] if valid is None else labels[-1]
    splits = training.splits
    if isinstance(splits[0], slice):  # of all items
        return None
    if valid is not None and getattr(valid, "splits", None) != splits:
        return [], []
    trained, validated = (_rows_of(part, splits) for part in (training, valid))
    return trained, validated


def _rows_of(part: Any, splits: Sequence[Any]) -> list[int]:
    """Return the rows of a part, which need not be the first or second one."""
    number = getattr(part, "split_idx", None)
    return [] if number is None else list(map(int, splits[number]))


class _Part(Indexed):
    """Samples from everywhere in the data of a large fastai loader, which may be sorted."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        known = self.pool()
        self._chosen = chosen(known, MOST) if known is not None and len(known) > MOST else None
        self.spread_words = f"the first {MOST} samples at most of {{}}"
        if self._chosen is not None:
            self.spread_words = f"{MOST} of {loader.n} samples of {{}}, chosen at random"

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__() if self._chosen is None else iter(self.batches_of(self._chosen))


class Texts(Indexed):
    """The texts of a language model's loader, which cuts all of them into sequences anew."""

    def pool(self) -> Sequence[Any]:
        """Return the indices of its texts."""
        return range(len(self._loader.items.coll))

    def batches_of(self, indices: Sequence[Any]) -> list[Any]:
        """Read the sequences of some texts, 512 at most."""
        loader, own = self._loader, vars(self._loader)
        before = dict(own)
        own.update(shuffle=False, drop_last=False)
        self._only(indices)
        found: list[Any] = []
        try:
            with loader.fake_l.no_multiproc():
                for batch in loader:
                    found.append(batch)
                    if len(found) * loader.bs >= MOST:
                        break
        finally:
            own.clear()
            own.update(before)
        return found

    def leave_out(self, indices: frozenset[Any], stack: ExitStack) -> Any:
        """Cut the sequences from the other texts."""
        own = vars(self._loader)
        stack.callback(own.update, dict(own))
        size = own["bs"]
        self._only([index for index in self.pool() if index not in indices])
        if own["bs"] != size:
            raise ValueError(
                f"the texts that are left beside those held out make no batch of {size} sequences; "
                "hold fewer out, or give held_out= with data of its own"
            )
        return self

    def remark(self, indices: Sequence[Any]) -> str:
        """Say that texts are read as sequences."""
        return f", whose text is read in {MOST} sequences at most" if indices else ""

    def _only(self, indices: Sequence[Any]) -> None:
        """Cut some texts as the loader does all; in smaller batches if they are few."""
        loader, own = self._loader, vars(self._loader)
        given, lens = loader.items, loader.lens
        part = Subset(given.coll, list(indices))
        items = type(given)(part, cache=given.cache, tfm=given.tfm)
        # They have one list of places, which is shuffled in place.
        lens = type(lens)([lens.coll[index] for index in indices], items.idxs)
        tokens = sum(lens) - 1  # each but the last is followed by its target
        size = max(1, min(loader.bs, tokens // loader.seq_len))
        length = tokens // size
        batches = -(-length // loader.seq_len)
        last = length - (batches - 1) * loader.seq_len
        own.update(items=items, lens=lens, bs=size, bl=length, n_batches=batches, last_len=last)
        own["n"] = batches * size
        loader.make_chunks()


def indexed(loader: Any, other: Any = None) -> Indexed:
    """Return a fastai loader by index: by texts if it is of a language model."""
    return (Texts if _cuts_texts(loader) else Indexed)(loader, other)


def part_of(loader: Any) -> Any:
    """Return some of a large fastai loader's samples, all of a small one's; others themselves.

    The sequences of a language model are in order, as each goes on from the one before.
    """
    return _Part(loader) if is_fastais(loader) and not _cuts_texts(loader) else loader


def _cuts_texts(loader: Any) -> bool:
    kind = getattr(sys.modules.get("fastai.text.data"), "LMDataLoader", None)
    return kind is not None and isinstance(loader, kind)


def is_fastais(loader: Any) -> bool:
    """Return whether it is a loader of fastai, and not of torch."""
    return isinstance(loader, sys.modules["fastai.data.load"].DataLoader)
