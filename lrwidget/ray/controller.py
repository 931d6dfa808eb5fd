"""Connect the controller of a Ray Train run to our coordinator, so that it can be aborted."""

from typing import Any

import ray
from ray.train.v2._internal.execution.callback import ControllerCallback


class CoordinatorCallback(ControllerCallback):
    """Gives the coordinator a handle of the controller in whose process the callback runs.

    Ray Train aborts a run only on a signal to the process that started it. That process is an
    actor here, so the coordinator calls the controller's `abort` instead.
    """

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator

    def after_controller_start(self, *_: Any) -> None:
        """Register the controller before it starts anything."""
        self._coordinator.set_controller.remote(ray.get_runtime_context().current_actor)

    def on_controller_start_worker_group(self, **_: Any) -> None:
        """Stop the run before it requests workers, if the coordinator is shutting down.

        A controller that waits for cores repeats its request and handles no calls in between. It
        must end by itself: killing it could leave a last request for cores that nothing cancels.

        Raises:
            RuntimeError: the coordinator is shutting down; Ray Train ends the run.
        """
        if ray.get(self._coordinator.is_shutting_down.remote()):
            raise RuntimeError("no workers are wanted any more")
