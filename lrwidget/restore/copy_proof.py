"""Check in the first step of a sweep that the swept copy is independent of the user's model.

An unforeseen reference from the copy to the user's model appears in the graph of the first loss, in
gradients or in buffers. Then the step is undone and repeated on the model itself, with the same
batches and random numbers.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from lrwidget.backup.backup import Backup
from lrwidget.backup.tensor_copies import is_leaf, set_gradient
from lrwidget.restore.copy_checks import NotCopied, Shared
from lrwidget.text.articles import a


class Proof:
    """Watches the user's objects while a copy of them takes its first step.

    Args:
        kept: a backup of the user's objects, without the values of parameters.
        trained: the parameters of the copied optimizers.
        shared: objects that were copied and that loaders and functions use too.
    """

    def __init__(self, kept: Backup, trained: Iterable[torch.Tensor], shared: Shared) -> None:
        self._kept = kept
        self._shared = shared
        self._trained = list(trained)
        self._own = {id(tensor): tensor for tensor in kept.tensors() if is_leaf(tensor)}
        self._gradients: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        self._trains = False

    def close(self) -> None:
        """Release the backup; called when the copy has proved independent."""
        self._kept.close()
        self._shared.close()
        self._own.clear()
        self._gradients.clear()

    def begin(self) -> None:
        """Set the gradients of the model itself aside before the copy's step.

        A backward pass that reaches it, in a forward pass or in a custom function such as a
        checkpoint, would add to them.
        """
        for tensor in self._own.values():
            self._gradients.append((tensor, tensor.grad))
            tensor.grad = None

    def of_loss(self, loss: torch.Tensor) -> None:
        """Check the graph of a loss of the copy, before the backward pass.

        Raises:
            NotCopied: a parameter of the model itself is in the graph.
        """
        trained = set(map(id, self._trained))
        for node in _nodes(loss):
            leaf = node.variable if type(node).__name__ == "AccumulateGrad" else None
            self._trains = self._trains or id(leaf) in trained
            if id(leaf) in self._own:
                raise NotCopied("its copy computes with weights of the model itself")

    def of_step(self) -> None:
        """Check the effects of the copy's step.

        Raises:
            NotCopied: the step changed the model itself, or no gradient reached the copy.
        """
        if not self._trains and all(tensor.grad is None for tensor in self._trained):
            raise NotCopied("no gradient reaches its copy")
        if any(tensor.grad is not None for tensor, _ in self._gradients):
            raise NotCopied("its copy leaves gradients in the model itself")
        if self._kept.changed():
            raise NotCopied("its copy changes buffers of the model itself")
        if name := self._shared.differing():
            raise NotCopied(f"data or a function uses {a(name)} that it changes")
        for tensor, gradient in self._gradients:
            set_gradient(tensor, gradient)


def _nodes(loss: torch.Tensor) -> Iterator[Any]:
    """Yield the nodes of the graph of a loss; leaves have the type AccumulateGrad."""
    seen: set[Any] = set()
    nodes: list[Any] = [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
            yield node
