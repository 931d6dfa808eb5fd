"""How many processes train together, and what wraps a model for them.

`DistributedDataParallel` has state that is not in the model's: it sends rank 0's weights to all
ranks when it is made, hooks the parameters, and has armed its reducer between a forward and its
backward. FSDP2 has gathered its parameters there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lrwidget.backup.interrupts import uninterrupted


def process_count() -> int:
    """How many processes train together; 1 where there is no process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """The rank of this process; 0 where it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def forget_broken_step(model: nn.Module) -> None:
    """Let the wrappers in `model` begin a step anew; all ranks do.

    The reducer would otherwise wait for the other ranks in the next backward, also in one that is
    not to synchronize gradients, where those ranks that had not come so far would not.
    """
    for part in model.modules():
        if isinstance(part, DistributedDataParallel):
            part._has_rebuilt_buckets = False
            part.reducer._reset_state()
    # FSDP2's; of nested ones the outermost resets them all. Before torch 2.15 there is none.
    reset = getattr(model, "reset_iter_state", None)
    if reset is not None:
        reset()


@contextmanager
def own_weights(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Put back the values of all parameters and buffers when the block ends.

    Yields:
        To be called once the model is wrapped: what is equal on all ranks is not kept any longer.
    """
    tensors = [*model.parameters(), *model.buffers()] if process_count() > 1 else []
    kept = [(tensor.data, tensor.data.clone()) for tensor in tensors]

    def keep_what_differs() -> None:
        kept[:] = [(now, before) for now, before in kept if not torch.equal(now, before)]

    def put_back() -> None:
        for now, before in kept:
            now.copy_(before)

    restore = [put_back]
    try:
        yield keep_what_differs
    finally:
        try:
            uninterrupted(restore)
        finally:
            uninterrupted(restore)


def unhook(model: object) -> None:
    """Take a wrapper's hooks off the parameters, also where a traceback still holds the wrapper.

    They would take part in the collectives of a later training.
    """
    if isinstance(model, DistributedDataParallel):
        model._remove_autograd_hooks()  # type: ignore[no-untyped-call]
