"""Base class and helpers of the tasks made from other frameworks' objects."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, islice
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget.backup.interrupts import finish
from lrwidget.data.batches import end_workers
from lrwidget.data.held_out import spread
from lrwidget.data.passed_over import MOST, rows_of
from lrwidget.data.without import base_of
from lrwidget.restore.attributes import remember_attributes
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a_kind


class StepBatches:
    """The batches of one optimizer step, opaque to the engine: the framework moves them.

    They may be read only during the step, so that reading and training draw random numbers in the
    same order as in the framework's own loop.
    """

    __slots__ = ("batches",)

    def __init__(self, batches: Iterable[Any] = ()) -> None:
        self.batches: Iterable[Any] = batches


class ValidationBatch:
    """A batch of a framework's validation data, opaque to the engine: the framework moves it.

    Args:
        batch: the batch, as the loader yields it.
        source: number of its loader.
        number: number of the batch in its loader.
    """

    __slots__ = ("batch", "number", "source")

    def __init__(self, batch: Any, source: int = 0, number: int = 0) -> None:
        self.batch: Any = batch
        self.source: int = source
        self.number: int = number


class ValidationData:
    """Some batches of a framework's validation loaders, about 512 samples in all.

    Args:
        loaders: loaders that nobody else reads.
    """

    nothing_left = (
        "the data to judge by has not a single batch; give more samples, or a smaller batch size: "
        "loaders that drop the last batch (drop_last) drop a data set smaller than that"
    )

    def __init__(self, loaders: Sequence[Any]) -> None:
        self.loaders = loaders
        self._most = max(1, MOST // max(1, len(loaders)))

    @property
    def spread_words(self) -> str:
        """What is read, in words with a place for the name."""
        if len(self.loaders) == 1:
            return spread(self.loaders[0], self._most)[0]
        return f"up to {self._most} samples of each loader of {{}}"

    def __iter__(self) -> Iterator[ValidationBatch]:
        for source, given in enumerate(self.loaders):
            samples = 0
            # Persistent workers that have ended would be asked again by the next pass.
            private = PrivateLoaders()
            batches = iter(private.of(spread(given, self._most)[1]))
            try:
                for number, batch in enumerate(batches):
                    yield ValidationBatch(batch, source, number)
                    samples += rows_of(batch)
                    if samples >= self._most:
                        break
            finally:
                end_workers(batches)
                private.close()


class StepData:
    """A framework's loader, read one optimizer step at a time.

    Args:
        loader: the loader; its batch size and random generators are those of this object.
        steps: returns an iterator of the steps of one pass over the loader.
        close: called when no more steps are read, to end the workers of the loader.
    """

    def __init__(
        self,
        loader: Any,
        steps: Callable[[], Iterator[StepBatches]],
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self.loader = loader
        self.batch_size: Any = getattr(loader, "batch_size", None)
        # The engine seeds and restores the generators of these attributes.
        self.generator: Any = getattr(loader, "generator", None)
        self.sampler: Any = getattr(loader, "sampler", None)
        self.batch_sampler: Any = getattr(loader, "batch_sampler", None)
        self._steps = steps
        self._close = close

    def __iter__(self) -> Iterator[StepBatches]:
        return _Reading(self._steps(), self._close)


class _Reading(Iterator[StepBatches]):
    """The steps of a pass; the engine ends their workers as those of a DataLoader."""

    def __init__(self, steps: Iterator[StepBatches], close: Callable[[], object]) -> None:
        self._steps = steps
        self._shutdown_workers = close

    def __next__(self) -> StepBatches:
        return next(self._steps)


class FrameworkTask(TrainingTask):
    """A task whose whole step, from the batch to the optimizer, the framework performs.

    Args:
        model: the model, swept in place, since the framework's objects refer to it.
        optimizer: a torch optimizer of the model; the framework's step may use another one.
        data: the batches of the steps.
        train: performs one optimizer step; returns the mean of the losses of its batches.
        device: the device of the sweep.
        evaluate: returns the loss of one batch without training: a `ValidationBatch`, or a batch as
            the loader yields it. None if nothing tells the loss.
    """

    reads_itself = True

    # Attributes of this task that change during the steps, restored between trials.
    counted: tuple[str, ...] = ("_passes",)

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        data: StepData,
        train: Callable[[StepBatches], torch.Tensor],
        device: torch.device | None = None,
        *,
        evaluate: Callable[[Any], Any] | None = None,
    ) -> None:
        if device is not None and device.type == "cpu":
            device = torch.device("cpu")  # Accelerate's may have an index, unlike that of tensors
        super().__init__(model, optimizer, data=data, step=train, device=device, evaluate=evaluate)

    @property
    def loaders(self) -> list[Any]:
        """The framework's loader and the generator of `data`."""
        return [self.data.loader, self.data.generator]

    @property
    def read_from(self) -> Any:
        """The framework's loader, of which this task has a private one in a session."""
        return self.data.loader

    @property
    def samples_named(self) -> Any:
        """The framework's loader if it is torch's and known; others it reads in its own way."""
        loader = self.data.loader
        return loader if isinstance(base_of(loader), DataLoader) else None

    @property
    def validation(self) -> Any:
        """The framework's own validation data, in a session; None without any."""
        return None

    @property
    def counters(self) -> Iterable[Any]:
        """The framework's objects whose attributes change during the steps, in a session."""
        return ()

    def remember(self) -> Callable[[], object]:
        """Save the counters of the framework's loop; return a function that restores them."""
        own = {name: vars(self)[name] for name in self.counted if name in vars(self)}
        own |= {name: list(value) for name, value in own.items() if isinstance(value, list)}
        restore = [remember_attributes(thing) for thing in self.counters]

        def put_back() -> None:
            for name, value in own.items():
                vars(self)[name] = list(value) if isinstance(value, list) else value
            finish(restore)

        return put_back


