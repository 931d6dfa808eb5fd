"""Tasks from model, optimizer and loader prepared by Accelerate.

The step is Accelerate's documented loop, with its precision, accumulation and loss scaling:
`backward` of the loss divided by the accumulation steps, gradients synchronized in the last batch
of a step, and `step` of the prepared optimizer.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from lrwidget.adapters.base import (
    FrameworkTask,
    PrivateLoaders,
    StepBatches,
    StepData,
    expect_tensor,
    grouped,
    samplers_of,
)
from lrwidget.restore.attributes import put_back_after
from lrwidget.task.loss import outputs_and_loss
from lrwidget.task.loss_value import mean_of
from lrwidget.task.optimizers import in_words
from lrwidget.task.task import FUNCTIONS, refuse_no_norm
from lrwidget.text.articles import a_kind

# Types that shard one model over the processes, with their own training loops.
SHARDING_TYPES = {"DEEPSPEED": "DeepSpeed", "FSDP": "FSDP", "MEGATRON_LM": "Megatron-LM"}


class AccelerateTask(FrameworkTask):
    """A task from the objects that `accelerator.prepare` returned.

    Args:
        model, optimizer, loader: the prepared objects.
        loss_fn: `loss_fn(output, target)`, or None if the model returns its loss.
        clip_grad_norm: maximum gradient norm for `accelerator.clip_grad_norm_`; None for no limit.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be swept.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        loss_fn: Callable[..., Any] | None,
        loader: Any,
        clip_grad_norm: float | None = None,
    ) -> None:
        if loader is None:
            raise TypeError("data is missing; expected the loader that Accelerate prepared")
        if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
            raise TypeError(
                f"data is {a_kind(loader)}, which would be read one sample a step; give "
                "the loader that Accelerate prepared"
            )
        refuse_sharded_model(optimizer)
        if loss_fn is not None and not callable(loss_fn):
            raise TypeError(f"loss_fn is {loss_fn!r}; expected {FUNCTIONS['loss_fn']}, or None")
        if clip_grad_norm is not None:
            refuse_no_norm(clip_grad_norm)
        self._state = optimizer.gradient_state
        self._prepared = optimizer
        self._loader = loader
        self._reading: Any = None
        self._private_loaders = PrivateLoaders()
        super().__init__(
            model,
            optimizer.optimizer,
            StepData(loader, self._steps, self._private_loaders.close),
            self._train,
            optimizer.accelerator_state.device,
            evaluate=self._measure,
        )
        self.loss_fn = loss_fn
        self.scaler: Any = optimizer.scaler
        self.clip_grad_norm = clip_grad_norm

    @contextmanager
    def session(self) -> Iterator[None]:
        """Restore the state that Accelerate shares between its objects, and the loader."""
        with ExitStack() as stack:
            self._reading = loader = self._private_loaders.of(self._loader)
            samplers = samplers_of(loader)
            objects = [self._state, self._prepared, *samplers]
            generators = [s.generator for s in samplers if hasattr(s, "generator")]
            generators = [g for g in generators if isinstance(g, torch.Generator)]
            modules = [m for m in (self.model, self.loss_fn) if isinstance(m, nn.Module)]
            stack.enter_context(put_back_after(modules, objects, generators))
            stack.callback(self._clean_up)
            yield

    @property
    def read_from(self) -> Any:
        """The private copy of the prepared loader, in a session."""
        return self._loader if self._reading is None else self._reading

    @property
    def counters(self) -> list[Any]:
        """Accelerate's shared state, and the prepared optimizer."""
        return [self._state, self._prepared]

    def _clean_up(self) -> None:
        self._private_loaders.close()
        self._reading = None

    def _steps(self) -> Iterator[StepBatches]:
        return grouped(self._batches(), self._state.num_steps)

    def _batches(self) -> Iterator[Any]:
        """Yield the batches of a pass; of all passes, where a step goes on into the next one."""
        more = True
        while more:
            more = False
            for batch in self._reading:
                yield batch
                more = not self._state.sync_with_dataloader

    def _measure(self, batch: Any) -> torch.Tensor:
        _, _, loss = outputs_and_loss(self.model, self.loss_fn, batch)
        return expect_tensor(loss, "the model" if self.loss_fn is None else "loss_fn")

    def _train(self, step: StepBatches) -> torch.Tensor:
        losses = []
        size = self._state.num_steps
        for number, batch in enumerate(step.batches, start=1):
            ends = getattr(self._reading, "end_of_dataloader", False)
            last = number == size or (ends and self._state.sync_with_dataloader)
            self._state._set_sync_gradients(last)
            no_sync = getattr(self.model, "no_sync", None)
            with nullcontext() if last or no_sync is None else no_sync():
                _, _, loss = outputs_and_loss(self.model, self.loss_fn, batch)
                loss = expect_tensor(loss, "the model" if self.loss_fn is None else "loss_fn")
                part = loss / size
                if last:
                    self.sync_ranks()  # the ranks wait for each other in backward
                (part if self.scaler is None else self.scaler.scale(part)).backward()
            losses.append(loss.detach().reshape(()))
            if not last:
                self.sync_ranks()  # also in the next batch, if rank 0 reads for all
        if self.clip_grad_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad_norm)
        with in_words(self.optimizer):
            self._prepared.step()
        self._prepared.zero_grad()
        return mean_of(losses)


def refuse_sharded_model(optimizer: Any) -> None:
    """Refuse an optimizer that Accelerate prepared for DeepSpeed, FSDP or Megatron-LM.

    Raises:
        ValueError: the model is sharded; the message says what to give instead.
    """
    by = SHARDING_TYPES.get(optimizer.accelerator_state.distributed_type.value)
    if by is not None:
        raise ValueError(
            f"Accelerate prepared this with {by}, which spreads a model over the processes and "
            "has a training loop of its own; the sweep follows Accelerate where every process has "
            "the whole model. A model that is too large for one process can be swept without "
            "Accelerate: shard it with torch's fully_shard, and give lr_find the model, its "
            "optimizer, loss_fn and loader"
        )
