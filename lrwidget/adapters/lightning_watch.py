"""The callback of the private Trainer."""

from typing import Any

import torch

from lrwidget.adapters.lightning_losses import loss_of_output
from lrwidget.data.passed_over import rows_of
from lrwidget.task.task import TrainingTask


class Watch:
    """Records the losses of a step, and what a validation step returns.

    It also synchronizes several processes before the backward pass that synchronizes gradients.

    Args:
        base: Lightning's class of callbacks.
        task: its `sync_ranks` waits for the other processes.

    Attributes:
        losses: the losses of the batches of a training step.
        returned: for each validation batch the loss that was returned, and its number of samples.
    """

    def __init__(self, base: type, task: TrainingTask) -> None:
        self.losses: list[torch.Tensor] = []
        self.returned: list[tuple[Any, int]] = []

        def record_loss(_self: Any, _trainer: Any, _module: Any, outputs: Any, *_: Any) -> None:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            if isinstance(loss, torch.Tensor):
                self.losses.append(loss.detach().reshape(()))

        def record_returned(
            _self: Any, _trainer: Any, _module: Any, outputs: Any, batch: Any, *_: Any
        ) -> None:
            self.returned.append((loss_of_output(outputs), rows_of(batch)))

        def sync(_self: Any, trainer: Any, *_: Any) -> None:
            if not trainer.fit_loop._should_accumulate():
                task.sync_ranks()

        hooks = {
            "on_train_batch_end": record_loss,
            "on_validation_batch_end": record_returned,
            "on_before_backward": sync,
        }
        self.callback: Any = type("Watch", (base,), hooks)()
