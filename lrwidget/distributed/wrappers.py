"""Wrappers for several processes after a step that broke off: ready for the next one.

Their own state is not in the model's: between a forward and the backward that never came,
`DistributedDataParallel` has armed its reducer and FSDP2 has gathered its parameters.
"""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


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
