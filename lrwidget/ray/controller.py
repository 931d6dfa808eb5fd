"""Who leads a training of Ray Train: known to the coordinator, which may have to end it."""

from typing import Any

import ray
from ray.train.v2._internal.execution.callback import ControllerCallback


class Introduction(ControllerCallback):
    """Tells a coordinator of the controller in whose process it is called.

    Ray Train ends a training early only at a signal to the process that has started it, which here
    is an actor's; its controller can be asked directly.
    """

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator

    def after_controller_start(self, *_: Any) -> None:
        """Called before anything is started."""
        self._coordinator.led_by.remote(ray.get_runtime_context().current_actor)

    def on_controller_start_worker_group(self, **_: Any) -> None:
        """Called each time before the workers are asked for; an error here ends the training.

        A controller that waits for cores asks again and again, and hears nothing in between. It
        must come to an end of its own: killed, it may ask for cores with its last breath, and
        nobody takes that back.

        Raises:
            RuntimeError: no workers are wanted any more.
        """
        if ray.get(self._coordinator.is_leaving.remote()):
            raise RuntimeError("no workers are wanted any more")
