"""The processes of the default process group, and the wrappers of a model that they train.

`DistributedDataParallel` has effects outside of the model's state: it broadcasts rank 0's weights
when it is constructed, installs hooks on the parameters, and prepares its reducer in each forward
pass for the backward pass. FSDP2 keeps parameters gathered between the two.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from lrwidget.backup.interrupts import uninterrupted


def process_count() -> int:
    """Return the size of the default process group; 1 if there is none."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Return the rank of this process in the default process group; 0 if there is none."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def reset_interrupted_step(model: nn.Module) -> None:
    """Reset the wrappers in `model` after a step that was broken off; called on all ranks.

    Otherwise the reducer would synchronize in the next backward pass, even under `no_sync`, and
    wait for ranks whose reducer was not prepared yet.
    """
    for part in model.modules():
        if isinstance(part, DistributedDataParallel):
            part._has_rebuilt_buckets = False
            part.reducer._reset_state()
    # FSDP2 has it since torch 2.15; the outermost module resets the nested ones.
    reset = getattr(model, "reset_iter_state", None)
    if reset is not None:
        reset()


def reshard(model: nn.Module) -> None:
    """Free the gathered parameters of FSDP2 after a forward pass without a backward pass.

    The backward pass would free those of the outermost module. While they are gathered, the modules
    do not hold the parameters of the optimizer.
    """
    fsdp = sys.modules.get("torch.distributed.fsdp")  # importing it takes seconds
    kind: Any = getattr(fsdp, "FSDPModule", None)
    for part in model.modules() if kind is not None else ():
        if isinstance(part, kind):
            part.reshard()


@contextmanager
def restored_weights(model: nn.Module, *, always: bool = False) -> Iterator[Callable[[], None]]:
    """Restore the values of all parameters and buffers when the block ends.

    Args:
        model: the model, before it is wrapped.
        always: also in a single process, where wrapping a model changes none.

    Yields:
        A function to call once the model is wrapped: it drops the copies of unchanged tensors.
    """
    tensors = [*model.parameters(), *model.buffers()] if always or process_count() > 1 else []
    tensors = [tensor for tensor in tensors if not (is_lazy(tensor) or tensor.is_meta)]
    copies = [(tensor.data, tensor.data.clone()) for tensor in tensors]

    def drop_unchanged() -> None:
        copies[:] = [(now, before) for now, before in copies if not torch.equal(now, before)]

    def put_back() -> None:
        for now, before in copies:
            now.copy_(before)

    restore = [put_back]
    try:
        yield drop_unchanged
    finally:
        try:
            uninterrupted(restore)
        finally:
            uninterrupted(restore)


def remove_ddp_hooks(model: object) -> None:
    """Remove the hooks of DistributedDataParallel from the parameters.

    A traceback may keep the wrapper alive, and its hooks would run collectives in later training.
    """
    if isinstance(model, DistributedDataParallel):
        model._remove_autograd_hooks()  # type: ignore[no-untyped-call]
