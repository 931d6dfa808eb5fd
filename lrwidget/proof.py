"""The first step of a sweep shows whether the copy that is swept is one.

Whatever leads from the copy back to the user's model, in a way that nobody has thought of, shows in
the graph of the first loss, in gradients or in buffers. Then that step is taken back and taken on
the model itself, with the same batches and random numbers as if nothing had been.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from lrwidget.backup import Backup
from lrwidget.copying import NotCopied


class Proof:
    """Watches the user's own objects while a copy of them takes its first step.

    Args:
        kept: the user's own objects as they are now, but for the values of parameters.
        trained: the parameters that the copied optimizers hold.
    """

    def __init__(self, kept: Backup, trained: Iterable[torch.Tensor]) -> None:
        self._kept = kept
        self._trained = list(trained)
        self._own = {id(tensor): tensor for tensor in kept.tensors() if tensor.is_leaf}
        self._gradients = [(t, t.grad, _version(t.grad)) for t in self._own.values()]
        self._trains = False

    def close(self) -> None:
        """Let go of what was kept: it is a copy."""
        self._kept.close()
        self._own.clear()
        self._gradients.clear()

    def of_loss(self, loss: torch.Tensor) -> None:
        """Look at the graph of a loss of the copy, before the backward pass.

        Raises:
            NotCopied: the model itself is in it.
        """
        trained = set(map(id, self._trained))
        for leaf in _leaves(loss):
            self._trains = self._trains or id(leaf) in trained
            if id(leaf) in self._own:
                raise NotCopied("its copy computes with weights of the model itself")

    def of_step(self) -> None:
        """Look at what the step of the copy has done.

        Raises:
            NotCopied: it changed the model itself, or trained nothing.
        """
        if not self._trains and all(tensor.grad is None for tensor in self._trained):
            raise NotCopied("no gradient reaches its copy")
        if any(t.grad is not g or _version(g) != v for t, g, v in self._gradients):
            raise NotCopied("its copy leaves gradients in the model itself")
        if self._kept.changed():
            raise NotCopied("its copy changes buffers of the model itself")


def _version(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor._version


def _leaves(loss: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors into which a backward pass from `loss` puts gradients."""
    seen: set[Any] = set()
    nodes = [loss.grad_fn]
    while nodes:
        node: Any = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "AccumulateGrad":
            yield node.variable
        nodes += [following for following, _ in node.next_functions]
