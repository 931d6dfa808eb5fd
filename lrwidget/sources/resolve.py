"""Choose the source for the arguments of a widget."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from lrwidget.sources.base import Overrides, Source
from lrwidget.text.articles import a_kind


@runtime_checkable
class RemoteRunner(Protocol):
    """The protocol of a `runner=` argument, which creates its source."""

    def source(self, factory: Any, options: Overrides) -> Source:
        """Return the source for the tasks that the factory creates."""


def source_of(
    model: Any,
    optimizer: Any = None,
    loss_fn: Any = None,
    data: Any = None,
    runner: Any = None,
    **options: Any,
) -> Source:
    """Return the source for a widget's arguments; a source given as `model` is returned itself.

    Raises:
        TypeError, ValueError: an invalid argument; the message says what is expected.
    """
    positional = {"optimizer": optimizer, "loss_fn": loss_fn, "data": data}
    beside = [name for name, value in positional.items() if value is not None]
    if runner is not None:
        return _source_on(runner, model, beside, options)
    if not isinstance(model, Source):
        from lrwidget.sources.local import LocalSource

        return LocalSource(model=model, **positional, **options)
    beside += options
    if beside:
        raise TypeError(f"{', '.join(beside)} beside {a_kind(model)}, which knows its own")
    return model


def _source_on(runner: Any, factory: Any, beside: Sequence[str], options: Overrides) -> Source:
    if isinstance(runner, type):
        raise TypeError(f"runner is a class; make one: {runner.__name__}(...)")
    if not isinstance(runner, RemoteRunner):
        raise TypeError(f"runner is {a_kind(runner)}; expected a lrwidget.distributed.RayRunner")
    if beside:
        raise TypeError(
            f"{', '.join(beside)} beside a task_factory, which makes them on the worker; expected "
            "LRFinderWidget(task_factory, runner=RayRunner(...))"
        )
    return runner.source(factory, options)
