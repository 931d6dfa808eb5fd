"""Base class and helpers of the tasks made from other frameworks' objects."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget.data.batches import end_workers
from lrwidget.task.task import TrainingTask


class StepBatches:
    """The batches of one optimizer step, opaque to the engine: the framework moves them.

    They may be read only during the step, so that reading and training draw random numbers in the
    same order as in the framework's own loop.
    """

    __slots__ = ("batches",)

    def __init__(self, batches: Iterable[Any] = ()) -> None:
        self.batches: Iterable[Any] = batches


class StepData:
    """A framework's loader, read one optimizer step at a time.

    Args:
        loader: the loader; its batch size and random generators are those of this object.
        steps: returns an iterator of the steps of one pass over the loader.
    """

    def __init__(self, loader: Any, steps: Callable[[], Iterator[StepBatches]]) -> None:
        self.loader = loader
        self.batch_size: Any = getattr(loader, "batch_size", None)
        # The engine seeds and restores the generators of these attributes.
        self.generator: Any = getattr(loader, "generator", None)
        self.sampler: Any = getattr(loader, "sampler", None)
        self.batch_sampler: Any = getattr(loader, "batch_sampler", None)
        self._steps = steps

    def __iter__(self) -> Iterator[StepBatches]:
        return self._steps()


class FrameworkTask(TrainingTask):
    """A task whose whole step, from the batch to the optimizer, the framework performs.

    Args:
        model: the model, swept in place, since the framework's objects refer to it.
        optimizer: a torch optimizer of the model; the framework's step may use another one.
        data: the batches of the steps.
        train: performs one optimizer step; returns the mean of the losses of its batches.
        device: the device of the sweep.
        evaluate: returns the loss of one batch of the loader without training; None if unknown.
    """

    reads_itself = True

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
        self._opened: list[Any] = []

    def of(self, loader: Any) -> Any:
        """Return a private copy of a DataLoader; any other object unchanged."""
        if not isinstance(loader, DataLoader):
            return loader
        copied: Any = object.__new__(type(loader))

        def opened() -> Any:
            iterator = type(loader)._get_iterator(copied)
            self._opened.append(iterator)
            return iterator

        vars(copied).update(vars(loader), _iterator=None, _get_iterator=opened)
        inner = vars(loader).get("base_dataloader")  # Accelerate's loaders wrap another
        if inner is not None:
            vars(copied)["base_dataloader"] = self.of(inner)
        return copied

    def close(self) -> None:
        """End all worker processes and pinning threads."""
        for iterator in self._opened:
            end_workers(iterator)
        self._opened.clear()


def expect_tensor(loss: Any, giver: str) -> torch.Tensor:
    """Return the loss of a batch if it is a tensor.

    Raises:
        TypeError: it is not a tensor; the message names `giver`, which returned it.
    """
    if isinstance(loss, torch.Tensor):
        return loss
    raise TypeError(
        f"{giver} gave {loss!r} as the loss of a batch, a {type(loss).__name__}; expected a scalar "
        "tensor that requires grad, for every batch (the tensor, not loss.item())"
    )


def mean_of(losses: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean of scalar losses, without synchronizing with the device."""
    return torch.stack(losses).mean() if len(losses) > 1 else losses[0]


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
