"""A framework that wraps its model for several processes: what that does to the model, undone.

`DistributedDataParallel` sends rank 0's weights to all ranks when it is made, which is before the
engine remembers any, and hooks the parameters.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lrwidget.distributed.team import process_count
from lrwidget.interrupts import uninterrupted


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
