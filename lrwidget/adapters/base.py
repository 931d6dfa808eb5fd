"""What the tasks made from other frameworks' objects have in common."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget.data.batches import end_workers
from lrwidget.task.task import TrainingTask


class StepBatches:
    """The batches of one optimizer step, closed to the engine: moving them is the framework's.

    They may be read only while the step runs, so that reading and training take turns in drawing
    random numbers as they do in the framework's own loop.
    """

    __slots__ = ("batches",)

    def __init__(self, batches: Iterable[Any] = ()) -> None:
        self.batches = batches


class StepData:
    """A framework's loader, read one optimizer step at a time.

    Args:
        loader: where the batches come from; tells the batch size and the random generators.
        steps: gives the steps of one pass over it.
    """

    def __init__(self, loader: Any, steps: Callable[[], Iterator[StepBatches]]) -> None:
        self.loader = loader
        self.batch_size = getattr(loader, "batch_size", None)
        # Where the engine looks for generators to seed and to put back.
        self.generator = getattr(loader, "generator", None)
        self.sampler = getattr(loader, "sampler", None)
        self.batch_sampler = getattr(loader, "batch_sampler", None)
        self._steps = steps

    def __iter__(self) -> Iterator[StepBatches]:
        return self._steps()


class FrameworkTask(TrainingTask):
    """A task whose step, from the batch to the optimizer, is the framework's own.

    Args:
        model: what is swept, in place: the framework's objects hold on to it.
        optimizer: a torch optimizer over it; the framework's step may drive another one.
        data: the steps' batches.
        train: takes one optimizer step on its batches; returns the mean of their losses.
        device: where the sweep runs.
        evaluate: the loss of one batch of the loader, without training; None where it is not known.
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
            device = torch.device("cpu")  # Accelerate's may have an index, which tensors never have
        super().__init__(model, optimizer, data=data, step=train, device=device, evaluate=evaluate)

    @property
    def loaders(self) -> list[Any]:
        """The framework's loader, not what cuts it into steps, and the generator beside it."""
        return [self.data.loader, self.data.generator]

    @property
    def read_from(self) -> Any:
        """The framework's loader, of which this task has a private one in a session."""
        return self.data.loader


class OptimizerStandIn(torch.optim.Optimizer):
    """A torch optimizer in the place of one that is no torch optimizer, or does not exist yet.

    The engine sets its rates and watches its step; it changes no parameter.
    """

    def __init__(self, groups: Iterable[tuple[Iterable[torch.Tensor], float]]) -> None:
        super().__init__([{"params": list(p), "lr": lr} for p, lr in groups], {"lr": 0.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Say that the real optimizer has stepped."""


def grouped(batches: Iterable[Any], size: int) -> Iterator[StepBatches]:
    """`size` batches a step; the last step of a pass takes what is left."""
    reading = iter(batches)
    for first in reading:
        yield StepBatches(chain((first,), islice(reading, size - 1)))


class PrivateLoaders:
    """Loaders over the same data, so that the user's own keep an iteration in progress.

    A DataLoader with persistent workers holds its iterator, which iter() would reset. And the
    workers of these end with `close`, also where a traceback still holds on to their iterator.
    """

    def __init__(self) -> None:
        self._opened: list[Any] = []

    def of(self, loader: Any) -> Any:
        """A private copy of a DataLoader; anything else as it is."""
        if not isinstance(loader, DataLoader):
            return loader
        copied: Any = object.__new__(type(loader))

        def opened() -> Any:
            iterator = type(loader)._get_iterator(copied)
            self._opened.append(iterator)
            return iterator

        vars(copied).update(vars(loader), _iterator=None, _get_iterator=opened)
        inner = vars(loader).get("base_dataloader")  # Accelerate's wrap another
        if inner is not None:
            vars(copied)["base_dataloader"] = self.of(inner)
        return copied

    def close(self) -> None:
        """End all worker processes and pinning threads."""
        for iterator in self._opened:
            end_workers(iterator)
        self._opened.clear()


def expect_tensor(loss: Any, giver: str) -> torch.Tensor:
    """The loss of a batch, where it is a tensor.

    Raises:
        TypeError: it is none; says what `giver` gave instead.
    """
    if isinstance(loss, torch.Tensor):
        return loss
    raise TypeError(
        f"{giver} gave {loss!r} as the loss of a batch, a {type(loss).__name__}; expected a scalar "
        "tensor that requires grad, for every batch (the tensor, not loss.item())"
    )


def mean_of(losses: list[torch.Tensor]) -> torch.Tensor:
    """The mean of scalar losses, without waiting for them."""
    return torch.stack(losses).mean() if len(losses) > 1 else losses[0]


def samplers_of(loader: Any) -> list[Any]:
    """The samplers behind a loader, which count epochs and draw from generators."""
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