class OptimizerStandIn(torch.optim.Optimizer):
    """A torch optimizer in place of one that is not torch's, or does not exist yet.

    The engine sets its rates and observes its step; it changes no parameter.
    """

    def __init__(self, groups: Iterable[tuple[Iterable[torch.Tensor], float]]) -> None:
        super().__init__([{"params": list(p), "lr": lr} for p, lr in groups], {"lr": 0.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Signal that the real optimizer has stepped."""


def grouped(batches: Iterable[Any], size: int) -> Iterator[StepBatches]:
    """Yield steps of `size` batches; the last step of a pass has the remaining batches."""
    reading = iter(batches)
    for first in reading:
        yield StepBatches(chain((first,), islice(reading, size - 1)))


class PrivateLoaders:
    """Copies of loaders, so that an iteration in progress of the user's loaders is not reset.

    A DataLoader with persistent workers keeps its iterator, which iter() would reset. `close` ends
    the workers of the copies, even if a traceback still refers to their iterator.
    """

    def __init__(self) -> None:
        self._opened: dict[int, Any] = {}  # the iterator of each copy, by its number
        self._numbers = count()
        self._copies: weakref.WeakSet[Any] = weakref.WeakSet()

    def of(self, loader: Any) -> Any:
        """Return a private copy of a DataLoader; any other object unchanged."""
        if not isinstance(loader, DataLoader):
            return loader
        copied: Any = object.__new__(type(loader))

        number = next(self._numbers)

        def opened() -> Any:
            # A pass that is not read past its last batch leaves its workers.
            end_workers(self._opened.pop(number, None))
            self._opened[number] = type(loader)._get_iterator(copied)
            return self._opened[number]

        vars(copied).update(vars(loader), _iterator=None, _get_iterator=opened)
        self._copies.add(copied)
        inner = vars(loader).get("base_dataloader")  # Accelerate's loaders wrap another
        if inner is not None:
            vars(copied)["base_dataloader"] = self.of(inner)
        return copied

    def close(self) -> None:
        """End all worker processes and pinning threads; the copies can be read again."""
        for iterator in self._opened.values():
            end_workers(iterator)
        self._opened.clear()
        for copied in self._copies:
            vars(copied)["_iterator"] = None  # persistent workers have ended, too


def expect_tensor(loss: Any, giver: str) -> torch.Tensor:
    """Return the loss of a batch if it is a tensor.

    Raises:
        TypeError: it is not a tensor; the message names `giver`, which returned it.
    """
    if isinstance(loss, torch.Tensor):
        return loss
    raise TypeError(
        f"{giver} gave {loss!r} as the loss of a batch, {a_kind(loss)}; expected a scalar "
        "tensor that requires grad, for every batch (the tensor, not loss.item())"
    )


def samplers_of(loader: Any) -> list[Any]:
    """Return the samplers of a loader, which count epochs and have generators."""
    found: list[Any] = []
    waiting = [loader]
    while waiting and len(found) < 16:
        held = getattr(waiting.pop(), "__dict__", {})
        for name in ("sampler", "batch_sampler", "base_dataloader"):
            inner = held.get(name)
            if hasattr(inner, "__dict__") and not any(inner is known for known in found):
                found.append(inner)
                waiting.append(inner)
    return found
