"""Held-out data for comparing trials: validation data, or a share of the training data."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from lrwidget.data.batches import as_loader
from lrwidget.data.by_index import (
    OwnIndices,
    chosen,
    count_of,
    of_any_pass,
    of_indices,
    pool_of,
    rest_of,
    shared_with,
    whole_batches,
    with_the_same,
    without_own_iterator,
)
from lrwidget.data.named_samples import SHARE, Indices, indices_of, nothing_left, share_of
from lrwidget.data.passed_over import (
    MOST,
    MOST_BATCHES,
    KeptPlaces,
    Rest,
    read_batches,
    rows_of,
)
from lrwidget.data.without import base_of, batching_of, innermost, samplers_without
from lrwidget.text.articles import a_kind
from lrwidget.text.lists import first_of

# Where a fifth is fewer samples than this, they say little: up to a third is held out.
FEW = 160


class HeldOut:
    """The held-out data, and how to keep it out of the training data.

    Args:
        words: describes the data to the user.
        batches: reads the data.
        leave_out: makes a private loader skip the data until the exit stack is closed.
        shrinks: which batches are smaller without the data, in words; empty if none are.
        count: the number of its samples, where it is known from their indices.
    """

    def __init__(
        self,
        words: str,
        batches: Callable[[], list[Any]],
        leave_out: Callable[[Any, ExitStack], Any],
        shrinks: str = "",
        count: int | None = None,
    ) -> None:
        self.words = words
        self.shrinks = shrinks
        self.count = count
        self.batches = batches
        self._leave_out = leave_out

    @contextmanager
    def left_out_of(self, loader: Any) -> Iterator[Any]:
        """Yield `loader` without the held-out data; the loader must be private, it is changed."""
        with ExitStack() as stack:
            yield self._leave_out(loader, stack)


def held_out_of(
    loader: Any,
    wanted: Any = None,
    val_data: Any = None,
    *,
    name: str = "val_data",
    as_batches: Callable[[Any], Any] | None = None,
) -> HeldOut:
    """Choose the held-out data.

    Args:
        loader: the training data, as the task reads it; private to the caller.
        wanted: the user's `held_out`: data, indices of samples (of batches if the loader has no
            samples), a share between 0 and 1, or None for a fifth (up to a third where that is
            fewer than 160 samples), at most 512 samples.
        val_data: a loader of validation data, or None; used if `wanted` is None.
        name: what `val_data` is called.
        as_batches: makes batches of the data that the user gave; by default `as_loader`.

    Raises:
        TypeError, ValueError: `wanted` is invalid, or the loader cannot leave it out.
    """
    if wanted is None and val_data is not None:
        return _given(val_data, name)
    share = share_of(wanted)
    indices = None if share is not None else indices_of(wanted)
    if share is None and indices is None:
        make = as_batches or (lambda data: as_loader(data, 32, None, name="held_out"))
        return _given(make(wanted), "held_out", loader)
    if indices is not None:
        # Of the data as the user has it, if a framework has split it.
        loader = getattr(loader, "rows_given", loader)
    loader = without_own_iterator(loader)
    pool = pool_of(loader)
    if pool is None:
        return _by_position(loader, share, indices)
    return _by_index(loader, pool, share, indices, capped=wanted is None)


# -- given as data ---------------------------------------------------------------------------------


def _given(loader: Any, name: str, training: Any = None) -> HeldOut:
    """Return data that was given; samples of it that `training` has are left out there."""
    words, part = spread(loader, MOST)
    words = words.format(name)
    count = count_of(part, MOST)
    read = partial(read_batches, part, MOST if count is None else None)
    same = [] if training is None else shared_with(training, loader)
    if not same:
        return HeldOut(words, read, lambda data, _: data, count=count)
    drawn = pool_of(training) or []
    pool = of_any_pass(training, drawn)
    if frozenset(same).issuperset(drawn):
        raise ValueError(
            f"{name} has all {len(drawn)} samples of the training data, which leaves none to train "
            "on; give other data, or indices or a share of the training data"
        )
    made, shrinks = _batches_made_of(training)
    words += f"; the trials train without {len(same)} samples that are in it{made}"
    return HeldOut(words, read, leaving_out(frozenset(same), pool), shrinks, count)


def spread(loader: Any, most: int) -> tuple[str, Any]:
    """Return in words, with a place for the name, what is read of a loader, and how to read it.

    Data for judging is often sorted, by class for example, so its first samples are unlike it.

    Args:
        loader: the loader.
        most: about how many samples to read.
    """
    own = getattr(loader, "spread_words", None)  # of a framework's loaders
    if own is not None:
        return own, loader
    pool = pool_of(loader)
    if pool is not None and len(pool) > most and batching_of(base_of(loader)) is not None:
        part = chosen(pool, most)
        words = f"{most} of {len(pool)} samples of {{}}, chosen at random"
        return words, of_indices(without_own_iterator(base_of(loader)), part)
    if isinstance(loader, list | tuple) and loader:
        count = max(1, round(most * len(loader) / sum(map(rows_of, loader))))
        if count < len(loader):
            part = [loader[place * len(loader) // count] for place in range(count)]
            return f"{count} of {len(loader)} batches of {{}}, at equal distances", part
    return f"the first {most} samples at most of {{}}", loader


# -- by index ------------------------------------------------------------------------------------


def _by_index(
    loader: Any, pool: Sequence[Any], share: float | None, indices: Any, *, capped: bool
) -> HeldOut:
    inner = base_of(loader)
    drawn, pool = pool, of_any_pass(loader, pool)
    same = with_the_same(inner.dataset, pool)
    if indices is not None:
        held = indices.among(pool)
        words = f"{len(held)} named of {len(pool)} samples"
    else:
        assert share is not None
        different = drawn
        if same is not None:
            seen = frozenset(drawn)
            different = [first for first, group in same.items() if not seen.isdisjoint(group)]
        wanted = max(1, int(share * len(different)))
        most = None
        if capped:
            # Each index may be a batch.
            single = isinstance(inner, DataLoader) and batching_of(inner) is None
            most = MOST_BATCHES if single else MOST
            few = 0 if single else min(FEW, len(different) // 3)
            wanted = min(max(wanted, few), most)
        wanted = whole_batches(inner, wanted, len(different), most)
        held = chosen(different, wanted)
        words = f"{wanted} of {len(different)} samples, chosen at random"
    kept_out = frozenset(rest_of(same, held))
    if kept_out.issuperset(drawn):
        raise nothing_left(len(held), len(drawn))
    leave_out = leaving_out(kept_out, pool)
    if isinstance(loader, OwnIndices):
        own = loader
        return HeldOut(
            words + own.remark(held),
            lambda: own.batches_of(held),
            lambda _, stack: own.leave_out(kept_out, stack),
        )

    made, shrinks = _batches_made_of(inner)
    batches = of_indices(inner, held)
    read, count = partial(read_batches, batches, None), count_of(batches, len(held))
    return HeldOut(words + made, read, leave_out, shrinks, count)


def _batches_made_of(loader: Any) -> tuple[str, str]:
    """Return in words what happens to batches that a sampler composes, and which are smaller."""
    loader = base_of(loader)
    if not isinstance(loader, DataLoader):
        return "", ""
    own, in_batches = innermost(loader)
    name = "batch_sampler" if isinstance(own, list | tuple) else type(own).__name__
    instead = "where that matters, give val_data, or held_out= with data of its own"
    if in_batches:
        why = f"the batches that {name} makes are smaller without them, which may undo a balance"
        return f"; {why}: {instead}", f"the batches of {name} are smaller"
    if isinstance(getattr(own, "batch_size", None), int):  # as samplers of so many for each class
        return f"; {name} gives samples in batches, which are others without them: {instead}", ""
    return "", ""


def leaving_out(indices: frozenset[Any], pool: Sequence[Any]) -> Callable[[Any, ExitStack], Any]:
    """Return a function that leaves indices out of a private loader."""

    def leave_out(private: Any, stack: ExitStack) -> Any:
        if isinstance(private, OwnIndices):
            return private.leave_out(indices, stack)
        private = without_own_iterator(private)
        one: Any = base_of(private)
        changed = samplers_without(one, indices, pool)
        before = {name: vars(one)[name] for name in changed}
        stack.callback(vars(one).update, before)
        # Setting these attributes on a DataLoader raises.
        vars(one).update(changed)
        return private

    return leave_out


# -- by position ---------------------------------------------------------------------------------


def _by_position(loader: Any, share: float | None, indices: Indices | None) -> HeldOut:
    if not isinstance(loader, Iterable):
        raise TypeError(
            f"data is {a_kind(loader)}, of which nothing can be held out; give "
            "validation data, or held_out= with data to judge the trials by"
        )
    count: int | None = None
    with suppress(TypeError):
        count = len(loader)  # type: ignore[arg-type]
    part = Fraction(share or SHARE).limit_denominator(1000)
    if count is not None and count * part < 1:
        part = Fraction(1, max(2, count))
    loader = base_of(loader)
    kept = KeptPlaces(loader, part, frozenset(indices or ()), _workers_of_stream(loader))

    def leave_out(private: Any, stack: ExitStack) -> Any:
        own = getattr(base_of(private), "__dict__", {})
        begin = own.get("_get_iterator")
        if begin is None:
            return Rest(private, kept)
        # A framework reads this loader itself, so that it must stay the same object.
        own["_get_iterator"] = lambda: kept.passed_over(begin())
        stack.callback(own.__setitem__, "_get_iterator", begin)
        return private

    if indices is not None:
        words = f"batches {first_of(list(map(str, indices)), 8)} of a pass"
    else:
        words = f"{_how_many(part)} of a pass, up to {MOST} samples"
    if not isinstance(loader, list | tuple):
        words += "; where passes differ in order, trials may have seen the same samples"
    return HeldOut(words, kept.batches, leave_out)


def _how_many(part: Fraction) -> str:
    if part.numerator > 1:
        return f"{part.numerator} of every {part.denominator} batches"
    ends = {1: "st", 2: "nd", 3: "rd"}
    every = part.denominator
    end = "th" if every // 10 % 10 == 1 else ends.get(every % 10, "th")
    return f"every {every}{end} batch"


def _workers_of_stream(loader: Any) -> int:
    """Return how many workers take turns in reading a stream; 1 for other data."""
    if isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset):
        return max(1, loader.num_workers)
    return 1
